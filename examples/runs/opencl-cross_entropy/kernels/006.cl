// /// kernel
// language = "opencl"
// when = "dtype(logits) == 'float32' and dtype(loss) == 'float32' and dtype(target) == 'int32'"
// [tune]
// ROWS = [4, 16]
// DIST = [1024, 512, 2048]
// [scratch.sink]
// shape = ["cdiv(rows, ROWS)"]
// dtype = "int32"
// [[launch]]
// entry = "cross_entropy_stream"
// grid = ["cdiv(rows, ROWS)"]
// block = ["1"]
// ///
// Candidate 3's single pass against a lazily moved reference, in blocks of 64; one word of each cache line is touched
// DIST logits early, past the ends of pages and rows, within the rows of the group. Polynomial of degree 5.
#define SLACK 8.0f

static float16 exp_of(float16 v) {
  float16 t = v * 1.44269504f;
  const float16 low = (float16)(-126.0f);
  t = t > low ? t : low;
  const float16 z = t + 12582912.0f;
  const float16 f = t - (z - 12582912.0f);
  float16 p = f * 1.32765e-3f + 9.67554e-3f;
  p = p * f + 5.550713e-2f;
  p = p * f + 2.402212e-1f;
  p = p * f + 6.9314697e-1f;
  p = p * f + 1.00000007f;
  return as_float16(as_int16(p) + (as_int16(z) << 23));
}

static float highest(float16 a) {
  const float8 e = a.lo > a.hi ? a.lo : a.hi;
  const float4 f = e.lo > e.hi ? e.lo : e.hi;
  const float2 g = f.lo > f.hi ? f.lo : f.hi;
  return g.x > g.y ? g.x : g.y;
}

__kernel void cross_entropy_stream(__global const float *restrict logits, __global const int *restrict target,
                                   __global float *restrict loss, __global int *restrict sink, int rows,
                                   int classes) {
  const int first = (int)get_group_id(0) * ROWS;
  const int last = min(first + ROWS, rows);
  const int wide = classes & ~63;
  const long total_size = (long)rows * classes;
  int touched = 0;
  for (int row = first; row < last; ++row) {
    __global const float *in = logits + (size_t)row * classes;
    const long left = total_size - (long)row * classes;
    float base = in[0];
    for (int i = wide; i < classes; ++i) {
      base = in[i] > base ? in[i] : base;
    }
    float16 a = (float16)(0.0f), b = a, c = a, d = a;
    for (int i = 0; i < wide; i += 64) {
      const float16 p = vload16(0, in + i);
      const float16 q = vload16(0, in + i + 16);
      const float16 s = vload16(0, in + i + 32);
      const float16 t = vload16(0, in + i + 48);
      if ((long)i + DIST + 64 <= left) {
        __global const float *later = in + i + DIST;
        touched ^= as_int(later[0]) ^ as_int(later[16]) ^ as_int(later[32]) ^ as_int(later[48]);
      }
      const float16 m = p > q ? p : q;
      const float16 n = s > t ? s : t;
      const float top = highest(m > n ? m : n);
      if (top > base + SLACK) {
        const float scale = exp(base - top);
        a *= scale;
        b *= scale;
        c *= scale;
        d *= scale;
        base = top;
      }
      a += exp_of(p - base);
      b += exp_of(q - base);
      c += exp_of(s - base);
      d += exp_of(t - base);
    }
    a = (a + b) + (c + d);
    const float8 e = a.lo + a.hi;
    const float4 f = e.lo + e.hi;
    const float2 g = f.lo + f.hi;
    float total = g.x + g.y;
    for (int i = wide; i < classes; ++i) {
      total += exp(in[i] - base);
    }
    loss[row] = log(total) - (in[target[row]] - base);
  }
  sink[get_group_id(0)] = touched;
}
