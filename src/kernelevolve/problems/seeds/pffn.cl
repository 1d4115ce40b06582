// /// kernel
// language = "opencl"
// [scratch.inner]
// shape = ["batch", "tokens", "hidden"]
// dtype = "float32"
// [scratch.outer]
// shape = ["batch", "tokens", "width"]
// dtype = "float32"
// [[launch]]
// entry = "expand"
// grid = ["cdiv(batch * tokens * hidden, 64)"]
// block = ["64"]
// [[launch]]
// entry = "normalise_inner"
// grid = ["batch * tokens"]
// block = ["64"]
// [[launch]]
// entry = "contract"
// grid = ["cdiv(batch * tokens * width, 64)"]
// block = ["64"]
// [[launch]]
// entry = "normalise_outer"
// grid = ["batch * tokens"]
// block = ["64"]
// ///
// Four steps: product and GELU, normalisation in place, product, normalisation. The products have one work-item per
// element, the normalisations one work-group per row.
#define GROUP 64

__kernel void expand(__global const x_t *x, __global const w1_t *w1, __global float *inner, int batch, int tokens,
                     int width, int hidden) {
  const size_t item = get_global_id(0);
  if (item >= (size_t)batch * tokens * hidden) {
    return;
  }
  const int col = item % hidden;
  const size_t line = item / hidden;
  const size_t sample = line / tokens;
  float total = 0.0f;
  for (int i = 0; i < width; i++) {
    total += (float)x[line * width + i] * (float)w1[(sample * width + i) * hidden + col];
  }
  inner[item] = 0.5f * total * (1.0f + erf(total * 0.70710678f));
}

float root_mean_square(__global const float *row, int count, float eps, __local float *partial) {
  const int lane = get_local_id(0);
  float squares = 0.0f;
  for (int col = lane; col < count; col += GROUP) {
    squares += row[col] * row[col];
  }
  partial[lane] = squares;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int half_size = GROUP / 2; half_size > 0; half_size /= 2) {
    if (lane < half_size) {
      partial[lane] += partial[lane + half_size];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  return sqrt(partial[0] / count + eps);
}

__kernel void normalise_inner(__global float *inner, __global const g1_t *g1, int hidden, float eps) {
  __local float partial[GROUP];
  __global float *row = inner + get_group_id(0) * (size_t)hidden;
  const float root = root_mean_square(row, hidden, eps, partial);
  for (int col = get_local_id(0); col < hidden; col += GROUP) {
    row[col] = row[col] / root * (float)g1[col];
  }
}

__kernel void contract(__global const float *inner, __global const w2_t *w2, __global float *outer, int batch,
                       int tokens, int width, int hidden) {
  const size_t item = get_global_id(0);
  if (item >= (size_t)batch * tokens * width) {
    return;
  }
  const int col = item % width;
  const size_t line = item / width;
  const size_t sample = line / tokens;
  float total = 0.0f;
  for (int i = 0; i < hidden; i++) {
    total += inner[line * hidden + i] * (float)w2[(sample * hidden + i) * width + col];
  }
  outer[item] = total;
}

__kernel void normalise_outer(__global const float *outer, __global const g2_t *g2, __global y_t *y, int width,
                              float eps) {
  __local float partial[GROUP];
  const size_t start = get_group_id(0) * (size_t)width;
  const float root = root_mean_square(outer + start, width, eps, partial);
  for (int col = get_local_id(0); col < width; col += GROUP) {
    y[start + col] = outer[start + col] / root * (float)g2[col];
  }
}
