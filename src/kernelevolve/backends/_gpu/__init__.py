"""What the accelerators for NVIDIA and AMD GPUs share below the compilers: driver, open device, timing, tables."""
