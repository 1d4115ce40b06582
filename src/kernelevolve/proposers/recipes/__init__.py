"""Recipes: kernel skeletons per pattern, which the built-in proposer fills from the parent's own code."""

from kernelevolve.proposers.recipes.instantiate import names, propose

__all__ = ["names", "propose"]
