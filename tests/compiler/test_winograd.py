"""Our own convolution of 3 x 3 against PyTorch's in double precision, with its gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gatework.compiler.convolution import Convolution
from gatework.compiler.winograd import Winograd, fits, weight_gradients

# A sum of 9 I products rounds to about sqrt(9 I) units of 2^-24 (or 2^-53); the transformations add a digit's half.
TOLERANCE = {torch.float32: 1e-6, torch.float64: 2e-15}


def distance(found: Tensor, truth: Tensor) -> float:
    return float((found.detach().double() - truth.detach()).norm() / truth.detach().norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("n", "I", "O", "H", "W"),
    [
        (2, 32, 128, 8, 8),
        (1, 16, 16, 1, 1),
        (3, 17, 80, 5, 7),
        (2, 40, 33, 3, 50),
        (1, 128, 20, 9, 6),
        (5, 16, 48, 2, 2),
    ],
)
@pytest.mark.usefixtures("poisoned_empty")
def test_it_is_the_convolution(n: int, I: int, O: int, H: int, W: int, dtype: torch.dtype) -> None:  # noqa: E741
    torch.manual_seed(0)
    x, weight, bias = (
        torch.randn(n, I, H, W, dtype=dtype),
        torch.randn(O, I, 3, 3, dtype=dtype),
        torch.randn(O, dtype=dtype),
    )
    d = torch.randn(n, O, H, W, dtype=dtype)
    assert fits(x, weight)
    exact = [t.double().requires_grad_() for t in (x, weight, bias)]
    truth = F.conv2d(*exact, padding=1)
    gradients = torch.autograd.grad(truth, exact, d.double())
    found = [Winograd(weight)(x, bias), Winograd(weight, back=True)(d), *weight_gradients(d, x, True)]
    for a, b in zip(found, (truth, *gradients), strict=True):
        assert distance(a, b) <= TOLERANCE[dtype]


@pytest.mark.parametrize("threads", [1, 3])
def test_strides_and_threads(threads: int) -> None:
    torch.manual_seed(0)
    x, weight = (
        torch.randn(3, 7, 9, 16).double().permute(0, 3, 2, 1),
        torch.randn(3, 3, 20, 16).double().permute(2, 3, 0, 1),
    )
    d, before = torch.randn(3, 40, 9, 14).double()[:, ::2, :, ::2], torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        run = Convolution(weight, None)
        found, gradients = run(x), (run.back(d, x), run.weight_gradients(d, x)[0])
    finally:
        torch.set_num_threads(before)
    sources = [x.requires_grad_(), weight.requires_grad_()]
    truth = F.conv2d(x, weight, padding=1)
    for a, b in zip((found, *gradients), (truth, *torch.autograd.grad(truth, sources, d)), strict=True):
        assert distance(a, b) <= 2e-15


@pytest.mark.parametrize(
    ("image", "weight"),
    [
        ((2, 8, 5, 5), (32, 8, 3, 3)),
        ((2, 16, 5, 5), (16, 16, 5, 5)),
        ((2, 16, 3, 4, 5), (16, 16, 3, 3, 3)),
        ((0, 16, 5, 5), (16, 16, 3, 3)),
    ],
)
def test_other_convolutions_are_left_to_pytorch(image: tuple[int, ...], weight: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x, w = torch.randn(image), torch.randn(weight)
    assert not fits(x, w)
    run, d = Convolution(w, torch.zeros(len(w))), torch.randn(len(x), len(w), *x.shape[2:])
    exact = [x.double().requires_grad_(), w.double().requires_grad_()]
    truth = (F.conv2d if x.dim() == 4 else F.conv3d)(*exact, padding="same")
    of_image, of_weight = torch.autograd.grad(truth, exact, d.double())
    torch.testing.assert_close(run(x).double(), truth, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(run.back(d, x).double(), of_image, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(run.weight_gradients(d, x)[0].double(), of_weight, rtol=1e-4, atol=1e-4)
