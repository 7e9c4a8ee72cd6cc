"""Convolutions over fields, by oneDNN through PyTorch or by a kernel of our own where that is faster."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from gatework.compiler.winograd import Winograd, fits, weight_gradients


def convolve(image: Tensor, weight: Tensor, bias: Tensor | None, groups: int = 1) -> Tensor:
    """PyTorch's convolution whose result has the sizes of the image, zeros around it; kernels of odd sizes."""
    padding = [k // 2 for k in weight.shape[2:]]
    ones = [1] * len(padding)
    return torch.convolution(image, weight, bias, ones, padding, ones, False, [0] * len(padding), groups)


def channels_last(image: Tensor) -> Tensor:
    """An image or volume [n, K, *spatial] with each position's channels side by side, as the fast convolutions want."""
    return image.contiguous(memory_format=torch.channels_last if image.dim() == 4 else torch.channels_last_3d)


class Convolution:
    """A convolution that is applied many times, without autograd.

    Args:
        weight: [O, I, *kernel], two or three odd sizes.
        bias: [O] or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self.bias = weight, bias

    @cached_property
    def _forward(self) -> Winograd:
        return Winograd(self.weight)

    @cached_property
    def _back(self) -> Winograd:
        return Winograd(self.weight, back=True)

    @cached_property
    def _plain(self) -> Tensor:
        return channels_last(self.weight)

    def __call__(self, image: Tensor) -> Tensor:
        """[n, I, *spatial] to [n, O, *spatial]."""
        if fits(image, self.weight):
            return self._forward(image, self.bias)
        return convolve(image, self._plain, self.bias)

    def back(self, d: Tensor, image: Tensor) -> Tensor:
        """Gradient of the image, from that of the result; of the image only the shape counts."""
        if fits(image, self.weight):
            return self._back(d)
        found = self._gradients(d, image, (True, False, False))[0]
        assert found is not None
        return found

    def weight_gradients(self, d: Tensor, image: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Gradients of weight and bias, from that of the result."""
        wanted = self.bias is not None
        if fits(image, self.weight):
            return weight_gradients(d, image, wanted)
        return self._gradients(d, image, (False, True, wanted))[1:]

    def _gradients(
        self, d: Tensor, image: Tensor, wanted: Sequence[bool]
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        sizes, padding = self.weight.shape, [k // 2 for k in self.weight.shape[2:]]
        ones, zeros = [1] * len(padding), [0] * len(padding)
        found: tuple[Tensor | None, Tensor | None, Tensor | None] = torch.ops.aten.convolution_backward(
            d, image, self._plain, [sizes[0]], ones, padding, ones, False, zeros, 1, list(wanted)
        )
        return found
