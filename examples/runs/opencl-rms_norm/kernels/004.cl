// /// kernel
// language = "opencl"
// when = "cols <= 65536 and dtype(x) == 'float32' and dtype(weight) == 'float32' and dtype(y) == 'float32'"
// [tune]
// ROWS = [16, 64, 512]
// [[launch]]
// entry = "rms_norm_staged"
// grid = ["cdiv(rows, ROWS)"]
// block = ["1"]
// local = { stage = { shape = ["cols"], dtype = "float32" } }
// ///
// Each row is read from memory once: x * weight goes to local memory while the squares are added up; the write pass
// reads only that.
__kernel void rms_norm_staged(__global const float *restrict x, __global const float *restrict weight,
                              __global float *restrict y, __local float *restrict stage, int rows, int cols,
                              float eps) {
  const int first = (int)get_group_id(0) * ROWS;
  const int last = min(first + ROWS, rows);
  const int wide = cols & ~31;
  for (int row = first; row < last; ++row) {
    __global const float *in = x + (size_t)row * cols;
    __global float *out = y + (size_t)row * cols;
    float8 a = (float8)(0.0f), b = a, c = a, d = a;
    int col = 0;
    for (; col < wide; col += 32) {
      const float8 p = vload8(0, in + col);
      const float8 q = vload8(0, in + col + 8);
      const float8 s = vload8(0, in + col + 16);
      const float8 t = vload8(0, in + col + 24);
      a += p * p;
      b += q * q;
      c += s * s;
      d += t * t;
      vstore8(p * vload8(0, weight + col), 0, stage + col);
      vstore8(q * vload8(0, weight + col + 8), 0, stage + col + 8);
      vstore8(s * vload8(0, weight + col + 16), 0, stage + col + 16);
      vstore8(t * vload8(0, weight + col + 24), 0, stage + col + 24);
    }
    a = (a + b) + (c + d);
    const float4 f = a.lo + a.hi;
    const float2 g = f.lo + f.hi;
    float total = g.x + g.y;
    for (; col < cols; ++col) {
      total += in[col] * in[col];
      stage[col] = in[col] * weight[col];
    }
    const float scale = 1.0f / sqrt(total / (float)cols + eps);
    for (col = 0; col < wide; col += 32) {
      vstore8(vload8(0, stage + col) * scale, 0, out + col);
      vstore8(vload8(0, stage + col + 8) * scale, 0, out + col + 8);
      vstore8(vload8(0, stage + col + 16) * scale, 0, out + col + 16);
      vstore8(vload8(0, stage + col + 24) * scale, 0, out + col + 24);
    }
    for (; col < cols; ++col) {
      out[col] = stage[col] * scale;
    }
  }
}
