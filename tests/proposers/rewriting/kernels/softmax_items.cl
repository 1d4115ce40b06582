// /// kernel
// language = "opencl"
// [[launch]]
// entry = "softmax"
// grid = ["cdiv(rows, 4)"]
// block = ["4"]
// ///
// One work-item per row: three passes.
__kernel void softmax(__global const x_t *x, __global y_t *y, int rows, int cols) {
  int row = get_global_id(0);
  if (row >= rows) return;
  float m = -INFINITY;
  for (int c = 0; c < cols; ++c) {
    const float v = (float)x[row * cols + c];
    if (v > m) m = v;
  }
  float s = 0.0f;
  for (int i = 0; i < cols; i++)
    s += exp((float)x[row * cols + i] - m);
  for (int c = 0; c < cols; ++c) {
    y[row * cols + c] = (y_t)(exp((float)x[row * cols + c] - m) / s);
  }
}
