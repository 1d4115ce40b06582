// /// kernel
// language = "opencl"
// [scratch.partial]
// shape = ["cdiv(rows, 8)", "cols"]
// dtype = "float32"
// [[launch]]
// entry = "rms_norm_backward_rows"
// grid = ["cdiv(rows, 8)"]
// block = ["64"]
// [[launch]]
// entry = "sum_partial"
// grid = ["cdiv(cols, 64)"]
// block = ["64"]
// args = { parts = "cdiv(rows, 8)" }
// ///
// A work-group takes 8 rows. It first reduces each to two numbers, then writes their dx and adds up what they give to
// dweight, column by column. The second launch adds up what the groups found, always in the same order.
#define GROUP 64
#define ROWS 8

__kernel void rms_norm_backward_rows(__global const x_t *x, __global const weight_t *weight, __global const dy_t *dy,
                                     __global dx_t *dx, __global float *partial, int rows, int cols, float eps) {
  __local float squares[GROUP];
  __local float products[GROUP];
  __local float scales[ROWS];
  __local float means[ROWS];
  const int lane = get_local_id(0);
  const size_t first = get_group_id(0) * (size_t)ROWS;
  const int count = min((size_t)ROWS, (size_t)rows - first);

  for (int row = 0; row < count; row++) {
    const size_t start = (first + row) * cols;
    float square = 0.0f;
    float product = 0.0f;
    for (int col = lane; col < cols; col += GROUP) {
      const float value = x[start + col];
      square += value * value;
      product += (float)dy[start + col] * (float)weight[col] * value;
    }
    squares[lane] = square;
    products[lane] = product;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_size = GROUP / 2; half_size > 0; half_size /= 2) {
      if (lane < half_size) {
        squares[lane] += squares[lane + half_size];
        products[lane] += products[lane + half_size];
      }
      barrier(CLK_LOCAL_MEM_FENCE);
    }
    if (lane == 0) {
      scales[row] = 1.0f / sqrt(squares[0] / cols + eps);
      means[row] = products[0] * scales[row] / cols;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }

  for (int col = lane; col < cols; col += GROUP) {
    float total = 0.0f;
    for (int row = 0; row < count; row++) {
      const size_t at = (first + row) * cols + col;
      const float gradient = dy[at];
      const float normal = (float)x[at] * scales[row];
      dx[at] = scales[row] * (gradient * (float)weight[col] - normal * means[row]);
      total += gradient * normal;
    }
    partial[get_group_id(0) * (size_t)cols + col] = total;
  }
}

__kernel void sum_partial(__global const float *partial, __global dweight_t *dweight, int parts, int cols) {
  const int col = get_global_id(0);
  if (col >= cols) {
    return;
  }
  float total = 0.0f;
  for (int part = 0; part < parts; part++) {
    total += partial[part * (size_t)cols + col];
  }
  dweight[col] = total;
}
