"""Each kernel class on tensors that lie anyhow in memory, with any part asking for gradients, and with none."""

from __future__ import annotations

import copy

import pytest
import torch

from gatework.nn import Recurrent
from tests.conformance.comparison import CELLS, EXAMPLES, TOLERANCE, as_list, distance

T, B, I, H = 6, 5, 4, 19  # noqa: E741


def layer(cell: str, **options: object) -> Recurrent:
    return Recurrent(CELLS[cell], I, H, backend="cpp", **options)


LAYOUTS = {
    "last-strided": lambda: torch.randn(T, B, 2 * I)[..., ::2],
    "last-cut": lambda: torch.randn(T, B, I + 3)[..., 1 : I + 1],
    "batch-strided": lambda: torch.randn(T, 3 * B, I)[:, ::3],
    "time-strided": lambda: torch.randn(2 * T, B, I)[::2],
    "transposed": lambda: torch.randn(B, T, I).transpose(0, 1),
    "features-first": lambda: torch.randn(I, B, T).permute(2, 1, 0),
    "expanded-time": lambda: torch.randn(1, B, I).expand(T, B, I),
    "expanded-all": lambda: torch.randn(1, 1, 1).expand(T, B, I),
    "negated": lambda: torch.imag(torch.randn(T, B, I, dtype=torch.complex64).conj()),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("cell", EXAMPLES)
def test_layouts(cell: str, layout: str):
    net, source = layer(cell, bidirectional=True), LAYOUTS[layout]()
    plain = source.clone(memory_format=torch.contiguous_format).requires_grad_()
    odd = source.detach().requires_grad_()
    for x in (plain, odd):
        net(x)[0].square().sum().backward()
    assert torch.equal(net(plain)[0], net(odd)[0])
    assert torch.equal(plain.grad, odd.grad)


@pytest.mark.parametrize("cell", EXAMPLES)
def test_states_weights_and_gradients_that_are_not_contiguous(cell: str):
    net = layer(cell)
    x = torch.randn(T, B, I)
    states = [torch.randn(1, H, B).transpose(1, 2) for _ in net.cell.states]
    wide = {name: torch.randn(*p.shape, 2)[..., 0] for name, p in net.named_parameters()}
    results = []
    for change in (torch.Tensor.contiguous, lambda t: t):
        values = {name: change(w).detach().requires_grad_() for name, w in wide.items()}
        hx = [change(s).detach().requires_grad_() for s in states]
        y, finals = torch.func.functional_call(net, values, (x, hx[0] if len(hx) == 1 else tuple(hx)))
        upstream = torch.linspace(-1, 1, T * B * H).view(H, B, T).permute(2, 1, 0)
        finals_sum = sum(f.sum() for f in as_list(finals))
        found = torch.autograd.grad((y * change(upstream)).sum() + finals_sum, [*values.values(), *hx])
        results.append([y, *as_list(finals), *found])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("cell", EXAMPLES)
def test_gradients_of_every_subset(cell: str):
    """What does not ask for a gradient gets none, and changes nothing for what does."""
    net = layer(cell)
    x, states = torch.randn(T, B, I), [torch.randn(1, B, H) for _ in net.cell.states]
    tensors = {"x": x, **{f"state {k}": s for k, s in enumerate(states)}, **dict(net.named_parameters())}
    hx = states[0] if len(states) == 1 else tuple(states)

    def gradients(wanted: set[str]) -> dict[str, torch.Tensor | None]:
        for name, tensor in tensors.items():
            tensor.requires_grad_(name in wanted)
            tensor.grad = None
        y, finals = net(x, hx)
        assert y.requires_grad == bool(wanted)
        if wanted:
            (y.square().sum() + sum(f.sum() for f in as_list(finals))).backward()
        return {name: tensor.grad for name, tensor in tensors.items()}

    everything = gradients(set(tensors))
    names = list(tensors)
    subsets = [set(), *({name} for name in names), set(names[1:]), set(names[::2]), {"x", "bias_hh_l0"}]
    for wanted in subsets:
        for name, gradient in gradients(wanted).items():
            if name in wanted:
                assert torch.equal(gradient, everything[name]), (wanted, name)
            else:
                assert gradient is None, (wanted, name)


@pytest.mark.parametrize("cell", EXAMPLES)
def test_any_result_may_be_the_one_that_is_differentiated(cell: str):
    net = layer(cell, bidirectional=True)
    truth = copy.deepcopy(net).double()
    truth.backend = "reference"
    x = torch.randn(T, B, I)
    for k in range(1 + len(net.cell.states)):
        for lengths in (None, [0, 1, 6, 3, 2]):
            found = []
            for m in (net, truth):
                y, finals = m(x.to(m.weight_ih_l0.dtype), lengths=lengths)
                total = (y, *as_list(finals))[k].square().sum()
                found.append(torch.autograd.grad(total, list(m.parameters())))
            for a, b in zip(*found, strict=True):
                assert distance(b, a) <= TOLERANCE[torch.float32]


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (1, 3), (6, 1), (6, 5)], ids=lambda size: f"T{size[0]}-B{size[1]}")
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("cell", EXAMPLES)
def test_without_gradients(cell: str, mode, size: tuple[int, int]):
    """Small calls without gradients take another way through the kernel than training does."""
    for width, units in ((I, H), (0, 3), (33, 16), (70, 1)):
        net = Recurrent(CELLS[cell], width, units, num_layers=2, bidirectional=True, backend="cpp")
        x = torch.randn(*size, width)
        trained = net(x)
        with mode():
            free = net(x)
        assert trained[0].requires_grad and not free[0].requires_grad
        for a, b in zip((trained[0], *as_list(trained[1])), (free[0], *as_list(free[1])), strict=True):
            assert distance(a, b) <= TOLERANCE[torch.float32]


@pytest.mark.parametrize("cell", EXAMPLES)
def test_backward_twice_and_accumulation(cell: str):
    net = layer(cell)
    y, _ = net(torch.randn(T, B, I))
    y.sum().backward(retain_graph=True)
    once = [p.grad.clone() for p in net.parameters()]
    y.sum().backward()
    for p, g in zip(net.parameters(), once, strict=True):
        assert torch.equal(p.grad, 2 * g)


def test_changing_what_backward_needs_is_noticed():
    net = layer("lstm")
    y, _ = net(torch.randn(T, B, I))
    with torch.no_grad():
        net.weight_hh_l0.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
