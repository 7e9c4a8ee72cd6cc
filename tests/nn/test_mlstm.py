"""The matrix LSTM: chunks of time against the definition, streaming, padding, extreme gates, bad input."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gatework.errors import InputError
from gatework.nn import MLSTM
from gatework.nn.matrix import Memory, chunkwise, empty_memory, stepwise


def some(T: int, B: int = 2, N: int = 3, K: int = 5, V: int = 4, *, gates: float = 1.0) -> tuple[Tensor, ...]:
    """q, k, v and gates in double precision."""
    q, k, v = (torch.randn(B, N, T, width, dtype=torch.double) for width in (K, K, V))
    i, f = (gates * torch.randn(B, N, T, dtype=torch.double) for _ in range(2))
    return q, k, v, i, f + 2


def filled(q: Tensor, V: int) -> Memory:
    C, n, m = (torch.randn_like(part) for part in empty_memory(q, V))
    return C, n, m


def results(run, values, memory, **options) -> list[Tensor]:
    """Outputs, final memory and the gradients of a random sum of all but m, by all inputs."""
    values = [x.detach().clone().requires_grad_() for x in (*values, *memory[:2])]
    h, (C, n, m) = run(*values[:5], (values[5], values[6], memory[2]), **options)
    torch.manual_seed(1)
    total = sum((x * torch.randn_like(x)).sum() for x in (h, C, n))
    return [h, C, n, m, *torch.autograd.grad(total, values)]


def agree(found: list[Tensor], truth: list[Tensor], tolerance: float) -> None:
    for k, (a, b) in enumerate(zip(found, truth, strict=True)):
        assert a.isfinite().all(), k
        assert (a.double() - b).norm() <= tolerance * b.norm().clamp_min(1e-3), k


@pytest.mark.parametrize(("T", "chunk"), [(37, 8), (32, 8), (5, 64), (1, 64), (9, 1), (7, 7)])
def test_chunks_are_the_definition(T: int, chunk: int) -> None:
    torch.manual_seed(0)
    values = some(T)
    memory = filled(values[0], 4)
    agree(results(chunkwise, values, memory, chunk=chunk), results(stepwise, values, memory), 1e-12)


def test_definition_without_the_scale() -> None:
    """Against the equations as the paper first writes them, which small gates allow."""
    torch.manual_seed(0)
    q, k, v, i, f = some(6, 1, 1)
    h, (C_end, _, m_end) = chunkwise(q, k, v, i, f, empty_memory(q, 4), eps=0.0, chunk=4)
    C, n = torch.zeros(5, 4, dtype=torch.double), torch.zeros(5, dtype=torch.double)
    for t in range(6):
        qt, kt, vt = q[0, 0, t] / math.sqrt(5), k[0, 0, t], v[0, 0, t]
        forget, write = torch.sigmoid(f[0, 0, t]), torch.exp(i[0, 0, t])
        C, n = forget * C + write * torch.outer(kt, vt), forget * n + write * kt
        torch.testing.assert_close(h[0, 0, t], qt @ C / max(float((n @ qt).abs()), 1.0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(C_end[0, 0] * m_end[0, 0].exp(), C, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [30.0, 1000.0])
def test_extreme_gates(scale: float) -> None:
    """Single precision stays finite, and near the definition in double precision."""
    torch.manual_seed(0)
    values = some(50, gates=scale)
    memory = empty_memory(values[0], 4)
    truth = results(stepwise, values, memory)
    single = results(chunkwise, [x.float() for x in values], [x.float() for x in memory], chunk=16)
    assert all(x.isfinite().all() for x in single)
    agree(single[:4], truth[:4], 2e-3)  # gates of a thousand are known to 6e-5 in single precision


def test_a_shut_gate_costs_later_steps_no_digits() -> None:
    torch.manual_seed(0)
    q, k, v, i, f = some(40)
    f[:, :, 3] = -1e5
    memory = empty_memory(q, 4)
    truth, _ = stepwise(q, k, v, i, f, memory)
    h, _ = chunkwise(*(x.float() for x in (q, k, v, i, f)), tuple(x.float() for x in memory))
    assert (h - truth).norm() <= 2e-6 * truth.norm()


def test_long_sequence_stays_finite() -> None:
    torch.manual_seed(0)
    q, k, v, i, f = (x.float() for x in some(20_000, 1, 1, gates=3.0))
    h, (C, n, m) = chunkwise(q, k, v, i + 5, f - 2, empty_memory(q, 4))
    assert all(x.isfinite().all() for x in (h, C, n, m))


def test_streaming_is_one_call() -> None:
    torch.manual_seed(0)
    layer = MLSTM(3, 8, 2, key_size=3, dtype=torch.double, chunk=4)
    x = torch.randn(11, 2, 3, dtype=torch.double)
    y, end = layer(x)
    state, parts = None, []
    for part in (x[:1], x[1:2], x[2:9], x[9:]):
        out, state = layer(part, state)
        parts.append(out)
    torch.testing.assert_close(torch.cat(parts), y, rtol=1e-12, atol=1e-12)
    for a, b in zip(state, end, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_padding_never_leaks() -> None:
    torch.manual_seed(0)
    layer = MLSTM(3, 8, 2, dtype=torch.double, batch_first=True, chunk=4)
    torch.nn.init.normal_(layer.weight_ih)
    lengths, x = [9, 0, 4], torch.randn(3, 9, 3, dtype=torch.double)
    poisoned = x.clone()
    poisoned[1], poisoned[2, 4:] = math.nan, math.nan
    y, states = layer(poisoned, lengths=lengths)
    y.sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())
    for row, length in enumerate(lengths):
        alone, end = layer(x[row : row + 1, :length])
        torch.testing.assert_close(y[row, :length], alone[0], rtol=1e-12, atol=1e-12)
        assert not y[row, length:].any()
        for a, b in zip(states, end, strict=True):
            torch.testing.assert_close(a[row], b[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("norm", [True, False])
def test_gradients_are_derivatives(norm: bool) -> None:
    torch.manual_seed(0)
    layer = MLSTM(2, 4, 2, norm=norm, dtype=torch.double, chunk=2)
    torch.nn.init.normal_(layer.weight_ih)
    x = torch.randn(5, 1, 2, dtype=torch.double, requires_grad=True)
    # the outputs only: C and n depend on the choice of m, the outputs do not (by eps, 1e-6)
    assert torch.autograd.gradcheck(lambda x, *_: layer(x)[0], (x, *layer.parameters()), atol=1e-4)


def test_half_precision_keeps_its_memory_in_single() -> None:
    torch.manual_seed(0)
    layer = MLSTM(3, 8, 2)
    x = torch.randn(20, 2, 3)
    y, _ = layer(x)
    low, states = layer.bfloat16()(x.bfloat16())
    assert low.dtype == torch.bfloat16 and all(s.dtype == torch.float32 for s in states)
    assert (low.float() - y).norm() <= 0.05 * y.norm()


def test_no_steps() -> None:
    layer = MLSTM(3, 8, 2)
    y, (C, _, _) = layer(torch.zeros(0, 2, 3))
    assert y.shape == (0, 2, 8) and not C.any()


def test_forms_agree() -> None:
    torch.manual_seed(0)
    layer = MLSTM(3, 6, 2, dtype=torch.double)
    x = torch.randn(70, 2, 3, dtype=torch.double)
    y, _ = layer(x)
    layer.form = "stepwise"
    torch.testing.assert_close(layer(x)[0], y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_size": 7}, "hidden_size is 7; expected a multiple of num_heads, which is 2"),
        ({"chunk": 0}, "chunk is 0; expected a whole number >= 1"),
        ({"key_size": 2.5}, "key_size is 2.5; expected a whole number >= 1"),
        ({"form": "fast"}, "form is 'fast'; expected one of chunkwise, stepwise"),
        ({"eps": -1.0}, "eps is -1.0; expected a number >= 0"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        MLSTM(**({"input_size": 3, "hidden_size": 8, "num_heads": 2} | arguments))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda layer, x: layer(x[..., :2]), r"input has shape \(5, 2, 2\); expected \[T, B, 3\]"),
        (lambda layer, x: layer(x.double()), "input is torch.float64, the layer's weights are torch.float32"),
        (lambda layer, x: layer(x, (x, x)), "hx must be a tuple of three tensors"),
        (lambda layer, x: layer(x, layer(x[:, :1])[1]), r"state C is \(1, 2, 4, 4\); expected \(2, 2, 4, 4\)"),
        (lambda layer, x: layer(x, tuple(s.half() for s in layer(x)[1])), "state C is torch.float16; expected"),
        (lambda layer, x: layer(x, lengths=[9, 1]), r"lengths\[0\] is 9; expected 0..5"),
    ],
)
def test_bad_calls(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(MLSTM(3, 8, 2), torch.randn(5, 2, 3))
