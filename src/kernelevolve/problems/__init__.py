"""The built-in problems, each with a plain seed kernel per language.

A module per problem, with the attribute `problem`; names of axes, tensors and scalars are a contract, because kernel
files bind their arguments by them.
"""
