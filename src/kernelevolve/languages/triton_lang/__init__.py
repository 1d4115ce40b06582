"""Triton: entries, the gate and the normal form, read on Python's syntax tree. Triton itself is not imported."""

from kernelevolve.languages.triton_lang.gate import DIALECT, TritonGate
from kernelevolve.languages.triton_lang.gluon_names import RENAMED
from kernelevolve.languages.triton_lang.language import LAUNCH_OPTIONS, TritonLanguage, is_gluon

__all__ = ["DIALECT", "LAUNCH_OPTIONS", "RENAMED", "TritonGate", "TritonLanguage", "is_gluon"]
