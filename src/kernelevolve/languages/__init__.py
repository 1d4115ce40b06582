"""Kernel languages: how each one's sources are read and what they must not contain."""
