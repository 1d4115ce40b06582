// /// kernel
// language = "opencl"
// when = "cols <= 16384 and dtype(x) == 'float32' and dtype(weight) == 'float32' and dtype(y) == 'float32'"
// constraints = ["BATCH * cols <= 262144"]
// [tune]
// BATCH = [8, 4, 16]
// SPLIT = [16, 64]
// [[launch]]
// entry = "rms_norm_block_copy"
// grid = ["num_units * SPLIT"]
// block = ["1"]
// args = { groups = "num_units * SPLIT" }
// local = { stage = { shape = ["BATCH", "cols"], dtype = "float32" } }
// ///
// BATCH whole rows of the result are made in local memory and written by one bulk copy, which need not read the lines
// that it overwrites.
static float fold(float16 a) {
  const float8 e = a.lo + a.hi;
  const float4 f = e.lo + e.hi;
  const float2 g = f.lo + f.hi;
  return g.x + g.y;
}

__kernel void rms_norm_block_copy(__global const float *restrict x, __global const float *restrict weight,
                                  __global float *restrict y, __local float *restrict stage, int rows, int cols,
                                  int groups, float eps) {
  const int g = (int)get_group_id(0);
  const int from = (int)((long)rows * g / groups);
  const int to = (int)((long)rows * (g + 1) / groups);
  const int wide = cols & ~31;
  for (int start = from; start < to; start += BATCH) {
    const int end = min(start + BATCH, to);
    for (int row = start; row < end; ++row) {
      __global const float *in = x + (size_t)row * cols;
      __local float *out = stage + (row - start) * cols;
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
      const float scale = 1.0f / sqrt(total / (float)cols + eps);
      for (col = 0; col < wide; col += 32) {
        vstore16(vload16(0, in + col) * scale * vload16(0, weight + col), 0, out + col);
        vstore16(vload16(0, in + col + 16) * scale * vload16(0, weight + col + 16), 0, out + col + 16);
      }
      for (; col < cols; ++col) {
        out[col] = in[col] * scale * weight[col];
      }
    }
    event_t done = async_work_group_copy(y + (size_t)start * cols, stage, (size_t)(end - start) * cols, 0);
    wait_group_events(1, &done);
  }
}
