"""Equations to kernels: trace, plan, render, build, launch; `explain` shows what came of it."""

from gatework.compiler.explain import explain

__all__ = ["explain"]
