// /// kernel
// language = "opencl"
// when = "dtype(table) == 'float32' and dtype(out) == 'float32' and dtype(indices) == 'int32' and dtype(offsets) == 'int32'"
// [tune]
// AHEAD = [12, 6, 24]
// FAR = [48, 96]
// SPLIT = [8, 2]
// [scratch.sink]
// shape = ["num_units * SPLIT"]
// dtype = "int32"
// [[launch]]
// entry = "bags_two_level"
// grid = ["num_units * SPLIT"]
// block = ["1"]
// args = { groups = "num_units * SPLIT" }
// ///
// A few single-item groups take equal shares of the bags. One word of a row is touched FAR rows early (the page), one
// word of each of its cache lines AHEAD rows early; touched words go to a scratch word that nothing reads.
__kernel void bags_two_level(__global const float *restrict table, __global const int *restrict indices,
                             __global const int *restrict offsets, __global float *restrict out,
                             __global int *restrict sink, int dim, int bags, int count, int groups) {
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
        __global const float *page = table + (size_t)indices[min(i + FAR, count - 1)] * dim + col;
        __global const float *later = table + (size_t)indices[min(i + AHEAD, count - 1)] * dim + col;
        __global const float *row = table + (size_t)indices[i] * dim + col;
        touched ^= as_int(page[0]);
        touched ^= as_int(later[16]) ^ as_int(later[32]) ^ as_int(later[48]);
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
