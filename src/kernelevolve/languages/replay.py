"""The ``replay`` language: a kernel file that is all header, because a recording holds times and no source."""

from __future__ import annotations

__all__ = ["ENTRY", "ReplayLanguage"]

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from kernelevolve.kernel import Value
from kernelevolve.language import Language, Parameter
from kernelevolve.outcome import Rejected

#: The one entry that every replayed kernel has.
ENTRY: Final = "recorded"


class ReplayLanguage:
    """Satisfies `kernelevolve.language.Language`."""

    name = "replay"
    comment = "#"
    suffix = ".replay"

    def entries(self, body: str) -> Mapping[str, tuple[Parameter, ...]]:
        self.gate(body)
        return {ENTRY: ()}

    def check_tunable(self, name: str, value: Value) -> None:
        """Tunables are looked up in the recording; any value of a header will do."""

    def gate(self, body: str) -> None:
        for number, line in enumerate(body.split("\n"), start=1):
            if line.strip() and not line.lstrip().startswith("#"):
                message = (
                    f"line {number}: a replayed kernel has no source, only a header and comments; remove this line"
                )
                raise Rejected(message, rule="body", line=number)

    def normalize(self, body: str) -> str:
        self.gate(body)
        return ""


if TYPE_CHECKING:
    _conforms: Language = ReplayLanguage()
