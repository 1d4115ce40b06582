"""The tuner: searches a kernel's tunables with a bounded number of evaluations."""

from kernelevolve.evolution.tuning.space import Configuration, Space, Value
from kernelevolve.evolution.tuning.t4 import T4Error, T4File, T4Outcome, T4Record, read_t4
from kernelevolve.evolution.tuning.tuner import Tuner

__all__ = ["Configuration", "Space", "T4Error", "T4File", "T4Outcome", "T4Record", "Tuner", "Value", "read_t4"]
