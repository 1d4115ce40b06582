// /// kernel
// language = "opencl"
// [[launch]]
// entry = "layer_norm_rows"
// grid = ["rows"]
// block = ["64"]
// ///
// One work-group per row, in three passes: the mean, the mean squared deviation from it, the scaled values.
#define GROUP 64

__kernel void layer_norm_rows(__global const x_t *x, __global const weight_t *weight, __global const bias_t *bias,
                              __global y_t *y, int cols, float eps) {
  __local float partial[GROUP];
  const int lane = get_local_id(0);
  const size_t start = get_group_id(0) * (size_t)cols;

  float total = 0.0f;
  for (int col = lane; col < cols; col += GROUP) {
    total += (float)x[start + col];
  }
  partial[lane] = total;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int half_size = GROUP / 2; half_size > 0; half_size /= 2) {
    if (lane < half_size) {
      partial[lane] += partial[lane + half_size];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  const float mean = partial[0] / cols;
  barrier(CLK_LOCAL_MEM_FENCE);

  float squares = 0.0f;
  for (int col = lane; col < cols; col += GROUP) {
    const float deviation = (float)x[start + col] - mean;
    squares += deviation * deviation;
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
    y[start + col] = ((float)x[start + col] - mean) / root * (float)weight[col] + (float)bias[col];
  }
}
