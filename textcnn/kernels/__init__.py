"""Compiled kernels, each beside its plain reference."""
