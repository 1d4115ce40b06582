// /// kernel
// language = "opencl"
// when = "dtype(x) == 'float32' and dtype(weight) == 'float32' and dtype(y) == 'float32'"
// [tune]
// ROWS = [16, 64, 256]
// [scratch.sink]
// shape = ["cdiv(rows, ROWS)"]
// dtype = "int32"
// [[launch]]
// entry = "rms_norm_touch"
// grid = ["cdiv(rows, ROWS)"]
// block = ["1"]
// ///
// One item per group walks ROWS whole rows in 16-wide vectors. While a row is written, one word of every cache line of
// the next row is touched, so that the stream from memory goes on; the touched words go to a scratch word.
__kernel void rms_norm_touch(__global const float *restrict x, __global const float *restrict weight,
                             __global float *restrict y, __global int *restrict sink, int rows, int cols, float eps) {
  const int first = (int)get_group_id(0) * ROWS;
  const int last = min(first + ROWS, rows);
  const int wide = cols & ~63;
  int touched = 0;
  for (int row = first; row < last; ++row) {
    __global const float *in = x + (size_t)row * cols;
    __global const float *next = row + 1 < last ? in + cols : in;
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
      touched ^= as_int(next[col]);
      vstore16(vload16(0, in + col) * scale * vload16(0, weight + col), 0, out + col);
    }
    for (; col < cols; ++col) {
      out[col] = in[col] * scale * weight[col];
    }
  }
  sink[get_group_id(0)] = touched;
}
