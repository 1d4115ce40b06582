// /// kernel
// language = "opencl"
// [scratch.chunk_total]
// shape = ["cdiv(rows, 256)"]
// dtype = "int32"
// [[launch]]
// entry = "chunk_totals"
// grid = ["cdiv(rows, 256)"]
// block = ["256"]
// [[launch]]
// entry = "scan"
// grid = ["cdiv(rows, 256)"]
// block = ["256"]
// [[launch]]
// entry = "move"
// grid = ["rows"]
// block = ["64"]
// ///
// A scan over chunks of rows finds where each row goes: the totals of the chunks, then the offsets inside each, after
// what the chunks before it hold. Then one work-group per row copies the events that stay, and fills as many places of
// the tail with zeros as the row loses: so each row writes as many places as it has events, and all are written.
#define CHUNK 256
#define GROUP 64

// The inclusive sum over the items of a group, in log2(CHUNK) steps (Hillis and Steele, 1986).
int inclusive_sum(int value, __local int *partial) {
  const int lane = get_local_id(0);
  partial[lane] = value;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int step = 1; step < CHUNK; step *= 2) {
    const int before = lane >= step ? partial[lane - step] : 0;
    barrier(CLK_LOCAL_MEM_FENCE);
    partial[lane] += before;
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  return partial[lane];
}

int stays(__global const offsets_t *offsets, int row, int rows, int limit) {
  return row < rows ? min((int)(offsets[row + 1] - offsets[row]), limit) : 0;
}

__kernel void chunk_totals(__global const offsets_t *offsets, __global int *chunk_total, int rows, int limit) {
  __local int partial[CHUNK];
  const int sum = inclusive_sum(stays(offsets, get_global_id(0), rows, limit), partial);
  if (get_local_id(0) == CHUNK - 1) {
    chunk_total[get_group_id(0)] = sum;
  }
}

__kernel void scan(__global const offsets_t *offsets, __global const int *chunk_total,
                   __global kept_offsets_t *kept_offsets, int rows, int limit) {
  __local int partial[CHUNK];
  const int lane = get_local_id(0);
  const int row = get_global_id(0);
  int before = 0;
  for (int chunk = lane; chunk < get_group_id(0); chunk += CHUNK) {
    before += chunk_total[chunk];
  }
  inclusive_sum(before, partial);
  before = partial[CHUNK - 1];
  barrier(CLK_LOCAL_MEM_FENCE);
  const int sum = inclusive_sum(stays(offsets, row, rows, limit), partial);
  if (row < rows) {
    kept_offsets[row + 1] = before + sum;
  }
  if (row == 0) {
    kept_offsets[0] = 0;
  }
}

__kernel void move(__global const values_t *values, __global const offsets_t *offsets,
                   __global const kept_offsets_t *kept_offsets, __global kept_t *kept, int rows) {
  const size_t row = get_group_id(0);
  const int target = kept_offsets[row];
  const int count = kept_offsets[row + 1] - target;
  const int source = offsets[row + 1] - count;
  for (int i = get_local_id(0); i < count; i += GROUP) {
    kept[target + i] = values[source + i];
  }
  const int lost = source - offsets[row];
  const int tail = kept_offsets[rows] + offsets[row] - target;
  for (int i = get_local_id(0); i < lost; i += GROUP) {
    kept[tail + i] = 0;
  }
}
