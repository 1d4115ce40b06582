"""What the kernel languages that are written in Python share: reading, the gate, the normal form, tunables."""

from kernelevolve.languages.python_kernels.dialect import Dialect
from kernelevolve.languages.python_kernels.gate import Gate, plain_arguments
from kernelevolve.languages.python_kernels.names import Kind, Namespace, Reachable, namespace, words
from kernelevolve.languages.python_kernels.normal import normal_form
from kernelevolve.languages.python_kernels.source import Source, read, refuse, too_deep
from kernelevolve.languages.python_kernels.tunables import check_name, check_value

__all__ = [
    "Dialect",
    "Gate",
    "Kind",
    "Namespace",
    "Reachable",
    "Source",
    "check_name",
    "check_value",
    "namespace",
    "normal_form",
    "plain_arguments",
    "read",
    "refuse",
    "too_deep",
    "words",
]
