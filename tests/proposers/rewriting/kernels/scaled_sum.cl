// /// kernel
// language = "opencl"
// [[launch]]
// entry = "scaled_sum"
// grid = ["cdiv(rows * cols, 8)"]
// block = ["8"]
// ///
// Element-wise, with a loop-invariant division, a branch, and a helper function.
float clip(float v, float low) { return v < low ? low : v; }

__kernel void scaled_sum(__global const x_t *x, __global y_t *y, int rows, int cols, float scale) {
  int i = get_global_id(0);
  if (i < rows * cols) {
    float v = x[i] * scale + 0.5f;
    if (v < 0.0f) {
      v = -v * 0.25f;
    } else {
      v = v + 1.0f;
    }
    y[i] = clip(v, 0.125f);
  }
}
