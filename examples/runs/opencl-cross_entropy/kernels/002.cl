// /// kernel
// language = "opencl"
// when = "dtype(logits) == 'float32' and dtype(loss) == 'float32' and dtype(target) == 'int32'"
// [tune]
// TILE = [1024, 256, 4096]
// ROWS = [4, 32]
// [[launch]]
// entry = "cross_entropy_online"
// grid = ["cdiv(rows, ROWS)"]
// block = ["1"]
// ///
// Online: each tile of TILE logits is read twice while it lies in the first-level cache; the running sum is rescaled
// only where a tile raises the maximum. The exponential is 2**t with 8 lanes and no reduction by parts of ln 2.
static float8 exp_neg(float8 v) {
  float8 t = v * 1.44269504f;
  const float8 low = (float8)(-126.0f);
  t = t > low ? t : low;
  const float8 z = t + 12582912.0f;
  const float8 f = t - (z - 12582912.0f);
  float8 p = f * 1.5403530e-4f + 1.3333558e-3f;
  p = p * f + 9.6181291e-3f;
  p = p * f + 5.5504109e-2f;
  p = p * f + 2.4022651e-1f;
  p = p * f + 6.9314718e-1f;
  p = p * f + 1.0f;
  return as_float8(as_int8(p) + (as_int8(z) << 23));
}

__kernel void cross_entropy_online(__global const float *logits, __global const int *target, __global float *loss,
                                   int rows, int classes) {
  const int first = (int)get_group_id(0) * ROWS;
  const int last = min(first + ROWS, rows);
  const int wide = classes & ~31;
  for (int row = first; row < last; ++row) {
    __global const float *in = logits + (size_t)row * classes;
    float peak = in[0];
    for (int i = wide; i < classes; ++i) {
      peak = in[i] > peak ? in[i] : peak;
    }
    float8 a = (float8)(0.0f), b = a, c = a, d = a;
    for (int start = 0; start < wide; start += TILE) {
      const int end = min(start + TILE, wide);
      float8 m = (float8)(peak), n = m, o = m, q = m;
      for (int i = start; i < end; i += 32) {
        const float8 u = vload8(0, in + i);
        const float8 v = vload8(0, in + i + 8);
        const float8 w = vload8(0, in + i + 16);
        const float8 x = vload8(0, in + i + 24);
        m = m > u ? m : u;
        n = n > v ? n : v;
        o = o > w ? o : w;
        q = q > x ? q : x;
      }
      m = m > n ? m : n;
      o = o > q ? o : q;
      m = m > o ? m : o;
      const float4 f = m.lo > m.hi ? m.lo : m.hi;
      const float2 g = f.lo > f.hi ? f.lo : f.hi;
      const float top = g.x > g.y ? g.x : g.y;
      if (top > peak) {
        const float scale = exp(peak - top);
        a *= scale;
        b *= scale;
        c *= scale;
        d *= scale;
        peak = top;
      }
      for (int i = start; i < end; i += 32) {
        a += exp_neg(vload8(0, in + i) - peak);
        b += exp_neg(vload8(0, in + i + 8) - peak);
        c += exp_neg(vload8(0, in + i + 16) - peak);
        d += exp_neg(vload8(0, in + i + 24) - peak);
      }
    }
    a = (a + b) + (c + d);
    const float4 f = a.lo + a.hi;
    const float2 g = f.lo + f.hi;
    float total = g.x + g.y;
    for (int i = wide; i < classes; ++i) {
      total += exp(in[i] - peak);
    }
    loss[row] = log(total) - (in[target[row]] - peak);
  }
}
