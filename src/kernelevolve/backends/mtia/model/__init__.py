"""The machine model: from what a program did to cycles, with every number named and sourced."""

from kernelevolve.backends.mtia.model.estimate import estimate, resources
from kernelevolve.backends.mtia.model.memory import Placement
from kernelevolve.backends.mtia.model.parameters import CHIPS, ChipParameters
from kernelevolve.backends.mtia.model.profile import MODEL, VERSION, Estimate, combine
from kernelevolve.backends.mtia.model.schedule import ModelOptions

__all__ = [
    "CHIPS",
    "MODEL",
    "VERSION",
    "ChipParameters",
    "Estimate",
    "ModelOptions",
    "Placement",
    "combine",
    "estimate",
    "resources",
]
