// /// kernel
// language = "opencl"
// [[launch]]
// entry = "softmax_rows"
// grid = ["rows"]
// block = ["64"]
// ///
// One work-group per row. The items of a group stride over the row and combine what they found in local memory.
#define GROUP 64

__kernel void softmax_rows(__global const x_t *x, __global y_t *y, int cols) {
  __local float partial[GROUP];
  const int lane = get_local_id(0);
  const size_t start = get_group_id(0) * (size_t)cols;

  float peak = -INFINITY;
  for (int col = lane; col < cols; col += GROUP) {
    peak = fmax(peak, (float)x[start + col]);
  }
  partial[lane] = peak;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int half_size = GROUP / 2; half_size > 0; half_size /= 2) {
    if (lane < half_size) {
      partial[lane] = fmax(partial[lane], partial[lane + half_size]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  peak = partial[0];
  barrier(CLK_LOCAL_MEM_FENCE);

  float total = 0.0f;
  for (int col = lane; col < cols; col += GROUP) {
    total += exp((float)x[start + col] - peak);
  }
  partial[lane] = total;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int half_size = GROUP / 2; half_size > 0; half_size /= 2) {
    if (lane < half_size) {
      partial[lane] += partial[lane + half_size];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  total = partial[0];

  for (int col = lane; col < cols; col += GROUP) {
    y[start + col] = exp((float)x[start + col] - peak) / total;
  }
}
