// /// kernel
// language = "opencl"
// [[launch]]
// entry = "swiglu"
// grid = ["cdiv(rows * cols, 64)"]
// block = ["64"]
// ///
// One work-item per element.
__kernel void swiglu(__global const gate_t *gate, __global const up_t *up, __global y_t *y, int rows, int cols) {
  const size_t item = get_global_id(0);
  if (item >= (size_t)rows * cols) {
    return;
  }
  const float value = gate[item];
  y[item] = value / (1.0f + exp(-value)) * (float)up[item];
}
