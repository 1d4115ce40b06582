// /// kernel
// language = "opencl"
// [[launch]]
// entry = "attention"
// grid = ["batch * heads * length"]
// block = ["64"]
// ///
// One work-group per query. It walks over the keys in blocks of one key per item and keeps a running maximum and a
// running sum of the softmax (Milakov and Gimelshein, 2018); each item adds up every 64th component of the result, of
// which there are at most 128.
#define GROUP 64
#define WIDEST 128

__kernel void attention(__global const q_t *q, __global const k_t *k, __global const v_t *v, __global o_t *o,
                        int length, int dim) {
  __local float query[WIDEST];
  __local float share[GROUP];
  const int lane = get_local_id(0);
  const size_t line = get_group_id(0);
  const int row = line % length;
  const size_t head = (line - row) * dim;
  const float scale = 1.0f / sqrt((float)dim);
  float result[WIDEST / GROUP];
  float peak = -INFINITY;
  float total = 0.0f;
  for (int part = 0; part < WIDEST / GROUP; part++) {
    result[part] = 0.0f;  // PoCL 3.0 mistakes an initialiser of the array
  }
  for (int i = lane; i < dim; i += GROUP) {
    query[i] = (float)q[line * dim + i];
  }

  for (int start = 0; start <= row; start += GROUP) {
    barrier(CLK_LOCAL_MEM_FENCE);
    const int key = start + lane;
    float logit = -INFINITY;
    if (key <= row) {
      logit = 0.0f;
      for (int i = 0; i < dim; i++) {
        logit += query[i] * (float)k[head + (size_t)key * dim + i];
      }
      logit *= scale;
    }
    share[lane] = logit;
    barrier(CLK_LOCAL_MEM_FENCE);
    float block_peak = peak;
    for (int i = 0; i < GROUP; i++) {
      block_peak = fmax(block_peak, share[i]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    share[lane] = exp(logit - block_peak);
    barrier(CLK_LOCAL_MEM_FENCE);

    const float rescale = exp(peak - block_peak);
    const int keys = min(GROUP, row + 1 - start);
    peak = block_peak;
    total *= rescale;
    for (int i = 0; i < keys; i++) {
      total += share[i];
    }
    for (int part = 0; part < WIDEST / GROUP; part++) {
      const int col = part * GROUP + lane;
      if (col < dim) {
        float sum = result[part] * rescale;
        for (int i = 0; i < keys; i++) {
          sum += share[i] * (float)v[head + (size_t)(start + i) * dim + col];
        }
        result[part] = sum;
      }
    }
  }

  for (int part = 0; part < WIDEST / GROUP; part++) {
    const int col = part * GROUP + lane;
    if (col < dim) {
      o[line * dim + col] = result[part] / total;
    }
  }
}
