// /// kernel
// language = "opencl"
// [[launch]]
// entry = "total"
// grid = ["1"]
// block = ["1"]
// ///
// Two nested loops that reduce a matrix, two neighbouring loops, and expressions that do not change in them.
__kernel void total(__global const x_t *x, __global y_t *y, int rows, int cols, float scale) {
  float sum = 0.0f;
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < cols; ++c) {
      sum += (float)x[r * cols + c];
    }
  }
  float top = -1e30f;
  for (int c = 0; c < cols; ++c) {
    top = fmax(top, x[c] / (scale + 2.0f) + scale * 3.0f);
  }
  float low = 1e30f;
  for (int d = 0; d < cols; ++d) {
    low = fmin(low, x[d] * (scale * 3.0f));
  }
  y[0] = sum;
  y[1] = top;
  y[2] = low;
}
