"""Who proposes kernels."""
