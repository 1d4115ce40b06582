"""The built-in proposer: source rewrites on the syntax tree, tunables, recombination and recipes. Needs no model and no key."""

from kernelevolve.proposers.rewriting.proposer import RewritingProposer

__all__ = ["RewritingProposer"]
