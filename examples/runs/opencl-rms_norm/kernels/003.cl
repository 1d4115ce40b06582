// /// kernel
// language = "opencl"
// when = "dtype(x) == 'float32' and dtype(weight) == 'float32' and dtype(y) == 'float32'"
// [tune]
// ROWS = [32, 128, 8]
// [[launch]]
// entry = "rms_norm_pipelined"
// grid = ["cdiv(rows, ROWS)"]
// block = ["1"]
// ///
// Software pipeline over rows: one loop writes row r and adds up the squares of row r + 1, so that the stream from
// memory never stops for the write pass.
static float fold(float16 a) {
  const float8 e = a.lo + a.hi;
  const float4 f = e.lo + e.hi;
  const float2 g = f.lo + f.hi;
  return g.x + g.y;
}

__kernel void rms_norm_pipelined(__global const float *x, __global const float *weight, __global float *y, int rows,
                                 int cols, float eps) {
  const int first = (int)get_group_id(0) * ROWS;
  const int last = min(first + ROWS, rows);
  const int wide = cols & ~31;
  __global const float *in = x + (size_t)first * cols;
  __global float *out = y + (size_t)first * cols;
  float16 a = (float16)(0.0f), b = a;
  int col = 0;
  for (; col < wide; col += 32) {
    const float16 p = vload16(0, in + col);
    const float16 q = vload16(0, in + col + 16);
    a += p * p;
    b += q * q;
  }
  float total = fold(a + b);
  for (; col < cols; ++col) {
    total += in[col] * in[col];
  }
  for (int row = first; row < last; ++row) {
    const float scale = 1.0f / sqrt(total / (float)cols + eps);
    // The last row of the chunk looks at itself again.
    __global const float *next = row + 1 < last ? in + cols : in;
    a = (float16)(0.0f);
    b = a;
    for (col = 0; col < wide; col += 32) {
      const float16 p = vload16(0, next + col);
      const float16 q = vload16(0, next + col + 16);
      vstore16(vload16(0, in + col) * scale * vload16(0, weight + col), 0, out + col);
      vstore16(vload16(0, in + col + 16) * scale * vload16(0, weight + col + 16), 0, out + col + 16);
      a += p * p;
      b += q * q;
    }
    total = fold(a + b);
    for (; col < cols; ++col) {
      total += next[col] * next[col];
      out[col] = in[col] * scale * weight[col];
    }
    in += cols;
    out += cols;
  }
}
