"""Kernels by a language model of Anthropic's: bring your own key."""

from kernelevolve.proposers.anthropic.proposer import AnthropicProposer
from kernelevolve.proposers.anthropic.settings import ModelSettings

__all__ = ["AnthropicProposer", "ModelSettings"]
