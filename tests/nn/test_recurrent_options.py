"""What `Recurrent` has beyond torch.nn: any cell, gate biases, backends, copies."""

from __future__ import annotations

import copy
import io

import pytest
import torch

from gatework.cells import Cell, catalogue, find
from gatework.errors import InputError
from gatework.nn import GRU, LSTM, RNN, Recurrent

CELLS = "rnn", "lstm", "peephole-lstm", "cifg", "gru", "janet"
FORGETTING = [name for name in CELLS if find(name).forget_gate]
I, H = 3, 50  # noqa: E741


def gate_bias(layer: Recurrent, gate: str, suffix: str = "_l0") -> torch.Tensor:
    k = layer.cell.gate_names.index(gate)
    total = getattr(layer, f"bias_ih{suffix}") + getattr(layer, f"bias_hh{suffix}")
    return total[k * layer.hidden_size : (k + 1) * layer.hidden_size].detach()


@pytest.mark.parametrize("cell", FORGETTING)
def test_forget_bias(cell: str):
    layer = Recurrent(cell, I, H, num_layers=2, bidirectional=True, forget_bias=1.5)
    for suffix in ("_l0", "_l0_reverse", "_l1", "_l1_reverse"):
        assert (gate_bias(layer, layer.cell.forget_gate, suffix) == 1.5).all()
        for gate in set(layer.cell.gate_names) - {layer.cell.forget_gate}:
            assert gate_bias(layer, gate, suffix).std() > 0


@pytest.mark.parametrize("cell", FORGETTING)
def test_chrono(cell: str):
    """Forget biases log U(1, T - 1), input biases their negation: Tallec & Ollivier, arXiv:1804.11188, eq. 16."""
    torch.manual_seed(0)
    layer = Recurrent(cell, I, 400, chrono=100.0)
    lags = gate_bias(layer, layer.cell.forget_gate).exp()
    assert lags.min() >= 1 - 1e-4 and lags.max() <= 99 + 1e-3
    assert lags.mean() == pytest.approx(50, abs=5)
    if layer.cell.input_gate:
        assert torch.equal(gate_bias(layer, layer.cell.input_gate), -gate_bias(layer, layer.cell.forget_gate))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "rnn", "forget_bias": 1.0}, "no forget gate"),
        ({"cell": "lstm", "forget_bias": 1.0, "bias": False}, "need bias=True"),
        ({"cell": "lstm", "forget_bias": 1.0, "chrono": 10.0}, "not both"),
        ({"cell": "lstm", "chrono": 1.5}, "> 2"),
    ],
)
def test_gate_biases_that_do_not_apply(options: dict, message: str):
    with pytest.raises(InputError, match=message):
        Recurrent(input_size=I, hidden_size=H, **options)


def test_a_vector_may_have_its_own_start():
    from gatework.cells import vector

    class Scaled(Cell):
        state = "h"
        gates = ("a",)
        q = vector("scale", "shift", start=0.25)

        def step(self, x, s, U, q):
            return torch.tanh(q.scale * (x.a + U.a @ s.h) + q.shift)

    layer = Recurrent(Scaled, I, H)
    assert layer.q_l0.shape == (2, H) and (layer.q_l0 == 0.25).all()


@pytest.mark.parametrize("cell", CELLS)
def test_by_name_by_class_and_by_instance(cell: str):
    x = torch.randn(4, 2, I)
    layers = [Recurrent(given, I, H) for given in (cell, catalogue()[cell], find(cell))]
    for layer in layers[1:]:
        layer.load_state_dict(layers[0].state_dict())
    assert len({layer(x)[0].sum().item() for layer in layers}) == 1


@pytest.mark.parametrize("cell", CELLS)
def test_copies_and_saved_weights(cell: str):
    layer, x = Recurrent(cell, I, H, num_layers=2), torch.randn(4, 2, I)
    expected = layer(x)[0]
    assert torch.equal(copy.deepcopy(layer)(x)[0], expected)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = Recurrent(cell, I, H, num_layers=2)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x)[0], expected)


def test_moving_between_types_keeps_the_layer_right():
    layer, x = LSTM(I, H), torch.randn(4, 2, I)
    single = layer(x)[0]
    double = layer.double()(x.double())[0]
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single)
    assert torch.equal(layer.float()(x)[0], single)


def test_options_of_cells_are_used():
    torch.manual_seed(0)
    x = torch.randn(4, 2, I)
    layers = [Recurrent(find("janet", beta=beta), I, H) for beta in (0.5, 1.0)]
    layers[1].load_state_dict(layers[0].state_dict())
    assert not torch.allclose(layers[0](x)[0], layers[1](x)[0])
    assert (RNN(I, H, nonlinearity="relu")(x)[0] >= 0).all()


def test_what_a_layer_says_of_itself():
    assert repr(GRU(3, 5, num_layers=2, batch_first=True)) == "GRU(GRU(), 3, 5, num_layers=2, batch_first=True)"
    assert "beta=0.5" in repr(Recurrent(find("janet", beta=0.5), 3, 5, backend="reference"))


def test_no_gradient_for_frozen_layers():
    layer, x = LSTM(I, H).requires_grad_(False), torch.randn(4, 2, I, requires_grad=True)
    y, (_, c) = layer(x)
    (y.sum() + c.sum()).backward()
    assert x.grad is not None and all(p.grad is None for p in layer.parameters())


def test_parametrised_weights():
    """Weight normalisation replaces a parameter by a computed tensor; gradients go through it."""
    layer, x = LSTM(I, H), torch.randn(4, 2, I)
    expected = layer(x)[0]
    torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    y = layer(x)[0]
    torch.testing.assert_close(y, expected)
    y.sum().backward()
    assert layer.parametrizations.weight_hh_l0.original0.grad.abs().sum() > 0


def test_learned_initial_states():
    layer = LSTM(I, 5, num_layers=2, bidirectional=True, learned_state=True, backend="reference")
    names = {name for name, _ in layer.named_parameters()} - {
        name for name, _ in LSTM(I, 5, 2, bidirectional=True).named_parameters()
    }
    assert names == {f"{state}0_l{k}{end}" for state in "hc" for k in (0, 1) for end in ("", "_reverse")}
    x, given = torch.randn(4, 3, I), torch.randn(4, 5)
    assert torch.equal(layer(x)[0], layer(x, (torch.zeros(4, 3, 5),) * 2)[0]), "they start as zeros"
    with torch.no_grad():
        for k, name in enumerate(("c0_l0", "c0_l0_reverse", "c0_l1", "c0_l1_reverse")):
            getattr(layer, name).copy_(given[k])
    state = torch.zeros(4, 3, 5), given[:, None].expand(4, 3, 5)
    assert torch.equal(layer(x)[0], layer(x, state)[0])
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, [2, 4, 1], enforce_sorted=False)
    torch.testing.assert_close(layer(packed)[0].data, layer(packed, state)[0].data)
    torch.testing.assert_close(layer(x[:, 0])[0], layer(x)[0][:, 0])
    layer(x)[0].sum().backward()
    assert all(getattr(layer, name).grad.abs().sum() > 0 for name in names)
    layer.reset_parameters()
    assert (layer.c0_l1 == 0).all() and "learned_state=True" in repr(layer)
    double = GRU(I, 5, learned_state=True, dtype=torch.float64, save="chunks")
    double(torch.randn(4, 3, I, dtype=torch.float64))[0].sum().backward()
    assert double.h0_l0.grad.abs().sum() > 0
