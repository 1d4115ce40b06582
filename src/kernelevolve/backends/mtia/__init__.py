"""Accelerator ``mtia``: an emulator of Meta's MTIA chips that runs Triton kernels and gives them a documented time."""
