"""torch.func over layers of every form: stacks, directions, lengths, maps within maps, cells of every kernel class."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, jacrev, vmap
from torch.utils._pytree import tree_leaves

from gatework.compiler import transforms
from gatework.nn import GRU, LSTM, Recurrent

T, B, I, H, V = 4, 3, 5, 6, 3  # noqa: E741
Job = Callable[[Callable[[dict[str, Tensor], Tensor], Tensor], dict[str, Tensor], Tensor], Any]


def several(params: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.stack([p * (1 + k / 10) for k in range(V)]) for name, p in params.items()}


def summed(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda params, x: function(params, x).square().sum()


JOBS: dict[str, Job] = {
    "inputs": lambda f, p, x: vmap(f, (None, 0), randomness="same")(p, torch.stack([x, -x, x + 1])),
    "middle-axis": lambda f, p, x: vmap(f, (None, 2), out_dims=1, randomness="same")(p, torch.stack([x, -x], 2)),
    "parameters": lambda f, p, x: vmap(f, (0, None), randomness="same")(several(p), x),
    "per-sample": lambda f, p, x: vmap(grad(summed(f)), (None, 0), randomness="same")(p, torch.stack([x, -x])),
    "inputs-gradient": lambda f, p, x: vmap(grad(summed(f), 1), (None, 0), randomness="same")(p, torch.stack([x, -x])),
    "gradient-of-map": lambda f, p, x: grad(
        lambda p: vmap(summed(f), (None, 0), randomness="same")(p, torch.stack([x, -x])).sum()
    )(p),
    "second": lambda f, p, x: grad(lambda x: (grad(summed(f), 1)(p, x) * x.cos()).sum())(x),
}
LAYERS: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "stack": (LSTM, {"num_layers": 2, "bidirectional": True, "batch_first": True}, {}),
    "lengths": (GRU, {"bidirectional": True}, {"lengths": [4, 0, 2]}),
    "lengths-batch-first": (LSTM, {"batch_first": True}, {"lengths": [0, 3, 1, 1]}),
    "noise": (LSTM, {"zoneout": 0.3, "variational_dropout": 0.3}, {}),
    "projection": ("lstmp", {}, {}),
    "rows-over-units": ("layer-norm-lstm", {}, {}),
    "dependent-products": ("mogrifier-lstm", {}, {}),
    "diagonal": ("sru", {}, {}),
    "further-inputs": ("t-lstm", {}, {"extra": {"dt": torch.rand(T, B, dtype=torch.float64)}}),
}


def prepared(name: str) -> tuple[list[Callable[..., Tensor]], dict[str, Tensor], Tensor]:
    """One layer by kernel and by the reference as functions of parameters and input, with both."""
    torch.manual_seed(0)
    kind, options, how = LAYERS[name]
    width = H if name == "diagonal" else I
    options = options | {"dtype": torch.float64, "backend": "cpp"}
    layer = kind(width, H, **options) if isinstance(kind, type) else Recurrent(kind, width, H, **options)
    truth = copy.deepcopy(layer)
    truth.backend = "reference"

    def function(layer: Recurrent) -> Callable[..., Tensor]:
        def call(params: dict[str, Tensor], x: Tensor) -> Tensor:
            torch.manual_seed(1)
            y, finals = functional_call(layer, params, (x,), how)
            return y + sum(f.sum() for f in tree_leaves(finals))

        return call

    return (
        [function(layer), function(truth)],
        {n: p.detach() for n, p in layer.named_parameters()},
        torch.rand(T, B, width).double(),
    )


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("name", LAYERS)
def test_transformations(name: str, job: str):
    (function, truth), params, x = prepared(name)
    found, expected = tree_leaves(JOBS[job](function, params, x)), tree_leaves(JOBS[job](truth, params, x))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_maps_within_maps():
    (function, truth), params, x = prepared("lengths")
    many = torch.stack([x, -x, x + 1, 2 * x, x - 1, x / 2]).view(2, 3, *x.shape)
    results = [
        vmap(vmap(f, (None, 0)), (0, 1), out_dims=1)(several_two(params), many.transpose(0, 1))
        for f in (function, truth)
    ]
    torch.testing.assert_close(*results)


def several_two(params: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.stack([p, p / 2]) for name, p in params.items()}


def test_a_jacobian_larger_than_one_fold(monkeypatch: pytest.MonkeyPatch):
    (function, truth), params, x = prepared("stack")
    expected = jacrev(truth, 1)(params, x)
    for rows in (1, 5, 7 * B, 10_000):
        monkeypatch.setattr(transforms, "_ROWS", rows)
        torch.testing.assert_close(jacrev(function, 1)(params, x), expected)


def test_samples_may_have_noise_of_their_own():
    layer = LSTM(I, H, zoneout=0.5, backend="cpp")
    x = torch.randn(T, B, I)
    same, different = (
        vmap(lambda x: layer(x)[0], randomness=randomness)(x.expand(3, T, B, I)) for randomness in ("same", "different")
    )
    assert torch.equal(same[0], same[1]) and torch.equal(same[1], same[2])
    assert not torch.equal(different[0], different[1]) and not torch.equal(different[1], different[2])
    with pytest.raises(RuntimeError, match="randomness"):
        vmap(lambda x: layer(x)[0])(x.expand(3, T, B, I))


def test_third_derivatives():
    (function, truth), params, x = prepared("lengths")

    def third(f: Callable[..., Tensor]) -> Tensor:
        first = lambda t: f(params, t * x).sum()  # noqa: E731
        return grad(grad(grad(first)))(torch.ones((), dtype=torch.float64))

    torch.testing.assert_close(third(function), third(truth))


@pytest.mark.parametrize("used", ["outputs", "final state"])
def test_second_derivatives_where_only_a_part_is_used(used: str):
    torch.manual_seed(0)
    layer = LSTM(I, H, backend="cpp", dtype=torch.float64)
    x, h = torch.randn(T, B, I).double().requires_grad_(), torch.randn(1, B, H).double().requires_grad_()

    def function(x: Tensor, h: Tensor, weight: Tensor) -> Tensor:
        y, (last, _) = functional_call(layer, {"weight_hh_l0": weight}, (x, (h, h * 2)))
        return y if used == "outputs" else last

    given = (x, h, layer.weight_hh_l0)
    assert torch.autograd.gradgradcheck(function, given, nondet_tol=1e-12, fast_mode=True)
