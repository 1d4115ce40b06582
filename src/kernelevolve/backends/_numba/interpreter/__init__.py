"""Numba kernels in plain Python: numbers, arrays, threads and intrinsics as the compiled kernel would have them.

numba-cuda's own simulator gives every thread of a block a thread of Python, wraps negative indices, follows NumPy's
promotion where the compiler has its own, and lacks warps. Here its modules serve imports, vector types and whatever is
right as it is; threads are generators that a scheduler runs from barrier to barrier.
"""
