"""When the loss or a gradient stops being a number: find the layer it began in, and say where and what to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from gatework.errors import GateworkError

_MEND = (
    "A lower learning_rate (try a tenth), a smaller clip_norm, or looking at these examples for huge or wrong values "
    "usually mends it."
)


class DivergedError(GateworkError, ArithmeticError):
    """Training produced nan or inf; names the layer, the step and the batch."""


def diverged(loss: float, net: nn.Module, again: Callable[[], Any], where: str) -> DivergedError:
    """The error for a step whose loss or gradients are not finite, with the layer it began in.

    Args:
        loss: the step's loss.
        net: the network; its gradients are still those of this step.
        again: runs the same batch through `net` once more, to watch the layers.
        where: "step 12 (epoch 1, windows 3, 7, 9 ...)".
    """
    layer = first_bad_layer(net, again)
    if layer is None and not math.isfinite(loss):
        layer = "the loss itself (every layer's output is finite: look at the target)"
    if layer is None:
        bad = [name for name, p in net.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
        layer = f"the gradient of {', '.join(bad[:3])}" + (f" and {len(bad) - 3} more" if len(bad) > 3 else "")
    return DivergedError(f"training diverged at {where}: loss {loss:g}; first seen in {layer}. {_MEND}")


def first_bad_layer(net: nn.Module, again: Callable[[], Any]) -> str | None:
    """Name and class of the first layer, in the order of running, that gives nan or inf; None when all are finite."""
    found: list[str] = []
    handles: list[RemovableHandle] = []

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            if not found and not _finite(output):
                found.append(f"layer {name or 'of the whole network'} ({type(module).__name__})")

        return hook

    for name, module in net.named_modules():
        handles.append(module.register_forward_hook(watch(name)))
    try:
        with torch.no_grad():
            again()
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def _finite(output: Any) -> bool:
    if isinstance(output, Tensor):
        return not output.is_floating_point() or bool(torch.isfinite(output).all())
    if isinstance(output, (tuple, list)):
        return all(_finite(part) for part in output)
    if isinstance(output, dict):
        return all(_finite(part) for part in output.values())
    return True
