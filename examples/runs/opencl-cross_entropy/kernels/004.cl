// /// kernel
// language = "opencl"
// when = "dtype(logits) == 'float32' and dtype(loss) == 'float32' and dtype(target) == 'int32'"
// [tune]
// TILE = [256, 512, 1024]
// SPLIT = [32, 4]
// [[launch]]
// entry = "cross_entropy_tiles"
// grid = ["num_units * SPLIT"]
// block = ["1"]
// args = { groups = "num_units * SPLIT" }
// ///
// Tiles of TILE logits, read from memory by a maximum pass of few operations and again from the first-level cache by
// the exponentials; one horizontal reduction and one test a tile, the reference moved only beyond SLACK. Powers of two
// by a polynomial of degree 5.
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

__kernel void cross_entropy_tiles(__global const float *restrict logits, __global const int *restrict target,
                                  __global float *restrict loss, int rows, int classes, int groups) {
  const int g = (int)get_group_id(0);
  const int from = (int)((long)rows * g / groups);
  const int to = (int)((long)rows * (g + 1) / groups);
  const int wide = classes & ~31;
  for (int row = from; row < to; ++row) {
    __global const float *in = logits + (size_t)row * classes;
    float base = in[0];
    for (int i = wide; i < classes; ++i) {
      base = in[i] > base ? in[i] : base;
    }
    float16 a = (float16)(0.0f), b = a;
    for (int start = 0; start < wide; start += TILE) {
      const int end = min(start + TILE, wide);
      float16 m = (float16)(base), n = m;
      for (int i = start; i < end; i += 32) {
        const float16 p = vload16(0, in + i);
        const float16 q = vload16(0, in + i + 16);
        m = m > p ? m : p;
        n = n > q ? n : q;
      }
      m = m > n ? m : n;
      const float8 e = m.lo > m.hi ? m.lo : m.hi;
      const float4 f = e.lo > e.hi ? e.lo : e.hi;
      const float2 h = f.lo > f.hi ? f.lo : f.hi;
      const float top = h.x > h.y ? h.x : h.y;
      if (top > base + SLACK) {
        const float scale = exp(base - top);
        a *= scale;
        b *= scale;
        base = top;
      }
      for (int i = start; i < end; i += 32) {
        a += exp_of(vload16(0, in + i) - base);
        b += exp_of(vload16(0, in + i + 16) - base);
      }
    }
    a += b;
    const float8 e = a.lo + a.hi;
    const float4 f = e.lo + e.hi;
    const float2 h = f.lo + f.hi;
    float total = h.x + h.y;
    for (int i = wide; i < classes; ++i) {
      total += exp(in[i] - base);
    }
    loss[row] = log(total) - (in[target[row]] - base);
  }
}
