"""The built-in proposer: source rewrites on the syntax tree, tunables, recombination, recipes. It needs no model."""

from kernelevolve.proposers.rewriting.proposer import RewritingProposer

__all__ = ["RewritingProposer"]
