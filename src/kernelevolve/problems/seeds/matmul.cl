// /// kernel
// language = "opencl"
// [[launch]]
// entry = "matmul"
// grid = ["cdiv(n, 16)", "cdiv(m, 16)"]
// block = ["16", "16"]
// ///
// One work-item per element of the product.
__kernel void matmul(__global const a_t *a, __global const b_t *b, __global c_t *c, int m, int n, int k) {
  const int col = get_global_id(0);
  const int row = get_global_id(1);
  if (row >= m || col >= n) {
    return;
  }
  float total = 0.0f;
  for (int i = 0; i < k; i++) {
    total += (float)a[(size_t)row * k + i] * (float)b[(size_t)i * n + col];
  }
  c[(size_t)row * n + col] = total;
}
