"""Ranks: probabilities of one score cut by rising thresholds, against the definition, and learned from data."""

from __future__ import annotations

import pytest
import torch

from gatework.errors import InputError
from gatework.nn.ordinal import OrdinalHead


@pytest.mark.parametrize("ranks", [2, 3, 7])
def test_probabilities_are_differences_of_the_cumulative_ones(ranks: int):
    torch.manual_seed(ranks)
    head = OrdinalHead(4, ranks).double()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(torch.randn_like(parameter))
    x = torch.randn(6, 4, dtype=torch.double)
    above = torch.sigmoid(head.score(x) - head.thresholds())
    edges = torch.cat([torch.ones(6, 1), above, torch.zeros(6, 1)], 1)
    assert (head.thresholds().diff() > 0).all()
    torch.testing.assert_close(head(x).exp(), edges[:, :-1] - edges[:, 1:])
    torch.testing.assert_close(head(x).exp().sum(1), torch.ones(6, dtype=torch.double))
    assert torch.autograd.gradcheck(head, x.requires_grad_())


def test_far_scores_stay_finite():
    head = OrdinalHead(1, 5)
    with torch.no_grad():
        head.score.weight.fill_(1.0)
    x = torch.tensor([[-200.0], [200.0]], requires_grad=True)
    out = head(x)
    out.sum().backward()
    assert torch.isfinite(out).all() and torch.isfinite(x.grad).all()
    assert out.argmax(1).tolist() == [0, 4]


def test_ranks_start_equally_probable():
    torch.testing.assert_close(OrdinalHead(3, 5)(torch.zeros(1, 3)).exp(), torch.full((1, 5), 0.2))


def test_learns_ranks_of_a_hidden_score():
    torch.manual_seed(0)
    x = torch.randn(400, 3)
    hidden = x @ torch.tensor([1.0, -2.0, 0.5])
    ranks = torch.bucketize(hidden, torch.tensor([-2.0, 0.5, 1.0]))
    head = OrdinalHead(3, 4)
    optimiser = torch.optim.Adam(head.parameters(), 0.1)
    for _ in range(200):
        optimiser.zero_grad()
        loss = torch.nn.functional.nll_loss(head(x), ranks)
        loss.backward()
        optimiser.step()
    assert (head(x).argmax(1) == ranks).float().mean() > 0.95
    scaled = head.thresholds() / head.score.weight[0, 0]
    torch.testing.assert_close(scaled, torch.tensor([-2.0, 0.5, 1.0]), atol=0.15, rtol=0)


@pytest.mark.parametrize(("width", "ranks"), [(0, 3), (3, 1)])
def test_sizes_out_of_range(width: int, ranks: int):
    with pytest.raises(InputError, match=f"width is {width} and ranks {ranks}"):
        OrdinalHead(width, ranks)
