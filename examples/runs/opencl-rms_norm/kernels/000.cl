// /// kernel
// language = "opencl"
// [[launch]]
// entry = "rms_norm_rows"
// grid = ["rows"]
// block = ["64"]
// ///
// One work-group per row. The items of a group stride over the row and add up their squares in local memory.
#define GROUP 64

__kernel void rms_norm_rows(__global const x_t *x, __global const weight_t *weight, __global y_t *y, int cols,
                            float eps) {
  __local float partial[GROUP];
  const int lane = get_local_id(0);
  const size_t start = get_group_id(0) * (size_t)cols;

  float squares = 0.0f;
  for (int col = lane; col < cols; col += GROUP) {
    const float value = x[start + col];
    squares += value * value;
  }
  partial[lane] = squares;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int half_size = GROUP / 2; half_size > 0; half_size /= 2) {
    if (lane < half_size) {
      partial[lane] += partial[lane + half_size];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  const float root = sqrt(partial[0] / cols + eps);

  for (int col = lane; col < cols; col += GROUP) {
    y[start + col] = (float)x[start + col] / root * (float)weight[col];
  }
}
