// /// kernel
// language = "opencl"
// when = "dtype(x) == 'float32' and dtype(weight) == 'float32' and dtype(y) == 'float32'"
// [tune]
// ROWS = [16, 64, 256]
// [[launch]]
// entry = "rms_norm_pairs"
// grid = ["cdiv(rows, ROWS)"]
// block = ["1"]
// ///
// One item per group, ROWS rows in pairs: two streams from memory, each with two accumulators of 16 lanes; the weight
// is read once for both rows. No barriers, no work-item loop, one reciprocal per row.
static float fold(float16 a) {
  const float8 e = a.lo + a.hi;
  const float4 f = e.lo + e.hi;
  const float2 g = f.lo + f.hi;
  return g.x + g.y;
}

static void pair(__global const float *restrict p, __global const float *restrict q,
                 __global const float *restrict weight, __global float *restrict s, __global float *restrict t,
                 int cols, float eps) {
  const int wide = cols & ~31;
  float16 a = (float16)(0.0f), b = a, c = a, d = a;
  int col = 0;
  for (; col < wide; col += 32) {
    const float16 u = vload16(0, p + col);
    const float16 v = vload16(0, p + col + 16);
    const float16 w = vload16(0, q + col);
    const float16 z = vload16(0, q + col + 16);
    a += u * u;
    b += v * v;
    c += w * w;
    d += z * z;
  }
  float one = fold(a + b);
  float two = fold(c + d);
  for (; col < cols; ++col) {
    one += p[col] * p[col];
    two += q[col] * q[col];
  }
  one = 1.0f / sqrt(one / (float)cols + eps);
  two = 1.0f / sqrt(two / (float)cols + eps);
  for (col = 0; col + 16 <= cols; col += 16) {
    const float16 w = vload16(0, weight + col);
    vstore16(vload16(0, p + col) * one * w, 0, s + col);
    vstore16(vload16(0, q + col) * two * w, 0, t + col);
  }
  for (; col < cols; ++col) {
    s[col] = p[col] * one * weight[col];
    t[col] = q[col] * two * weight[col];
  }
}

static void single(__global const float *p, __global const float *weight, __global float *s, int cols, float eps) {
  float16 a = (float16)(0.0f);
  int col = 0;
  for (; col + 16 <= cols; col += 16) {
    const float16 u = vload16(0, p + col);
    a += u * u;
  }
  float one = fold(a);
  for (; col < cols; ++col) {
    one += p[col] * p[col];
  }
  one = 1.0f / sqrt(one / (float)cols + eps);
  for (col = 0; col < cols; ++col) {
    s[col] = p[col] * one * weight[col];
  }
}

__kernel void rms_norm_pairs(__global const float *x, __global const float *weight, __global float *y, int rows,
                             int cols, float eps) {
  const int first = (int)get_group_id(0) * ROWS;
  const int last = min(first + ROWS, rows);
  int row = first;
  for (; row + 2 <= last; row += 2) {
    const size_t at = (size_t)row * cols;
    pair(x + at, x + at + cols, weight, y + at, y + at + cols, cols, eps);
  }
  if (row < last) {
    const size_t at = (size_t)row * cols;
    single(x + at, weight, y + at, cols, eps);
  }
}
