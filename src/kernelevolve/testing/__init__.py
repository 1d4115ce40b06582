"""For authors of plugins and tests: the strict reference accelerator, its language, and sample kernels."""
