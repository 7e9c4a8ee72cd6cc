"""Token vectors and locked dropout."""

from __future__ import annotations

import pytest
import torch

from gatework.errors import InputError
from gatework.nn import LockedDropout, WordEmbedding

V, E = 200, 16


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.usefixtures("poisoned_empty")
def test_word_dropout_hides_a_token_wherever_it_stands():
    net, ids = WordEmbedding(V, E, word_dropout=0.4), torch.arange(1, V).repeat(3, 1)
    found = net(ids)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    hidden = (found[0] == 0).all(1)
    assert 0.25 < hidden.float().mean() < 0.55
    torch.testing.assert_close(found[0][~hidden], net.weight[1:][~hidden] / 0.6)
    net.eval()
    assert torch.equal(net(ids)[0], net.weight[1:])


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_padding_has_no_vector_and_no_gradient(rate: float):
    net = WordEmbedding(V, E, word_dropout=rate)
    with torch.no_grad():
        net.weight[0] = 1.0  # as an output layer that shares the matrix may
    found = net(torch.tensor([[3, 0], [0, 0]]))
    assert found[0, 1].abs().sum() == 0 and found[1].abs().sum() == 0
    found.sum().backward()
    assert net.weight.grad[0].abs().sum() == 0


def test_given_vectors_are_where_it_starts():
    vectors = torch.randn(V, E)
    net = WordEmbedding(V, E, vectors=vectors)
    assert torch.equal(net.weight[1:], vectors[1:]) and net.weight[0].abs().sum() == 0


def test_the_start_has_variance_one_over_the_width():
    assert WordEmbedding(2000, 50).weight[1:].var().item() == pytest.approx(1 / 50, rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, E), "tokens is 0"),
        ((V, 0), "width is 0"),
        ((V, E, 1.0), "word_dropout is 1.0"),
        ((V, E, 0.0, torch.zeros(V, E - 1)), r"vectors has shape \(200, 15\); expected \(200, 16\)"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: tuple, words: str):
    with pytest.raises(InputError, match=words):
        WordEmbedding(*arguments)


def test_numbers_outside_the_vocabulary_are_named():
    with pytest.raises(InputError, match=r"numbers from -1 to 5; expected 0\.\.199"):
        WordEmbedding(V, E)(torch.tensor([5, -1]))


@pytest.mark.usefixtures("poisoned_empty")
def test_locked_dropout_hides_the_same_features_at_every_step_of_a_row():
    net, x = LockedDropout(0.3), torch.ones(50, 7, 40)
    y = net(x)
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert not torch.equal(y[0], y[1])
    torch.testing.assert_close(y.unique(), torch.tensor([0, 1 / 0.7]))
    assert (y == 0).float().mean().item() == pytest.approx(0.3, abs=0.05)
    assert net.eval()(x) is x
    assert LockedDropout(0.0).train()(x) is x


@pytest.mark.parametrize("rate", [1.0, -0.1, "0.5", True])
def test_a_rate_out_of_range_is_refused(rate: object):
    with pytest.raises(InputError, match="expected a probability"):
        LockedDropout(rate)
