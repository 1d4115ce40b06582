// /// kernel
// language = "opencl"
// [[launch]]
// entry = "embedding_bag"
// grid = ["bags"]
// block = ["64"]
// ///
// One work-group per bag; its items stride over the columns and add up the rows that the bag names.
#define GROUP 64

__kernel void embedding_bag(__global const table_t *table, __global const indices_t *indices,
                            __global const offsets_t *offsets, __global out_t *out, int dim) {
  const size_t bag = get_group_id(0);
  const int first = offsets[bag];
  const int last = offsets[bag + 1];
  for (int col = get_local_id(0); col < dim; col += GROUP) {
    float total = 0.0f;
    for (int i = first; i < last; i++) {
      total += (float)table[(size_t)indices[i] * dim + col];
    }
    out[bag * dim + col] = total;
  }
}
