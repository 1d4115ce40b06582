// /// kernel
// language = "opencl"
// [[launch]]
// entry = "map_id"
// grid = ["cdiv(count, 64)"]
// block = ["64"]
// ///
// One work-item per value: a binary search for the first entry of the table that is not below it.
__kernel void map_id(__global const values_t *values, __global const table_t *table, __global index_t *index, int count,
                     int size) {
  const size_t item = get_global_id(0);
  if (item >= count) {
    return;
  }
  const values_t value = values[item];
  int low = 0;
  int high = size;
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (table[middle] < value) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  index[item] = low < size && table[low] == value ? low : -1;
}
