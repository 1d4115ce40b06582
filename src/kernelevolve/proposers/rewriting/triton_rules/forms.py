"""Whole-number expressions in one normal form, so that equal indices compare equal however they are written.

A form is a polynomial over atoms: axes and tunables, program ids, ``tl.arange``, loop counters, and what is not taken
apart (``a // b``, a loaded index). A tensor's atom knows along which dimension it runs, counted from the last one, as
broadcasting counts them.
"""

from __future__ import annotations

__all__ = ["ONE", "ZERO", "Atom", "Form", "name", "number"]

from collections.abc import Callable, Iterable, Iterator, Mapping

from attrs import field, frozen


@frozen
class Atom:
    """A value that is not taken apart."""

    #: ``name`` (of the header: axis, tunable, fact), ``constant`` (of the source), ``pid``, ``programs``, ``arange``,
    #: ``index`` (a loop's counter), ``value`` (a variable), or an operation: ``//``, ``%``, ``min``, ``max``, ``cdiv``,
    #: ``next_pow2``.
    kind: str
    #: Which one: the name, the axis of the grid, where an ``arange`` starts.
    label: str = ""
    args: tuple[Form, ...] = ()
    #: The dimension along which a tensor runs: -1 is the last; None for a number.
    dimension: int | None = None
    #: How the source writes it.
    text: str = field(default="", eq=False)

    @property
    def key(self) -> str:
        """Sorts atoms."""
        return f"{self.kind}:{self.label}:{self.dimension}({','.join(str(arg) for arg in self.args)})"

    @property
    def leaves(self) -> Iterator[Atom]:
        """The atom and those inside its operands."""
        yield self
        for arg in self.args:
            yield from arg.leaves


Term = tuple[tuple[Atom, ...], int]


@frozen
class Form:
    """A sum of products of atoms, each with a whole-number factor."""

    terms: tuple[Term, ...]

    @classmethod
    def of(cls, terms: Mapping[tuple[Atom, ...], int]) -> Form:
        """Sorted, without what is zero."""
        kept = [(atoms, factor) for atoms, factor in terms.items() if factor]
        return cls(tuple(sorted(kept, key=lambda term: [atom.key for atom in term[0]])))

    def __str__(self) -> str:
        written = ("*".join([str(factor), *(atom.key for atom in atoms)]) for atoms, factor in self.terms)
        return " + ".join(written) or "0"

    def __add__(self, other: Form) -> Form:
        terms = dict(self.terms)
        for atoms, factor in other.terms:
            terms[atoms] = terms.get(atoms, 0) + factor
        return Form.of(terms)

    def __neg__(self) -> Form:
        return Form.of({atoms: -factor for atoms, factor in self.terms})

    def __sub__(self, other: Form) -> Form:
        return self + -other

    def __mul__(self, other: Form) -> Form:
        terms: dict[tuple[Atom, ...], int] = {}
        for mine, one in self.terms:
            for theirs, two in other.terms:
                atoms = tuple(sorted((*mine, *theirs), key=lambda atom: atom.key))
                terms[atoms] = terms.get(atoms, 0) + one * two
        return Form.of(terms)

    @property
    def constant(self) -> int | None:
        """The number, where it is one."""
        if not self.terms:
            return 0
        return self.terms[0][1] if len(self.terms) == 1 and not self.terms[0][0] else None

    @property
    def atom(self) -> Atom | None:
        """The atom, where it is one alone."""
        match self.terms:
            case (((Atom() as only,), 1),):
                return only
        return None

    @property
    def leaves(self) -> Iterator[Atom]:
        """Every atom, those inside operations included."""
        return (leaf for atoms, _ in self.terms for atom in atoms for leaf in atom.leaves)

    @property
    def is_tensor(self) -> bool:
        """Whether it has more than one element."""
        return any(leaf.dimension is not None for leaf in self.leaves)

    def mentions(self, kind: str, label: str | None = None) -> bool:
        """Whether an atom of a kind (and label) is anywhere in it."""
        return any(leaf.kind == kind and label in (None, leaf.label) for leaf in self.leaves)

    def split(self, atom: Atom) -> tuple[Form, Form] | None:
        """`a` and `b` with ``self == a * atom + b``, neither of them with the atom; None where it is not linear."""
        inside: dict[tuple[Atom, ...], int] = {}
        outside: dict[tuple[Atom, ...], int] = {}
        for atoms, factor in self.terms:
            count = atoms.count(atom)
            others = [leaf for one in atoms if one != atom for leaf in one.leaves]
            if count > 1 or atom in others:
                return None
            if count:
                rest = list(atoms)
                rest.remove(atom)
                inside[tuple(rest)] = factor
            else:
                outside[atoms] = factor
        return Form.of(inside), Form.of(outside)

    def divided(self, by: Form) -> Form | None:
        """The quotient by a single term, where nothing is left over."""
        if len(by.terms) != 1:
            return ONE if self == by else None
        atoms, factor = by.terms[0]
        found: dict[tuple[Atom, ...], int] = {}
        for mine, one in self.terms:
            rest = list(mine)
            for atom in atoms:
                if atom not in rest:
                    return None
                rest.remove(atom)
            if one % factor:
                return None
            found[tuple(rest)] = one // factor
        return Form.of(found)

    def replaced(self, change: Callable[[Atom], Form | None]) -> Form:
        """With atoms replaced by forms, inside operations too; an atom for which `change` gives None stays."""
        whole = ZERO
        for atoms, factor in self.terms:
            term = number(factor)
            for atom in atoms:
                term = term * _changed(atom, change)
            whole = whole + term
        return whole

    def moved(self, change: Callable[[int], int]) -> Form:
        """A tensor with its dimensions renumbered, as indexing with None does."""

        def renumbered(atom: Atom) -> Atom:
            args = tuple(arg.moved(change) for arg in atom.args)
            dimension = None if atom.dimension is None else change(atom.dimension)
            return Atom(atom.kind, atom.label, args, dimension, atom.text)

        whole = ZERO
        for atoms, factor in self.terms:
            term = number(factor)
            for atom in atoms:
                term = term * _single(renumbered(atom))
            whole = whole + term
        return whole


def _changed(atom: Atom, change: Callable[[Atom], Form | None]) -> Form:
    new = change(atom)
    if new is not None:
        return new
    if not atom.args:
        return _single(atom)
    return operation(atom.kind, *(arg.replaced(change) for arg in atom.args))


def _single(atom: Atom) -> Form:
    return Form((((atom,), 1),))


def number(value: int) -> Form:
    """A literal."""
    return Form.of({(): value})


ZERO = number(0)
ONE = number(1)


def name(label: str, kind: str = "name", **extra: object) -> Form:
    """One atom; `extra` are its other fields."""
    return _single(Atom(kind, label, **extra))  # type: ignore[arg-type]  # the fields of Atom by name


def _floor(left: Form, right: Form) -> Form | None:
    one, other = left.constant, right.constant
    if one is not None and other:
        return number(one // other)
    return left.divided(right) if right.terms else None


_SIMPLE: Mapping[str, Callable[[Form, Form], Form | None]] = {
    "//": _floor,
    "cdiv": lambda left, right: _numbers(left, right, _cdiv) or left.divided(right),
    "%": lambda left, right: _numbers(left, right, _remainder) or (ZERO if left.divided(right) else None),
    "min": lambda left, right: left if left == right else _numbers(left, right, min),
    "max": lambda left, right: left if left == right else _numbers(left, right, max),
}


def _cdiv(left: int, right: int) -> int:
    return -(-left // right)


def _remainder(left: int, right: int) -> int:
    return left % right


def _numbers(left: Form, right: Form, function: Callable[[int, int], int]) -> Form | None:
    one, other = left.constant, right.constant
    return number(function(one, other)) if one is not None and other else None


def operation(kind: str, *args: Form) -> Form:
    """``//``, ``%`` and the like, computed where it can be, else an atom."""
    simple = _SIMPLE.get(kind)
    made = simple(*args) if simple is not None and len(args) == 2 else None
    if made is not None:
        return made
    ordered: Iterable[Form] = sorted(args, key=str) if kind in ("min", "max") else args
    return _single(Atom(kind, args=tuple(ordered)))
