// /// kernel
// language = "opencl"
// when = "dtype(x) == 'float32' and dtype(weight) == 'float32' and dtype(y) == 'float32'"
// [tune]
// ROWS = [16, 4, 64]
// [[launch]]
// entry = "rms_norm_serial"
// grid = ["cdiv(rows, ROWS)"]
// block = ["1"]
// ///
// One item per group; it walks ROWS whole rows with explicit 16-wide vectors, no barriers, no local memory.
__kernel void rms_norm_serial(__global const float *x, __global const float *weight, __global float *y, int rows,
                              int cols, float eps) {
  const int first = (int)get_group_id(0) * ROWS;
  const int last = min(first + ROWS, rows);
  const int wide = cols & ~63;
  for (int row = first; row < last; ++row) {
    __global const float *in = x + (size_t)row * cols;
    __global float *out = y + (size_t)row * cols;
    float16 a = (float16)(0.0f), b = a, c = a, d = a;
    int col = 0;
    for (; col < wide; col += 64) {
      const float16 p = vload16(0, in + col);
      const float16 q = vload16(0, in + col + 16);
      const float16 s = vload16(0, in + col + 32);
      const float16 t = vload16(0, in + col + 48);
      a += p * p;
      b += q * q;
      c += s * s;
      d += t * t;
    }
    a = (a + b) + (c + d);
    const float8 e = a.lo + a.hi;
    const float4 f = e.lo + e.hi;
    const float2 g = f.lo + f.hi;
    float total = g.x + g.y;
    for (; col < cols; ++col) {
      total += in[col] * in[col];
    }
    const float scale = 1.0f / sqrt(total / (float)cols + eps);
    for (col = 0; col + 16 <= cols; col += 16) {
      vstore16(vload16(0, in + col) * scale * vload16(0, weight + col), 0, out + col);
    }
    for (; col < cols; ++col) {
      out[col] = in[col] * scale * weight[col];
    }
  }
}
