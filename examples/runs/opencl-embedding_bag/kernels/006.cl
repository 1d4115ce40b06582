// /// kernel
// language = "opencl"
// when = "dtype(table) == 'float32' and dtype(out) == 'float32' and dtype(indices) == 'int32' and dtype(offsets) == 'int32'"
// [tune]
// AHEAD = [16, 32]
// BAGS = [32, 128]
// [scratch.sink]
// shape = ["cdiv(bags, BAGS)"]
// dtype = "int32"
// [[launch]]
// entry = "bags_split_end"
// grid = ["cdiv(bags, BAGS)"]
// block = ["1"]
// ///
// Many small groups for balance between the threads. One touch level: one word of each cache line, AHEAD rows early;
// the touched words are gathered in one 4-wide register. The last AHEAD rows of all are added without touching, so that
// no index is clamped.
__kernel void bags_split_end(__global const float *restrict table, __global const int *restrict indices,
                             __global const int *restrict offsets, __global float *restrict out,
                             __global int *restrict sink, int dim, int bags, int count) {
  const int from = (int)get_group_id(0) * BAGS;
  const int to = min(from + BAGS, bags);
  int4 touched = (int4)(0);
  for (int bag = from; bag < to; ++bag) {
    const int first = offsets[bag];
    const int last = offsets[bag + 1];
    const int middle = max(first, min(last, count - AHEAD));
    __global float *sum = out + (size_t)bag * dim;
    int col = 0;
    for (; col + 64 <= dim; col += 64) {
      float16 a = (float16)(0.0f), b = a, c = a, d = a;
      int i = first;
      for (; i < middle; ++i) {
        __global const float *later = table + (size_t)indices[i + AHEAD] * dim + col;
        __global const float *row = table + (size_t)indices[i] * dim + col;
        touched ^= (int4)(as_int(later[0]), as_int(later[16]), as_int(later[32]), as_int(later[48]));
        a += vload16(0, row);
        b += vload16(0, row + 16);
        c += vload16(0, row + 32);
        d += vload16(0, row + 48);
      }
      for (; i < last; ++i) {
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
  sink[get_group_id(0)] = touched.x ^ touched.y ^ touched.z ^ touched.w;
}
