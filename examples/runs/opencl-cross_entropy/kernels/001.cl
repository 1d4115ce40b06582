// /// kernel
// language = "opencl"
// when = "dtype(logits) == 'float32' and dtype(loss) == 'float32' and dtype(target) == 'int32'"
// [tune]
// ROWS = [4, 1, 16]
// [[launch]]
// entry = "cross_entropy_serial"
// grid = ["cdiv(rows, ROWS)"]
// block = ["1"]
// ///
// One item per group walks ROWS rows: the maximum, then the sum of an inline polynomial exponential in 16 lanes.
static float16 exp_neg(float16 v) {
  // v <= 0; exp(v) = 2**n * exp(f), |f| <= ln(2)/2
  const float16 low = (float16)(-87.0f);
  v = v > low ? v : low;
  const float16 z = v * 1.44269504f + 12582912.0f;
  const float16 n = z - 12582912.0f;
  const float16 f = (v - n * 0.693359375f) + n * 2.12194440e-4f;
  float16 p = f * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * f + 8.3334519073e-3f;
  p = p * f + 4.1665795894e-2f;
  p = p * f + 1.6666665459e-1f;
  p = p * f + 5.0000001201e-1f;
  p = p * (f * f) + f + 1.0f;
  return as_float16(as_int16(p) + (as_int16(z) << 23));
}

__kernel void cross_entropy_serial(__global const float *logits, __global const int *target, __global float *loss,
                                   int rows, int classes) {
  const int first = (int)get_group_id(0) * ROWS;
  const int last = min(first + ROWS, rows);
  const int wide = classes & ~31;
  for (int row = first; row < last; ++row) {
    __global const float *in = logits + (size_t)row * classes;
    float peak = in[0];
    int i = 0;
    if (wide > 0) {
      float16 a = vload16(0, in), b = vload16(0, in + 16);
      for (i = 32; i < wide; i += 32) {
        const float16 p = vload16(0, in + i);
        const float16 q = vload16(0, in + i + 16);
        a = a > p ? a : p;
        b = b > q ? b : q;
      }
      a = a > b ? a : b;
      const float8 e = a.lo > a.hi ? a.lo : a.hi;
      const float4 f = e.lo > e.hi ? e.lo : e.hi;
      const float2 g = f.lo > f.hi ? f.lo : f.hi;
      peak = g.x > g.y ? g.x : g.y;
    }
    for (; i < classes; ++i) {
      peak = in[i] > peak ? in[i] : peak;
    }
    float16 a = (float16)(0.0f), b = a;
    for (i = 0; i < wide; i += 32) {
      a += exp_neg(vload16(0, in + i) - peak);
      b += exp_neg(vload16(0, in + i + 16) - peak);
    }
    a += b;
    const float8 e = a.lo + a.hi;
    const float4 f = e.lo + e.hi;
    const float2 g = f.lo + f.hi;
    float total = g.x + g.y;
    for (; i < classes; ++i) {
      total += exp(in[i] - peak);
    }
    loss[row] = log(total) - (in[target[row]] - peak);
  }
}
