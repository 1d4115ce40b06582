# /// kernel
# language = "triton"
# constraints = ["BLOCK <= 256 * num_warps", "BLOCK >= 32 * num_warps"]
# [tune]
# BLOCK = [512, 256, 1024, 128]
# MARK = [128, 64, 256]
# num_warps = [4, 8, 2]
# [scratch.directory]
# shape = ["next_pow2(size)"]
# dtype = "int64"
# [[launch]]
# entry = "mark"
# grid = ["cdiv(size, MARK)"]
# args = { WORDS = "next_pow2(size)" }
# [[launch]]
# entry = "look_up"
# grid = ["cdiv(count, BLOCK)"]
# args = { WORDS = "next_pow2(size)" }
# ///
#: note a first launch marks the table's numbers in a bitmap with counts; lookups read one word of it; else they search
#: rank 5
# A load of which every lane asks for another line takes a cycle a lane, 4 us for 1,000,000 values on an H100, however
# few bytes it is for; a binary search of 50,000 entries has about five such loads, and some ten that cost less. Here is
# one, if at least one number in 32 of the table's range is in the table: a word has 32 marks and, above them, how many
# numbers are before these. Otherwise it is a binary search.
# Floor: 8 MB at 3 TB/s are 3 us, two launches 4 us, the lookups 4 us. Expected: 12 to 14 us.
import triton
import triton.language as tl


@triton.jit
def ends(table, size, WORDS: tl.constexpr):
    # The first and the last number, and whether the bitmap holds what is between them.
    first, last = tl.load(table), tl.load(table + size - 1)
    return first, last, last.to(tl.int64) - first < 32 * WORDS


@triton.jit
def mark(table, directory, size, WORDS: tl.constexpr, MARK: tl.constexpr):
    first, _, fits = ends(table, size, WORDS)
    if fits:
        item = tl.program_id(0) * MARK + tl.arange(0, MARK)
        word = (tl.load(table + item, mask=item < size, other=first) - first) >> 5
        before = (tl.load(table + item - 1, mask=(item > 0) & (item < size), other=first) - first) >> 5
        before = tl.where(item == 0, -1, before)
        # The first number of a word writes it, and the empty ones before it.
        leads = (item < size) & (word != before)
        marks = tl.zeros((MARK,), tl.uint32)
        for ahead in tl.static_range(32):
            number = tl.load(table + item + ahead, mask=leads & (item < size - ahead), other=first) - first
            same = (item < size - ahead) & (number >> 5 == word)
            marks |= tl.where(same, 1, 0).to(tl.uint32) << (number & 31).to(tl.uint32)
        tl.store(directory + word, (item.to(tl.int64) << 32) | marks.to(tl.int64), mask=leads)
        empty = tl.where(leads, word - before - 1, 0)
        step = 1
        while tl.max(empty, axis=0) >= step:
            tl.store(directory + word - step, tl.zeros((MARK,), tl.int64), mask=empty >= step)
            step += 1


@triton.jit
def ones(bits):
    # How many bits of a word are set.
    bits -= (bits >> 1) & 0x55555555
    bits = (bits & 0x33333333) + ((bits >> 2) & 0x33333333)
    bits = (bits + (bits >> 4)) & 0x0F0F0F0F
    return ((bits * 0x01010101) >> 24).to(tl.int32)


@triton.jit
def look_up(values, table, directory, index, count, size, WORDS: tl.constexpr, BLOCK: tl.constexpr):
    first, last, fits = ends(table, size, WORDS)
    item = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = item < count
    value = tl.load(values + item, mask=inside, other=0, eviction_policy="evict_first")
    if fits:
        between = inside & (value >= first) & (value <= last)
        place = tl.where(between, value, first) - first
        word = tl.load(directory + (place >> 5))
        marks, bit = word.to(tl.uint32), (place & 31).to(tl.uint32)
        known = between & ((marks >> bit) % 2 == 1)
        found = (word >> 32).to(tl.int32) + ones(marks & ((1 << bit) - 1).to(tl.uint32))
    else:
        found = tl.zeros((BLOCK,), tl.int32)
        left = size
        while left > 1:
            half = left // 2
            middle = tl.load(table + found + half, eviction_policy="evict_last")
            found = tl.where(middle <= value, found + half, found)
            left -= half
        known = tl.load(table + found, eviction_policy="evict_last") == value
    tl.store(index + item, tl.where(known, found, -1), mask=inside, eviction_policy="evict_first")
