// /// kernel
// language = "opencl"
// [[launch]]
// entry = "conv1d"
// grid = ["cdiv(batch * cout * length, 64)"]
// block = ["64"]
// ///
// One work-item per element of the result; neighbours differ in their place along the length.
__kernel void conv1d(__global const x_t *x, __global const weight_t *weight, __global y_t *y, int batch, int cin,
                     int cout, int length, int taps) {
  const size_t item = get_global_id(0);
  if (item >= (size_t)batch * cout * length) {
    return;
  }
  const int place = item % length;
  const int channel = item / length % cout;
  const size_t sample = item / length / cout;
  float total = 0.0f;
  for (int c = 0; c < cin; c++) {
    const size_t row = (sample * cin + c) * length;
    const size_t filter = ((size_t)channel * cin + c) * taps;
    for (int tap = 0; tap < taps; tap++) {
      const int source = place + tap - taps / 2;
      if (source >= 0 && source < length) {
        total += (float)x[row + source] * (float)weight[filter + tap];
      }
    }
  }
  y[item] = total;
}
