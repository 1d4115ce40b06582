// /// kernel
// language = "opencl"
// [[launch]]
// entry = "rope_rows"
// grid = ["batch * heads * length"]
// block = ["64"]
// args = { pairs = "half" }
// ///
// One work-group per vector: its items turn pairs of elements that lie half a vector apart.
#define GROUP 64

__kernel void rope_rows(__global const x_t *x, __global const cos_t *cos, __global const sin_t *sin, __global y_t *y,
                        int length, int pairs) {
  const size_t row = get_group_id(0);
  const size_t start = row * 2 * pairs;
  const size_t table = row % length * pairs;

  for (int pair = get_local_id(0); pair < pairs; pair += GROUP) {
    const float first = x[start + pair];
    const float second = x[start + pairs + pair];
    const float c = cos[table + pair];
    const float s = sin[table + pair];
    y[start + pair] = first * c - second * s;
    y[start + pairs + pair] = second * c + first * s;
  }
}
