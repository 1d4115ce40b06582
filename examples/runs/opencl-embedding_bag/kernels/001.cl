// /// kernel
// language = "opencl"
// when = "dtype(table) == 'float32' and dtype(out) == 'float32' and dtype(indices) == 'int32' and dtype(offsets) == 'int32'"
// [tune]
// BAGS = [32, 8, 128]
// [[launch]]
// entry = "bags_in_registers"
// grid = ["cdiv(bags, BAGS)"]
// block = ["1"]
// ///
// One item per group takes BAGS bags; 64 columns of a bag's sum stay in four 16-wide registers.
__kernel void bags_in_registers(__global const float *table, __global const int *indices, __global const int *offsets,
                                __global float *out, int dim, int bags) {
  const int from = (int)get_group_id(0) * BAGS;
  const int to = min(from + BAGS, bags);
  for (int bag = from; bag < to; ++bag) {
    const int first = offsets[bag];
    const int last = offsets[bag + 1];
    __global float *sum = out + (size_t)bag * dim;
    int col = 0;
    for (; col + 64 <= dim; col += 64) {
      float16 a = (float16)(0.0f), b = a, c = a, d = a;
      for (int i = first; i < last; ++i) {
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
}
