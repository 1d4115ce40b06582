// /// kernel
// language = "opencl"
// when = "dtype(table) == 'float32' and dtype(out) == 'float32' and dtype(indices) == 'int32' and dtype(offsets) == 'int32'"
// [tune]
// AHEAD = [24, 12, 48]
// BAGS = [64, 16]
// [scratch.sink]
// shape = ["cdiv(bags, BAGS)"]
// dtype = "int32"
// [[launch]]
// entry = "bags_two_touches"
// grid = ["cdiv(bags, BAGS)"]
// block = ["1"]
// ///
// A group's bags are one unbroken range of indices. Two words of each row, one a pair of cache lines, are touched
// AHEAD rows early without regard to bag ends; short chains of adds in float8.
__kernel void bags_two_touches(__global const float *restrict table, __global const int *restrict indices,
                               __global const int *restrict offsets, __global float *restrict out,
                               __global int *restrict sink, int dim, int bags, int count) {
  const int from = (int)get_group_id(0) * BAGS;
  const int to = min(from + BAGS, bags);
  const int stop = offsets[to];
  int touched = 0;
  int i = offsets[from];
  for (int bag = from; bag < to; ++bag) {
    const int first = i;
    const int last = offsets[bag + 1];
    __global float *sum = out + (size_t)bag * dim;
    int col = 0;
    for (; col + 64 <= dim; col += 64) {
      float8 a = (float8)(0.0f), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
      for (int k = first; k < last; ++k) {
        __global const float *row = table + (size_t)indices[k] * dim + col;
        if (k + AHEAD < stop) {
          __global const float *later = table + (size_t)indices[k + AHEAD] * dim + col;
          touched ^= as_int(later[0]) ^ as_int(later[32]);
        }
        a += vload8(0, row);
        b += vload8(0, row + 8);
        c += vload8(0, row + 16);
        d += vload8(0, row + 24);
        e += vload8(0, row + 32);
        f += vload8(0, row + 40);
        g += vload8(0, row + 48);
        h += vload8(0, row + 56);
      }
      vstore8(a, 0, sum + col);
      vstore8(b, 0, sum + col + 8);
      vstore8(c, 0, sum + col + 16);
      vstore8(d, 0, sum + col + 24);
      vstore8(e, 0, sum + col + 32);
      vstore8(f, 0, sum + col + 40);
      vstore8(g, 0, sum + col + 48);
      vstore8(h, 0, sum + col + 56);
    }
    for (; col < dim; ++col) {
      float total = 0.0f;
      for (int k = first; k < last; ++k) {
        total += table[(size_t)indices[k] * dim + col];
      }
      sum[col] = total;
    }
    i = last;
  }
  sink[get_group_id(0)] = touched;
}
