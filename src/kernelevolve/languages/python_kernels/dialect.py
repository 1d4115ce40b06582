"""What one kernel language allows of Python, as data."""

from __future__ import annotations

__all__ = ["Dialect"]

from collections.abc import Mapping

from attrs import field, frozen

from kernelevolve.languages.python_kernels.names import Namespace


@frozen(eq=False)
class Dialect:
    """The tables of one language. What is in none of them cannot be written."""

    name: str
    #: From the text after ``import`` to the name it binds and what can be reached through that.
    imports: Mapping[str, tuple[str, Namespace]]
    #: From a module to what ``from MODULE import …`` may take from it.
    members: Mapping[str, Namespace]
    #: Python's own functions that a kernel may call.
    builtins: frozenset[str]
    #: Attributes and methods of values.
    attributes: frozenset[str]
    #: What would be right instead of names that are asked for often, as sentences.
    advice: Mapping[str, str] = field(factory=dict)
    #: Whether a name that the source does not define may be a tunable.
    free: bool = False
    #: Whether ``[a, b]`` can be written.
    lists: bool = False
    #: Whether ``x[i] = v`` can be written.
    stores: bool = False
    #: Whether a function of the file can be an argument.
    passes: bool = False
    #: Functions whose second argument is a sentence for people.
    messages: frozenset[str] = frozenset()
    #: Names that no source may bind: those of modules, and of members where a file imports them.
    reserved: frozenset[str] = field(init=False)

    @reserved.default
    def _reserved(self) -> frozenset[str]:
        modules = {
            name for table in self.members.values() for name, found in table.items() if isinstance(found, Mapping)
        }
        return frozenset({*modules, *(bound for bound, _ in self.imports.values())})

    def import_of(self, name: str) -> str | None:
        """The import line that binds `name`, if one can."""
        for text, (bound, _) in self.imports.items():
            if bound == name:
                return f"import {text}"
        for module, table in self.members.items():
            if name in table:
                return f"from {module} import {name}"
        return None
