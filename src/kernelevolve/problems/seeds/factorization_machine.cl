// /// kernel
// language = "opencl"
// [scratch.inner]
// shape = ["batch", "d", "k"]
// dtype = "float32"
// [[launch]]
// entry = "transposed_product"
// grid = ["cdiv(batch * d * k, 64)"]
// block = ["64"]
// [[launch]]
// entry = "product"
// grid = ["cdiv(batch * n * k, 64)"]
// block = ["64"]
// ///
// Two batched products, one work-item per element of each: inner = x^T y, then out = x inner.
__kernel void transposed_product(__global const x_t *x, __global const y_t *y, __global float *inner, int batch, int n,
                                 int d, int k) {
  const size_t item = get_global_id(0);
  if (item >= (size_t)batch * d * k) {
    return;
  }
  const int col = item % k;
  const int row = item / k % d;
  const size_t sample = item / k / d;
  float total = 0.0f;
  for (int i = 0; i < n; i++) {
    const size_t line = sample * n + i;
    total += (float)x[line * d + row] * (float)y[line * k + col];
  }
  inner[item] = total;
}

__kernel void product(__global const x_t *x, __global const float *inner, __global out_t *out, int batch, int n, int d,
                      int k) {
  const size_t item = get_global_id(0);
  if (item >= (size_t)batch * n * k) {
    return;
  }
  const int col = item % k;
  const size_t line = item / k;
  const size_t sample = line / n;
  float total = 0.0f;
  for (int i = 0; i < d; i++) {
    total += (float)x[line * d + i] * inner[(sample * d + i) * k + col];
  }
  out[item] = total;
}
