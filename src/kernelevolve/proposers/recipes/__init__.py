"""Recipes: kernel skeletons per pattern, filled from the parent's own code, and kernels written by hand per problem."""

from kernelevolve.proposers.recipes.instantiate import names, propose

__all__ = ["names", "propose"]
