"""The tuner: searches a kernel's tunables with a bounded number of evaluations."""

from kernelevolve.evolution.tuning.space import Configuration, Space, Value
from kernelevolve.evolution.tuning.tuner import Tuner

__all__ = ["Configuration", "Space", "Tuner", "Value"]
