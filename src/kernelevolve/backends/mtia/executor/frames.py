"""Where values are kept while a batch of programs runs."""

from __future__ import annotations

__all__ = ["Frame"]

from kernelevolve.backends.mtia.executor.values import Array, Value, take


class Frame:
    """Values of a batch of programs: own ones, and those of the frame around it, for the programs that are here."""

    __slots__ = ("_chosen", "_parent", "programs", "values")

    def __init__(self, programs: Array, parent: Frame | None = None, chosen: Array | None = None) -> None:
        #: Linear numbers.
        self.programs = programs
        self.values: dict[int, Value] = {}
        self._parent = parent
        self._chosen = chosen

    def get(self, number: int) -> Value:
        """The value with this number."""
        found = self.values.get(number)
        if found is not None:
            return found
        assert self._parent is not None, number
        found = self._parent.get(number)
        if self._chosen is not None:
            found = self.values[number] = take(found, self._chosen)
        return found

    def inside(self) -> Frame:
        """A frame for a block that is executed by all of these programs."""
        return Frame(self.programs, self)

    def only(self, chosen: Array) -> Frame:
        """A frame for those programs at the places `chosen`."""
        return Frame(self.programs[chosen], self, chosen)
