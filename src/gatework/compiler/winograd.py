"""Convolutions of 3 x 3 over images in 16 products for 4 results instead of 36: `native/winograd.h`."""

from __future__ import annotations

import ctypes
from functools import cache

import torch
from torch import Tensor

from gatework.compiler.build import REALS, BuildError, library
from gatework.compiler.render.cpp import THREADS, skeleton

_LEAST = 16  # channels on either side from which it pays


def fits(image: Tensor, weight: Tensor) -> bool:
    """Whether a convolution is one of 3 x 3 over images, with enough channels, and there is a kernel for it."""
    O, I, *kernel = weight.shape  # noqa: E741
    return kernel == [3, 3] and min(O, I) >= _LEAST and image.numel() > 0 and _library(image.dtype) is not None


@cache
def _library(dtype: torch.dtype) -> ctypes.CDLL | None:
    if dtype not in REALS:
        return None
    try:
        found, _ = library("winograd", "winograd", dtype, _source)
    except BuildError:  # said where a cell's own kernel is built
        return None
    address, number = ctypes.c_void_p, ctypes.c_int64
    found.gatework_winograd_size.argtypes, found.gatework_winograd_size.restype = [number] * 2, number
    found.gatework_winograd_kernels.argtypes = [*[address] * 2, *[number] * 3]
    found.gatework_winograd_kernels.restype = None
    for function in (found.gatework_winograd, found.gatework_winograd_gradients):
        function.argtypes = [*[address] * 4, *[number] * 6]
    return found


def _source() -> str:
    files = skeleton()
    return "\n".join([*(files[name] for name in ("vector.h", "threads.h", "tile.h", "winograd.h")), THREADS])


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _done(failed: int) -> None:
    if failed:
        raise MemoryError("not enough memory for a convolution's buffers; use fewer images or threads.")


class Winograd:
    """A convolution's kernels [O, I, 3, 3], transformed; `back`: those that give the gradient of its input."""

    def __init__(self, weight: Tensor, back: bool = False) -> None:
        self.results, self.channels = weight.shape[1::-1] if back else weight.shape[:2]
        run = _library(weight.dtype)
        assert run is not None
        self._run = run.gatework_winograd
        self.kernels = weight.new_empty(run.gatework_winograd_size(self.channels, self.results))
        weight = weight.contiguous()
        run.gatework_winograd_kernels(weight.data_ptr(), self.kernels.data_ptr(), self.channels, self.results, back)

    def __call__(self, image: Tensor, bias: Tensor | None = None) -> Tensor:
        """[n, channels, H, W] to [n, results, H, W] with zeros around; each position's channels lie side by side."""
        image = image.contiguous(memory_format=torch.channels_last)
        n, _, H, W = image.shape
        found = image.new_empty((n, H, W, self.results)).permute(0, 3, 1, 2)
        bias = None if bias is None else bias.contiguous()
        addresses = (_address(t) for t in (image, self.kernels, bias, found))
        _done(self._run(*addresses, n, H, W, self.channels, self.results, torch.get_num_threads()))
        return found


def weight_gradients(d: Tensor, image: Tensor, bias: bool) -> tuple[Tensor, Tensor | None]:
    """Gradients of the kernels [O, I, 3, 3] and, where wanted, of the bias, from that of the result [n, O, H, W]."""
    d, image = (t.contiguous(memory_format=torch.channels_last) for t in (d, image))
    (n, I, H, W), O = image.shape, d.shape[1]  # noqa: E741
    dw, db = d.new_empty((O, I, 3, 3)), d.new_empty(O) if bias else None
    run = _library(d.dtype)
    assert run is not None
    addresses = (_address(t) for t in (image, d, dw, db))
    _done(run.gatework_winograd_gradients(*addresses, n, H, W, I, O, torch.get_num_threads()))
    return dw, db
