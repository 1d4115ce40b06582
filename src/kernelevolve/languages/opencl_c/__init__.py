"""OpenCL C: entries, the gate, the normal form, and the syntax tree that source rewrites edit."""

from kernelevolve.languages.opencl_c.definitions import check_definition
from kernelevolve.languages.opencl_c.language import OpenCLC

__all__ = ["OpenCLC", "check_definition"]
