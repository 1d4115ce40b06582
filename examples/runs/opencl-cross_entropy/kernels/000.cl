// /// kernel
// language = "opencl"
// [[launch]]
// entry = "cross_entropy_rows"
// grid = ["rows"]
// block = ["64"]
// ///
// One work-group per row, in two passes: the maximum, then the sum of exponentials.
#define GROUP 64

__kernel void cross_entropy_rows(__global const logits_t *logits, __global const target_t *target,
                                 __global loss_t *loss, int classes) {
  __local float partial[GROUP];
  const int lane = get_local_id(0);
  const size_t row = get_group_id(0);
  const size_t start = row * classes;

  float peak = -INFINITY;
  for (int index = lane; index < classes; index += GROUP) {
    peak = fmax(peak, (float)logits[start + index]);
  }
  partial[lane] = peak;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int half_size = GROUP / 2; half_size > 0; half_size /= 2) {
    if (lane < half_size) {
      partial[lane] = fmax(partial[lane], partial[lane + half_size]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  peak = partial[0];
  barrier(CLK_LOCAL_MEM_FENCE);

  float total = 0.0f;
  for (int index = lane; index < classes; index += GROUP) {
    total += exp((float)logits[start + index] - peak);
  }
  partial[lane] = total;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int half_size = GROUP / 2; half_size > 0; half_size /= 2) {
    if (lane < half_size) {
      partial[lane] += partial[lane + half_size];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }

  if (lane == 0) {
    loss[row] = log(partial[0]) - ((float)logits[start + target[row]] - peak);
  }
}
