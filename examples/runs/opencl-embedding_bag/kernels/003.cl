// /// kernel
// language = "opencl"
// when = "dtype(table) == 'float32' and dtype(out) == 'float32' and dtype(indices) == 'int32' and dtype(offsets) == 'int32'"
// [tune]
// BAGS = [64, 16, 256]
// [[launch]]
// entry = "bags_by_four"
// grid = ["cdiv(bags, BAGS)"]
// block = ["1"]
// ///
// Four rows of a bag at a time, their four indices in one load; 32 columns stay in two 16-wide registers and the four
// rows are added in pairs.
__kernel void bags_by_four(__global const float *restrict table, __global const int *restrict indices,
                           __global const int *restrict offsets, __global float *restrict out, int dim, int bags) {
  const int from = (int)get_group_id(0) * BAGS;
  const int to = min(from + BAGS, bags);
  for (int bag = from; bag < to; ++bag) {
    const int first = offsets[bag];
    const int last = offsets[bag + 1];
    __global float *sum = out + (size_t)bag * dim;
    int col = 0;
    for (; col + 32 <= dim; col += 32) {
      float16 a = (float16)(0.0f), b = a;
      int i = first;
      for (; i + 4 <= last; i += 4) {
        const int4 at = vload4(0, indices + i);
        __global const float *p = table + (size_t)at.x * dim + col;
        __global const float *q = table + (size_t)at.y * dim + col;
        __global const float *s = table + (size_t)at.z * dim + col;
        __global const float *t = table + (size_t)at.w * dim + col;
        a += (vload16(0, p) + vload16(0, q)) + (vload16(0, s) + vload16(0, t));
        b += (vload16(0, p + 16) + vload16(0, q + 16)) + (vload16(0, s + 16) + vload16(0, t + 16));
      }
      for (; i < last; ++i) {
        __global const float *p = table + (size_t)indices[i] * dim + col;
        a += vload16(0, p);
        b += vload16(0, p + 16);
      }
      vstore16(a, 0, sum + col);
      vstore16(b, 0, sum + col + 16);
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
