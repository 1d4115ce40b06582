// /// kernel
// language = "opencl"
// [[launch]]
// entry = "rms_norm"
// grid = ["rows"]
// block = ["1"]
// ///
// One work-item per row, on concrete types; no guard, for the grid is exact.
__kernel void rms_norm(__global float *x, __global const float *weight, __global float *y, int cols, float eps) {
  const size_t row = get_global_id(0);
  float sum = 0.0f;
  for (int c = 0; c < cols; ++c) {
    sum = sum + x[row * cols + c] * x[row * cols + c];
  }
  float scale = 1.0f / sqrt(sum / cols + eps);
  for (int c = 0; c < cols; ++c) {
    y[row * cols + c] = x[row * cols + c] * scale * weight[c];
  }
}
