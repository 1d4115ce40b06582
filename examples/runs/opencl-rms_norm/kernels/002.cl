// /// kernel
// language = "opencl"
// when = "dtype(x) == 'float32' and dtype(weight) == 'float32' and dtype(y) == 'float32'"
// [tune]
// SPLIT = [8, 1, 32]
// [[launch]]
// entry = "rms_norm_quads"
// grid = ["num_units * SPLIT"]
// block = ["1"]
// args = { groups = "num_units * SPLIT" }
// ///
// A fixed number of single-item groups share the rows; each takes 4 rows at a time, one accumulator per row, and
// reads every stretch of the weight once for the 4 rows.
static float fold(float16 a) {
  const float8 e = a.lo + a.hi;
  const float4 f = e.lo + e.hi;
  const float2 g = f.lo + f.hi;
  return g.x + g.y;
}

__kernel void rms_norm_quads(__global const float *x, __global const float *weight, __global float *y, int rows,
                             int cols, int groups, float eps) {
  const int quads = (rows + 3) / 4;
  const int g = (int)get_group_id(0);
  const int from = (int)((long)quads * g / groups);
  const int to = (int)((long)quads * (g + 1) / groups);
  const int wide = cols & ~15;
  for (int quad = from; quad < to; ++quad) {
    // The last rows of a remainder are written again with the same values by the same item.
    const int last = rows - 1;
    const size_t r0 = (size_t)(quad * 4) * cols;
    const size_t r1 = (size_t)min(quad * 4 + 1, last) * cols;
    const size_t r2 = (size_t)min(quad * 4 + 2, last) * cols;
    const size_t r3 = (size_t)min(quad * 4 + 3, last) * cols;
    float16 a = (float16)(0.0f), b = a, c = a, d = a;
    int col = 0;
    for (; col < wide; col += 16) {
      const float16 p = vload16(0, x + r0 + col);
      const float16 q = vload16(0, x + r1 + col);
      const float16 s = vload16(0, x + r2 + col);
      const float16 t = vload16(0, x + r3 + col);
      a += p * p;
      b += q * q;
      c += s * s;
      d += t * t;
    }
    float4 sum = (float4)(fold(a), fold(b), fold(c), fold(d));
    for (; col < cols; ++col) {
      const float4 v = (float4)(x[r0 + col], x[r1 + col], x[r2 + col], x[r3 + col]);
      sum += v * v;
    }
    const float4 scale = (float4)(1.0f) / sqrt(sum / (float)cols + eps);
    for (col = 0; col < wide; col += 16) {
      const float16 w = vload16(0, weight + col);
      vstore16(vload16(0, x + r0 + col) * scale.x * w, 0, y + r0 + col);
      vstore16(vload16(0, x + r1 + col) * scale.y * w, 0, y + r1 + col);
      vstore16(vload16(0, x + r2 + col) * scale.z * w, 0, y + r2 + col);
      vstore16(vload16(0, x + r3 + col) * scale.w * w, 0, y + r3 + col);
    }
    for (; col < cols; ++col) {
      const float w = weight[col];
      y[r0 + col] = x[r0 + col] * scale.x * w;
      y[r1 + col] = x[r1 + col] * scale.y * w;
      y[r2 + col] = x[r2 + col] * scale.z * w;
      y[r3 + col] = x[r3 + col] * scale.w * w;
    }
  }
}
