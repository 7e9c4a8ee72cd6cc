"""A backbone read token by token, prepared: the same numbers as the backbone itself, to the last bit."""

from __future__ import annotations

import pytest
import torch

from gatework.errors import InputError
from gatework.nn import Backbone
from gatework.nn.stepping import Stepper, stepper

V = 9


def made(**options: object) -> Backbone:
    torch.manual_seed(0)
    given = {"embedding": 6, "hidden_size": 10, "num_layers": 2, **options}
    return Backbone(V, **given).eval()


def flat(state: object) -> list[torch.Tensor]:
    return [state] if isinstance(state, torch.Tensor) else [part for own in state for part in flat(own)]


# pointwise, of one state, with products of the input alone, staged, with a state of another width
@pytest.mark.parametrize("cell", ["lstm", "gru", "ur-lstm", "layer-norm-lstm", "lstmp"])
@pytest.mark.parametrize("rows", [1, 3])
@torch.no_grad()
def test_steps_are_those_of_the_backbone(cell: str, rows: int):
    net = made(cell=cell, dropout=0.3, word_dropout=0.2)
    net.embedding.weight[0] = 1.0  # as where an output layer shares the matrix
    step = stepper(net, rows)
    assert step is not None
    _, state = net(torch.randint(1, V, (rows, 4)))
    own = state
    for number in range(6):
        ids = torch.randint(1, V, (rows, 1))
        ids[number % rows] *= number % 2  # now and then padding
        expected, state = net(ids, None, state)
        found, own = step(ids, own)
        assert torch.equal(found, expected)
        assert all(torch.equal(a, b) for a, b in zip(flat(own), flat(state), strict=True))


@torch.no_grad()
def test_an_older_state_stays_as_it_is():
    net = made()
    step = stepper(net, 1)
    _, state = net(torch.tensor([[3, 4]]))
    first = step(torch.tensor([[5]]), state)[0]
    step(torch.tensor([[6]]), state)
    assert torch.equal(step(torch.tensor([[5]]), state)[0], first)


@torch.no_grad()
def test_double_precision():
    net = made().double()
    _, state = net(torch.tensor([[3]]))
    assert torch.equal(stepper(net, 1)(torch.tensor([[4]]), state)[0], net(torch.tensor([[4]]), None, state)[0])


@pytest.mark.parametrize("options", [{"attention_over": 1, "heads": 2}, {"bidirectional": True}])
def test_backbones_that_do_more(options: dict):
    assert stepper(made(**options), 1) is None


def test_what_no_kernel_runs_as_it_is():
    assert stepper(made().train(), 1) is None
    net = made()
    net.layers[1].backend = "reference"
    assert stepper(net, 1) is None
    with torch.autocast("cpu"):
        assert stepper(made(), 1) is None
    assert isinstance(stepper(made(), 1), Stepper)


@torch.no_grad()
def test_states_and_tokens_that_do_not_fit():
    net = made()
    step = stepper(net, 2)
    _, state = net(torch.tensor([[3], [4]]))
    with pytest.raises(InputError, match=r"\(1, 1, 6\).*expected \(2, 1, 6\), \(1, 2, 10\), \(1, 2, 10\) of torch.fl"):
        step(torch.tensor([[3]]), state)
    with pytest.raises(InputError, match=r"float64.*expected"):
        step(torch.tensor([[3], [4]]), [tuple(part.double() for part in own) for own in state])
    with pytest.raises(IndexError):
        step(torch.tensor([[3], [V]]), state)
