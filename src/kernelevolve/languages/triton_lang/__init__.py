"""Triton: entries, the gate and the normal form, read on Python's syntax tree. Triton itself is not imported."""

from kernelevolve.languages.triton_lang.gate import DIALECT, TritonGate
from kernelevolve.languages.triton_lang.language import LAUNCH_OPTIONS, TritonLanguage

__all__ = ["DIALECT", "LAUNCH_OPTIONS", "TritonGate", "TritonLanguage"]
