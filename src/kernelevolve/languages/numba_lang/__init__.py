"""Numba for CUDA: entries, the gate and the normal form, read on Python's syntax tree. Numba itself is not imported."""

from kernelevolve.languages.numba_lang.gate import DIALECT, NumbaGate
from kernelevolve.languages.numba_lang.language import NumbaLanguage

__all__ = ["DIALECT", "NumbaGate", "NumbaLanguage"]
