// /// kernel
// language = "opencl"
// when = "dtype(logits) == 'float32' and dtype(loss) == 'float32' and dtype(target) == 'int32'"
// [tune]
// ROWS = [4, 16, 1]
// [[launch]]
// entry = "cross_entropy_lazy128"
// grid = ["cdiv(rows, ROWS)"]
// block = ["1"]
// ///
// One pass over each row by one item. Blocks of 128 logits stay in eight 16-wide registers; one horizontal maximum and
// one test a block, the reference moved only beyond SLACK. Powers of two by a polynomial of degree 5.
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

static float16 larger(float16 a, float16 b) { return a > b ? a : b; }

static float highest(float16 a) {
  const float8 e = a.lo > a.hi ? a.lo : a.hi;
  const float4 f = e.lo > e.hi ? e.lo : e.hi;
  const float2 g = f.lo > f.hi ? f.lo : f.hi;
  return g.x > g.y ? g.x : g.y;
}

__kernel void cross_entropy_lazy128(__global const float *restrict logits, __global const int *restrict target,
                                    __global float *restrict loss, int rows, int classes) {
  const int first = (int)get_group_id(0) * ROWS;
  const int last = min(first + ROWS, rows);
  const int wide = classes & ~127;
  for (int row = first; row < last; ++row) {
    __global const float *in = logits + (size_t)row * classes;
    float base = in[0];
    for (int i = wide; i < classes; ++i) {
      base = in[i] > base ? in[i] : base;
    }
    float16 a = (float16)(0.0f), b = a;
    for (int i = 0; i < wide; i += 128) {
      const float16 p0 = vload16(0, in + i);
      const float16 p1 = vload16(0, in + i + 16);
      const float16 p2 = vload16(0, in + i + 32);
      const float16 p3 = vload16(0, in + i + 48);
      const float16 p4 = vload16(0, in + i + 64);
      const float16 p5 = vload16(0, in + i + 80);
      const float16 p6 = vload16(0, in + i + 96);
      const float16 p7 = vload16(0, in + i + 112);
      const float top = highest(larger(larger(larger(p0, p1), larger(p2, p3)), larger(larger(p4, p5), larger(p6, p7))));
      if (top > base + SLACK) {
        const float scale = exp(base - top);
        a *= scale;
        b *= scale;
        base = top;
      }
      a += exp_of(p0 - base);
      b += exp_of(p1 - base);
      a += exp_of(p2 - base);
      b += exp_of(p3 - base);
      a += exp_of(p4 - base);
      b += exp_of(p5 - base);
      a += exp_of(p6 - base);
      b += exp_of(p7 - base);
    }
    int i = wide;
    for (; i + 16 <= classes; i += 16) {
      a += exp_of(vload16(0, in + i) - base);
    }
    a += b;
    const float8 e = a.lo + a.hi;
    const float4 f = e.lo + e.hi;
    const float2 g = f.lo + f.hi;
    float total = g.x + g.y;
    for (; i < classes; ++i) {
      total += exp(in[i] - base);
    }
    loss[row] = log(total) - (in[target[row]] - base);
  }
}
