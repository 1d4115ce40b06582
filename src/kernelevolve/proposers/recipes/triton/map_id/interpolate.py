#: note where a value should lie if the table grew evenly, corrected by entries kept on chip; then a window is read
#: rank 5
# /// kernel
# language = "triton"
# when = "size <= 2**30"
# constraints = ["BLOCK <= 64 * num_warps", "BLOCK >= 32 * num_warps", "SAMPLES >= 32 * num_warps"]
# [tune]
# BLOCK = [512, 1024, 256]
# WINDOW = [16, 8]
# SAMPLES = [512, 1024, 256]
# PER_UNIT = [4, 2, 3, 6]
# num_warps = [8, 16, 4]
# [[launch]]
# entry = "look_up"
# grid = ["min(PER_UNIT * num_units, cdiv(count, BLOCK))"]
# args = { STRIDE = "next_pow2(cdiv(size, SAMPLES))" }
# ///
# A load of which every lane asks for another line takes a cycle a lane, 4 us for 1,000,000 values on an H100, however
# few bytes it is for; a binary search of 50,000 entries has about five such loads, and some ten that cost less. Here
# is one. Every STRIDE-th entry is kept in shared memory, where lanes wait less: for a table whose steps are drawn at random the first guess is some 50 places off, the second and third, each from the nearest sample, two or
# three, and a window of 16, four lanes side by side, holds all but a few. Those go on from the window's end, and every
# third window halves what is left, whatever the table is like.
# Floor: 8 MB at 3 TB/s are 3 us, a launch 3 us. Expected: 11 to 14 us.
import triton
import triton.language as tl


@triton.jit
def correct(guess, wanted, sample, pace, most, STRIDE: tl.constexpr):
    # The guess that follows from the sample next to this one.
    near = tl.minimum((guess + STRIDE // 2) // STRIDE, most // STRIDE)
    entry = tl.gather(sample, near, axis=0)
    step = (wanted - entry.to(tl.float32)) * pace
    return tl.minimum(tl.maximum(near * STRIDE + step.to(tl.int32), 0), most)


@triton.jit
def look_up(
    values,
    table,
    index,
    count,
    size,
    BLOCK: tl.constexpr,
    WINDOW: tl.constexpr,
    SAMPLES: tl.constexpr,
    STRIDE: tl.constexpr,
):
    most = size - 1
    first = tl.load(table).to(tl.float32)
    last = tl.load(table + most).to(tl.float32)
    sample = tl.load(table + tl.minimum(tl.arange(0, SAMPLES) * STRIDE, most))
    # Places for each unit of value. All that comes of a guess is checked, so float32 will do.
    pace = most / tl.maximum(last - first, 1.0)
    lanes = tl.arange(0, BLOCK)
    step = tl.num_programs(0) * BLOCK
    begin = tl.program_id(0) * BLOCK
    upcoming = tl.load(values + begin + lanes, mask=begin + lanes < count, other=0)
    for start_of_block in range(begin, count, step):
        item = start_of_block + lanes
        value = upcoming
        upcoming = tl.load(values + item + step, mask=item < count - step, other=0)
        wanted = value.to(tl.float32)
        guess = tl.minimum(tl.maximum((wanted - first) * pace, 0.0), most.to(tl.float32)).to(tl.int32)
        guess = correct(guess, wanted, sample, pace, most, STRIDE)
        guess = correct(guess, wanted, sample, pace, most, STRIDE)

        # Entries before `low` are smaller than the value, those from `high` on are not.
        low = tl.zeros((BLOCK,), tl.int32)
        high = tl.zeros((BLOCK,), tl.int32) + size
        answer = tl.full((BLOCK,), -1, tl.int32)
        unknown = item < count
        turn = 0
        while tl.max(unknown.to(tl.int32), axis=0) > 0:
            start = tl.maximum(guess - (WINDOW // 2 - 2), 0) // 4 * 4
            entries = start[:, None] + tl.arange(0, WINDOW)[None, :]
            window = tl.load(table + entries, mask=unknown[:, None] & (entries < size), other=2147483647)
            # In one sum: how many are smaller, and in the bits above, whether one is the value.
            same = (window == value[:, None]) & (entries < size)
            seen = tl.sum(tl.where(window < value[:, None], 1, tl.where(same, 64, 0)), axis=1)
            smaller = seen % 64
            answer = tl.where(unknown & (seen >= 64), start + smaller, answer)
            unknown = unknown & (seen < 64)
            # Beyond the window on either side, the entry at that side makes the next guess.
            after = unknown & (smaller == WINDOW) & (start + WINDOW < size)
            before = unknown & (smaller == 0) & (start > 0)
            unknown = after | before
            low = tl.where(after, start + WINDOW, low)
            high = tl.where(before, start, high)
            place = tl.where(after, start + WINDOW - 1, start)
            entry = tl.load(table + place, mask=unknown, other=0)
            further = place + ((wanted - entry.to(tl.float32)) * pace).to(tl.int32)
            further = tl.minimum(tl.maximum(further, low), high)
            turn += 1
            guess = tl.where(unknown, tl.where(turn % 3 == 2, low + (high - low) // 2, further), guess)
        tl.store(index + item, answer, mask=item < count)
