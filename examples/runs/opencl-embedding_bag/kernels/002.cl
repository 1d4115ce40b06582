// /// kernel
// language = "opencl"
// when = "dtype(table) == 'float32' and dtype(out) == 'float32' and dtype(indices) == 'int32' and dtype(offsets) == 'int32'"
// [tune]
// AHEAD = [16, 8, 32]
// SPLIT = [8, 1]
// [scratch.sink]
// shape = ["num_units * SPLIT"]
// dtype = "int32"
// [[launch]]
// entry = "bags_ahead"
// grid = ["num_units * SPLIT"]
// block = ["1"]
// args = { groups = "num_units * SPLIT" }
// ///
// A few single-item groups take equal shares of the bags. Every row is touched, one word a cache line, AHEAD rows
// before it is added, across the ends of bags; the touched words go to a scratch word that nothing reads.
__kernel void bags_ahead(__global const float *table, __global const int *indices, __global const int *offsets,
                         __global float *out, __global int *sink, int dim, int bags, int count, int groups) {
  const int g = (int)get_group_id(0);
  const int from = (int)((long)bags * g / groups);
  const int to = (int)((long)bags * (g + 1) / groups);
  int touched = 0;
  for (int bag = from; bag < to; ++bag) {
    const int first = offsets[bag];
    const int last = offsets[bag + 1];
    __global float *sum = out + (size_t)bag * dim;
    int col = 0;
    for (; col + 64 <= dim; col += 64) {
      float16 a = (float16)(0.0f), b = a, c = a, d = a;
      for (int i = first; i < last; ++i) {
        __global const float *later = table + (size_t)indices[min(i + AHEAD, count - 1)] * dim + col;
        touched ^= as_int(later[0]) ^ as_int(later[16]) ^ as_int(later[32]) ^ as_int(later[48]);
        __global const float *row = table + (size_t)indices[i] * dim + col;
        a += vload16(0, row);
        b += vload16(0, row + 16);
        c += vload16(0, row + 32);
        d += vload16(0, row + 48);
      }
      vstore16(a, 0, sum + col);
      vstore16(b, 0, sum + col + 16);
      vstore16(c, 0, sum + col + 32);
      vstore16(d, 0, sum + col + 48);
    }
    for (; col + 8 <= dim; col += 8) {
      float8 a = (float8)(0.0f);
      for (int i = first; i < last; ++i) {
        a += vload8(0, table + (size_t)indices[i] * dim + col);
      }
      vstore8(a, 0, sum + col);
    }
    for (; col < dim; ++col) {
      float total = 0.0f;
      for (int i = first; i < last; ++i) {
        total += table[(size_t)indices[i] * dim + col];
      }
      sum[col] = total;
    }
  }
  sink[g] = touched;
}
