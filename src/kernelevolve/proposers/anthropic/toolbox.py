"""What the model's tools do: turn what it hands in into a kernel, compile it, and look things up for it."""

from __future__ import annotations

__all__ = ["Mistake", "Toolbox"]

import difflib
import json
from collections.abc import Mapping
from typing import Any, Final

from kernelevolve.errors import KernelEvolveError
from kernelevolve.evolution.proposal import Parent, Preflight, ProposalRequest
from kernelevolve.kernel import Kernel, parse_kernel
from kernelevolve.knowledge import Library, hardware_names
from kernelevolve.outcome import CandidateError, Outcome
from kernelevolve.proposers.anthropic import tools
from kernelevolve.proposers.anthropic.edits import apply_edits
from kernelevolve.proposers.anthropic.tools import Submission, read_kernel_input
from kernelevolve.proposers.context import discreet, kernel_page, source_of
from kernelevolve.proposers.context.document import clipped, fenced
from kernelevolve.registry import language

#: Characters of one tool's answer, at most.
ANSWER_CHARS: Final = 16_000
_CANDIDATES: Final = 40
_MATCHES: Final = 8
#: What a compile may end with that is no fault of the kernel: the evaluation will tell.
_NOT_ITS_FAULT: Final = frozenset({Outcome.DEVICE_LOST, Outcome.PLUGIN_BUG, Outcome.TOOLCHAIN_ERROR})


class Mistake(KernelEvolveError):
    """What is wrong with a call, said to the model."""


class Toolbox:
    """The tools of one proposal. Everything here may take a compile's time; nothing here launches a kernel."""

    def __init__(self, request: ProposalRequest, library: Library | None) -> None:
        self._request = request
        self._library = library if request.knowledge else None
        #: The text last handed to a tool that takes a kernel.
        self._draft: str | None = None

    # --- kernels

    def submit(self, given: object) -> tuple[Kernel, Submission]:
        """The kernel that is handed in, gated and compiled. Raises `Mistake` with what is wrong."""
        kernel, submission = self._kernel(given)
        if any(_same(kernel, parent.kernel) for parent in self._request.parents):
            raise Mistake("this is the kernel that you were shown, unchanged; hand in another one")
        found = self._preflight(kernel)
        if found.failed is not None and found.failed not in _NOT_ITS_FAULT:
            raise Mistake(self._told(found))
        return kernel, submission

    def _kernel(self, given: object) -> tuple[Kernel, Submission]:
        try:
            submission = read_kernel_input(given)
            text = self._text(submission)
            self._draft = text
            kernel = parse_kernel(text, name="kernel")
        except KernelEvolveError as error:
            raise Mistake(str(error)) from None
        if kernel.language != self._request.language:
            wanted = self._request.language
            raise Mistake(f'the kernel is in {kernel.language!r}; this run needs language = "{wanted}"')
        return kernel, submission

    def _text(self, submission: Submission) -> str:
        if submission.file.strip():
            return _unwrapped(submission.file)
        if submission.base == "draft":
            if self._draft is None:
                raise Mistake("there is no draft yet; give a complete file, or edits with base parent")
            return apply_edits(self._draft, submission.edits)
        if not self._request.parents:
            raise Mistake("there is no parent to edit; give a complete file")
        return apply_edits(source_of(self._request.parents[0]), submission.edits)

    def _preflight(self, kernel: Kernel) -> Preflight:
        """Gate and compiler; the language's own rules alone where nobody can compile."""
        if self._request.workbench is not None:
            return self._request.workbench.preflight(kernel)
        try:
            language(kernel.language).gate(kernel.body)
        except CandidateError as error:
            return Preflight(error.outcome, error.message)
        return Preflight(None, "the gate lets it pass; no compiler can be asked here")

    # --- looking things up

    def answer(self, name: str, given: object) -> str:
        """What a tool other than ``submit_kernel`` says. Raises `Mistake` for a call that cannot be answered."""
        arguments = given if isinstance(given, Mapping) else {}
        try:
            return clipped(self._answer(name, arguments), ANSWER_CHARS)
        except Mistake:
            raise
        except KernelEvolveError as error:
            raise Mistake(str(error)) from None

    def _answer(self, name: str, arguments: Mapping[str, Any]) -> str:
        match name:
            case tools.CHECK:
                return self._told(self._preflight(self._kernel(arguments)[0]))
            case tools.RUN:
                return self._run()
            case tools.LOOK:
                return self._look(arguments)
            case tools.PAGES:
                return self._shelf().index()
            case tools.PAGE:
                return self._shelf().page(_word(arguments, "page")).text
            case tools.SEARCH:
                return self._search(_word(arguments, "query"))
        raise Mistake(f"there is no tool {name!r}")

    def _shelf(self) -> Library:
        if self._library is None:
            raise Mistake("the knowledge base is switched off in this run; go on without it")
        return self._library

    def _search(self, query: str) -> str:
        shelf = self._shelf()
        among = shelf.select(language=self._request.language, hardware=hardware_names(self._request.device))
        found = shelf.search(query, among=among, limit=_MATCHES)
        lines = [f"- `{match.page.id}`: {match.page.title}" for match in found]
        return "\n".join(lines) or f"no page speaks of {query!r}; {tools.PAGES} lists them all"

    def _candidate(self, number: int) -> Parent:
        for parent in self._request.parents:
            if parent.candidate == number:
                return parent
        if self._request.workbench is None:
            raise Mistake("other candidates cannot be looked at here")
        return self._request.workbench.look(number)

    def _run(self) -> str:
        if self._request.workbench is None:
            raise Mistake("other candidates cannot be looked at here")
        numbers = self._request.workbench.candidates()
        lines = [self._line(self._candidate(number)) for number in numbers[:_CANDIDATES]]
        more = f"\n{len(numbers) - _CANDIDATES} more are slower or failed" if len(numbers) > _CANDIDATES else ""
        return "\n".join(lines) + more

    def _line(self, one: Parent) -> str:
        standing = f"{one.fitness:.4g} × the start" if one.outcome is Outcome.CORRECT else str(one.outcome)
        entries = ", ".join(launch.entry for launch in one.kernel.launches)
        return f"- candidate {one.candidate}: {standing}; launches {entries}"

    def _look(self, arguments: Mapping[str, Any]) -> str:
        number, what = arguments.get("candidate"), arguments.get("what", "source")
        if isinstance(number, bool) or not isinstance(number, int):
            raise Mistake("candidate is no number")
        found = self._candidate(number)
        match what:
            case "source":
                return kernel_page(found, self._request, ANSWER_CHARS)
            case "profile":
                return kernel_page(found, self._request, None)
            case "diff":
                return self._diff(found)
        raise Mistake(f"what is {what!r}; there is source, profile, diff")

    def _diff(self, other: Parent) -> str:
        if not self._request.parents:
            raise Mistake("there is no parent to compare with; look at the source")
        first = self._request.parents[0]
        lines = difflib.unified_diff(
            source_of(first).splitlines(),
            source_of(other).splitlines(),
            f"candidate {first.candidate}",
            f"candidate {other.candidate}",
            lineterm="",
        )
        return fenced("\n".join(lines), "diff")

    def _told(self, found: Preflight) -> str:
        message = self.discreet(found.message)
        parts = [f"{found.failed}: {message}" if found.failed else f"It compiles. {message}".strip()]
        if found.log and found.log.strip() not in found.message:
            parts.append(fenced(clipped(found.log, ANSWER_CHARS // 2)))
        if found.resources:
            parts.append(fenced(json.dumps(found.resources, indent=1, sort_keys=True, default=str), "json"))
        return "\n\n".join(parts)

    def discreet(self, text: str) -> str:
        """`text` without what only checking may know."""
        return discreet(text, self._request.problem, self._request.workloads)


def _word(arguments: Mapping[str, Any], name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Mistake(f"{name} is missing; give a text")
    return value


def _unwrapped(text: str) -> str:
    """The file without a Markdown fence around it: models write one in spite of all schemas."""
    lines = text.strip("\n").split("\n")
    if len(lines) > 2 and lines[0].startswith("```") and lines[-1].strip() == "```":
        lines = lines[1:-1]
    return "\n".join(lines) + "\n"


def _same(one: Kernel, other: Kernel) -> bool:
    """Whether two kernels differ in comments and layout alone."""
    try:
        normal = language(one.language).normalize
        return one.with_body(normal(one.body)) == other.with_body(normal(other.body))
    except CandidateError:
        return one == other
