// /// kernel
// language = "opencl"
// when = "dim <= 4096 and dtype(table) == 'float32' and dtype(out) == 'float32' and dtype(indices) == 'int32' and dtype(offsets) == 'int32'"
// constraints = ["CHUNK * dim <= 262144"]
// [tune]
// CHUNK = [64, 32]
// SPLIT = [8, 32]
// [[launch]]
// entry = "bags_staged"
// grid = ["num_units * SPLIT"]
// block = ["1"]
// args = { groups = "num_units * SPLIT" }
// local = { stage = { shape = ["CHUNK", "dim"], dtype = "float32" } }
// ///
// The rows of CHUNK indices are copied to local memory without regard to bags, a loop with no branch and no chain of
// adds; the bags are then added up from there. A bag across two chunks goes on from its partial sum in the output.
__kernel void bags_staged(__global const float *restrict table, __global const int *restrict indices,
                          __global const int *restrict offsets, __global float *restrict out,
                          __local float *restrict stage, int dim, int bags, int groups) {
  const int g = (int)get_group_id(0);
  const int from = (int)((long)bags * g / groups);
  const int to = (int)((long)bags * (g + 1) / groups);
  const int stop = offsets[to];
  int bag = from;
  for (int base = offsets[from]; base < stop; base += CHUNK) {
    const int end = min(base + CHUNK, stop);
    for (int i = base; i < end; ++i) {
      __global const float *row = table + (size_t)indices[i] * dim;
      __local float *copy = stage + (size_t)(i - base) * dim;
      int col = 0;
      for (; col + 64 <= dim; col += 64) {
        const float16 a = vload16(0, row + col);
        const float16 b = vload16(0, row + col + 16);
        const float16 c = vload16(0, row + col + 32);
        const float16 d = vload16(0, row + col + 48);
        vstore16(a, 0, copy + col);
        vstore16(b, 0, copy + col + 16);
        vstore16(c, 0, copy + col + 32);
        vstore16(d, 0, copy + col + 48);
      }
      for (; col < dim; ++col) {
        copy[col] = row[col];
      }
    }
    while (bag < to) {
      const int begins = offsets[bag];
      const int ends = offsets[bag + 1];
      const int first = max(begins, base) - base;
      const int last = min(ends, end) - base;
      __global float *sum = out + (size_t)bag * dim;
      int col = 0;
      for (; col + 64 <= dim; col += 64) {
        float16 a = (float16)(0.0f), b = a, c = a, d = a;
        if (begins < base) {
          a = vload16(0, sum + col);
          b = vload16(0, sum + col + 16);
          c = vload16(0, sum + col + 32);
          d = vload16(0, sum + col + 48);
        }
        for (int i = first; i < last; ++i) {
          __local const float *row = stage + (size_t)i * dim + col;
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
      for (; col < dim; ++col) {
        float total = begins < base ? sum[col] : 0.0f;
        for (int i = first; i < last; ++i) {
          total += stage[(size_t)i * dim + col];
        }
        sum[col] = total;
      }
      if (ends > end) {
        break;
      }
      ++bag;
    }
  }
  for (; bag < to; ++bag) {
    for (int col = 0; col < dim; ++col) {
      out[(size_t)bag * dim + col] = 0.0f;
    }
  }
}
