"""What ``triton-cuda`` and ``triton-rocm`` share: compiling for any target without a device, and interpreting."""
