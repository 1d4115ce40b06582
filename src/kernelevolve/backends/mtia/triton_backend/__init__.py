"""Triton's backend ``mtia``: what the entry point ``mtia`` of the group ``triton.backends`` names.

Triton imports `compiler` and `driver` of every backend when it is imported itself, so these two import nothing that
Triton has not already loaded.
"""
