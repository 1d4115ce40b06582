"""Evidence on a GPU: what the suite's kernels do there, beside PyTorch; ``python -m benchmarks.gpu``."""
