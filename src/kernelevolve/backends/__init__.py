"""The accelerators that ship with the SDK: one module, or one package, each."""
