# /// kernel
# language = "numba"
# [tune]
# THREADS = [128, 64, 256, 512]
# [[launch]]
# entry = "conv1d"
# grid = ["cdiv(batch * cout * length, THREADS)"]
# block = ["THREADS"]
# ///
# One thread per element of the result; neighbours differ in their place along the length.
from numba import cuda, float32


@cuda.jit
def conv1d(x, weight, y, batch, cin, cout, length, taps):
    item = cuda.grid(1)
    place = item % length
    channel = item // length % cout
    sample = item // length // cout
    if sample >= batch:
        return
    total = float32(0.0)
    for c in range(cin):
        for tap in range(taps):
            source = place + tap - taps // 2
            if source >= 0 and source < length:
                total += float32(x[sample, c, source]) * float32(weight[channel, c, tap])
    y[sample, channel, place] = total
