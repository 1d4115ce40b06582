// /// kernel
// language = "opencl"
// when = "dtype(logits) == 'float32' and dtype(loss) == 'float32' and dtype(target) == 'int32'"
// [tune]
// ROWS = [4, 16, 2]
// [[launch]]
// entry = "cross_entropy_two_rows"
// grid = ["cdiv(rows, ROWS)"]
// block = ["1"]
// ///
// Two rows at a time by one item, each in one pass against its own lazily moved reference: two streams from memory, and
// the horizontal maximum of one row overlaps the exponentials of the other.
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

static float fold(float16 a) {
  const float8 e = a.lo + a.hi;
  const float4 f = e.lo + e.hi;
  const float2 g = f.lo + f.hi;
  return g.x + g.y;
}

__kernel void cross_entropy_two_rows(__global const float *restrict logits, __global const int *restrict target,
                                     __global float *restrict loss, int rows, int classes) {
  const int first = (int)get_group_id(0) * ROWS;
  const int last = min(first + ROWS, rows);
  const int wide = classes & ~63;
  for (int row = first; row < last; row += 2) {
    // An odd last row is worked on twice by the same item.
    const int other = min(row + 1, last - 1);
    __global const float *in = logits + (size_t)row * classes;
    __global const float *on = logits + (size_t)other * classes;
    float base = in[0];
    float root = on[0];
    for (int i = wide; i < classes; ++i) {
      base = in[i] > base ? in[i] : base;
      root = on[i] > root ? on[i] : root;
    }
    float16 a = (float16)(0.0f), b = a, c = a, d = a;
    for (int i = 0; i < wide; i += 64) {
      const float16 p0 = vload16(0, in + i);
      const float16 p1 = vload16(0, in + i + 16);
      const float16 p2 = vload16(0, in + i + 32);
      const float16 p3 = vload16(0, in + i + 48);
      const float16 q0 = vload16(0, on + i);
      const float16 q1 = vload16(0, on + i + 16);
      const float16 q2 = vload16(0, on + i + 32);
      const float16 q3 = vload16(0, on + i + 48);
      const float16 m0 = p0 > p1 ? p0 : p1;
      const float16 m1 = p2 > p3 ? p2 : p3;
      const float16 n0 = q0 > q1 ? q0 : q1;
      const float16 n1 = q2 > q3 ? q2 : q3;
      const float top = highest(m0 > m1 ? m0 : m1);
      const float tip = highest(n0 > n1 ? n0 : n1);
      if (top > base + SLACK) {
        const float scale = exp(base - top);
        a *= scale;
        b *= scale;
        base = top;
      }
      if (tip > root + SLACK) {
        const float scale = exp(root - tip);
        c *= scale;
        d *= scale;
        root = tip;
      }
      a += exp_of(p0 - base);
      b += exp_of(p1 - base);
      c += exp_of(q0 - root);
      d += exp_of(q1 - root);
      a += exp_of(p2 - base);
      b += exp_of(p3 - base);
      c += exp_of(q2 - root);
      d += exp_of(q3 - root);
    }
    float one = fold(a + b);
    float two = fold(c + d);
    for (int i = wide; i < classes; ++i) {
      one += exp(in[i] - base);
      two += exp(on[i] - root);
    }
    loss[row] = log(one) - (in[target[row]] - base);
    loss[other] = log(two) - (on[target[other]] - root);
  }
}
