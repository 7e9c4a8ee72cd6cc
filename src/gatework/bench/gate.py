"""The gate before every timing: a layer and its peer compute the same values and gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

# Both sides are fp32; each may be 1e-5 from the truth, in the norm of a whole tensor.
TOLERANCE = 2e-5


class WrongResult(Exception):
    """A layer does not compute what its peer computes, so that its speed means nothing."""


@dataclass(frozen=True)
class Trial:
    """A layer on an input, as both sides of a comparison run it.

    Attributes:
        layer: the layer.
        call: runs it; returns the outputs, then final states.
        input: a leaf that asks for its gradient, of any shape.
        gradient: of the outputs.
        names: the layer's parameters that are called differently by the other side, by their name there.
    """

    layer: nn.Module
    call: Callable[[], tuple[Tensor, ...]]
    input: Tensor
    gradient: Tensor
    names: Mapping[str, str] = field(default_factory=dict)

    def forward(self) -> tuple[Tensor, ...]:
        """Run without gradients."""
        with torch.no_grad():
            return self.call()

    def train(self) -> tuple[Tensor, ...]:
        """Run forward and backward; leaves the gradients of the input and of every parameter in `.grad`."""
        self.input.grad = None
        for parameter in self.layer.parameters():
            parameter.grad = None
        results = self.call()
        torch.autograd.backward(results[0], self.gradient)
        return results

    def results(self, backward: bool) -> dict[str, Tensor]:
        """Everything that the other side must equal, by name."""
        outputs = self.train() if backward else self.forward()
        found = {f"output {k}": output.detach() for k, output in enumerate(outputs)}
        if not backward:
            return found
        if self.input.grad is None:
            raise WrongResult("no gradient came to the input")
        found["gradient of the input"] = self.input.grad
        for name, parameter in self.layer.named_parameters():
            if parameter.grad is None:
                raise WrongResult(f"no gradient came to {name}")
            found[f"gradient of {self.names.get(name, name)}"] = parameter.grad
        return found


def compare(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], tolerance: float = TOLERANCE) -> float:
    """The largest relative error |a - b| / |b| of the tensors of both sides, in the Euclidean norm.

    Raises WrongResult when one is missing, has another size, or differs by more than the tolerance.
    """
    if ours.keys() != theirs.keys():
        raise WrongResult(f"one side alone has: {', '.join(sorted(ours.keys() ^ theirs.keys()))}")
    worst = 0.0
    for name, expected in theirs.items():
        got = ours[name]
        if got.numel() != expected.numel():
            raise WrongResult(f"{name} has shape {tuple(got.shape)}, expected {tuple(expected.shape)}")
        error = float((got.reshape(expected.shape) - expected).norm() / expected.norm().clamp_min(1e-30))
        if not error <= tolerance:  # so that NaN is refused
            raise WrongResult(f"{name} differs by {error:.1e} (relative), more than {tolerance:.0e}")
        worst = max(worst, error)
    return worst
