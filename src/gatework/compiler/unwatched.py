"""Work that no mode, transformation or tracer of torch sees, such as tracing a cell in the middle of an export."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

Result = TypeVar("Result")


def unwatched(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a thread of its own.

    Modes (`torch.device` as a context is one), transformations, tracers, autocast and hooks of saved tensors belong to
    the thread that set them.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(copy_context().run, function, *arguments).result()
