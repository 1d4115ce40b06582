// /// kernel
// language = "opencl"
// [[launch]]
// entry = "mbdt"
// grid = ["cdiv(rows * cols, 64)"]
// block = ["64"]
// ///
// One work-item per value: it counts the borders below.
__kernel void mbdt(__global const x_t *x, __global const border_t *border, __global bucket_t *bucket, int rows,
                   int cols, int borders) {
  const size_t item = get_global_id(0);
  if (item >= (size_t)rows * cols) {
    return;
  }
  const float value = x[item];
  int below = 0;
  for (int i = 0; i < borders; i++) {
    below += border[i] < value;
  }
  bucket[item] = below;
}
