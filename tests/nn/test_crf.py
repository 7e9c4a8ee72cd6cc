"""The conditional random field against all its paths one by one, against pytorch-crf, and at its edges."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gatework.errors import InputError
from gatework.nn.crf import CRF
from tests.nn.paths import all_paths, field

SIZES = [(1, 1), (1, 4), (2, 5), (3, 4), (5, 3), (4, 1)]  # tags, steps


def ragged(K: int, T: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    return torch.randn(4, T, K, dtype=torch.float64), torch.tensor([T, 0, 1, max(T - 1, 1)])


@pytest.mark.parametrize(("K", "T"), SIZES)
@pytest.mark.parametrize("forbid", [0.0, 0.5])
def test_all_paths_one_by_one(K: int, T: int, forbid: float):
    crf, (scores, lengths) = field(K, forbid=forbid), ragged(K, T)
    total, decoded, shares = crf.total(scores, lengths), crf.decode(scores, lengths), crf.marginals(scores, lengths)
    tags, logs = crf.best(scores, lengths, 4)
    for b, length in enumerate(lengths.tolist()):
        paths = all_paths(crf, scores[b], length)
        ranked = sorted(paths, key=lambda path: -paths[path])
        z = torch.logsumexp(torch.tensor(list(paths.values()), dtype=torch.float64), 0)
        torch.testing.assert_close(total[b], z)
        assert tuple(decoded[b, :length].tolist()) == ranked[0]
        expected = torch.zeros(T, K, dtype=torch.float64)
        for path, score in paths.items():
            for t, tag in enumerate(path):
                expected[t, tag] += math.exp(score - z)
        torch.testing.assert_close(shares[b], expected)
        for k in range(4):
            if k < len(ranked):
                assert tuple(tags[b, k, :length].tolist()) == ranked[k]
                torch.testing.assert_close(logs[b, k], paths[ranked[k]] - z)
            else:
                assert logs[b, k] == -math.inf and not tags[b, k].any()
        gold = torch.zeros(4, T, dtype=torch.long)
        gold[b, :length] = torch.tensor(ranked[-1], dtype=torch.long)
        one = crf.loss(scores[b : b + 1], gold[b : b + 1], lengths[b : b + 1])
        torch.testing.assert_close(one[0], z - paths[ranked[-1]])
    assert not decoded[torch.arange(T) >= lengths[:, None]].any()


def test_gradients_are_those_of_finite_differences():
    crf, (scores, lengths) = field(3, forbid=0.4), ragged(3, 4)
    tags = crf.decode(scores, lengths)
    parameters = [p.detach().clone().requires_grad_() for p in crf.parameters()]

    def loss(scores: Tensor, *values: Tensor) -> Tensor:
        named = dict(zip(dict(crf.named_parameters()), values, strict=True))
        return torch.func.functional_call(
            _Loss(crf), {f"crf.{k}": v for k, v in named.items()}, (scores, tags, lengths)
        )

    assert torch.autograd.gradcheck(loss, (scores.requires_grad_(), *parameters))


class _Loss(torch.nn.Module):
    def __init__(self, crf: CRF) -> None:
        super().__init__()
        self.crf = crf

    def forward(self, *given: Tensor) -> Tensor:
        return self.crf.loss(*given)


def test_what_stands_past_a_length_never_leaks():
    crf, (scores, lengths) = field(4, forbid=0.3), ragged(4, 6)
    tags = crf.decode(scores, lengths)
    outside = torch.arange(6) >= lengths[:, None]
    results = []
    for filler in (0.0, math.nan, math.inf):
        given = scores.masked_fill(outside[:, :, None], filler).requires_grad_()
        answers = tags.masked_fill(outside, -100)
        crf.zero_grad()
        loss = crf.loss(given, answers, lengths)
        loss.sum().backward()
        assert not given.grad[outside].any()
        kept = [loss.detach(), given.grad, *(p.grad for p in crf.parameters())]
        plain = given.detach()
        results.append([*kept, crf.decode(plain, lengths), crf.marginals(plain, lengths), *crf.best(plain, lengths, 3)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert torch.equal(a, b)


def test_a_batch_of_one_is_its_row_in_a_batch_of_many():
    crf, (scores, lengths) = field(5, forbid=0.3), ragged(5, 7)
    tags, (ranked, logs) = crf.decode(scores, lengths), crf.best(scores, lengths, 3)
    loss, shares = crf.loss(scores, tags, lengths), crf.marginals(scores, lengths)
    for b, length in enumerate(lengths.tolist()):
        one = scores[b : b + 1, :length]
        assert torch.equal(crf.decode(one)[0], tags[b, :length])
        torch.testing.assert_close(crf.loss(one, tags[b : b + 1, :length])[0], loss[b])
        torch.testing.assert_close(crf.marginals(one)[0], shares[b, :length])
        more, own = crf.best(one, n=3)
        assert torch.equal(more[0], ranked[b, :, :length])
        torch.testing.assert_close(own[0], logs[b])


def test_batches_without_rows_or_steps():
    crf = field(3)
    for shape in ((0, 5, 3), (2, 0, 3), (0, 0, 3)):
        scores, tags = torch.zeros(shape).double(), torch.zeros(shape[:2], dtype=torch.long)
        assert crf.loss(scores, tags).tolist() == [0.0] * shape[0]
        assert crf.total(scores).tolist() == [0.0] * shape[0]
        assert crf.decode(scores).shape == shape[:2] and crf.marginals(scores).shape == shape
        ranked, logs = crf.best(scores, n=2)
        assert ranked.shape == (shape[0], 2, shape[1]) and logs.shape == (shape[0], 2)


def test_tags_held_fast_by_very_low_scores():
    crf, (scores, _) = field(4).float(), ragged(4, 5)
    held = scores.float()
    others = torch.arange(4) != 2
    held[:, 1:4, others] = torch.finfo(torch.float32).min / 4
    known = crf.total(held) - crf.total(scores.float())
    share = torch.zeros(4)
    for b in range(4):
        paths = all_paths(crf, scores[b], 5)
        z = torch.logsumexp(torch.tensor(list(paths.values())), 0)
        share[b] = torch.logsumexp(torch.tensor([s for p, s in paths.items() if set(p[1:4]) == {2}]), 0) - z
    torch.testing.assert_close(known.detach(), share, rtol=1e-5, atol=1e-5)
    assert (crf.decode(held)[:, 1:4] == 2).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, y, n: (s[..., :2], y, n), r"scores has shape \(4, 6, 2\); expected \[B, T, 3\]"),
        (lambda s, y, n: (s.long(), y, n), "scores is torch.int64; expected floating"),
        (lambda s, y, n: (s, y[:, :-1], n), r"of shape \(4, 5\); expected whole numbers \(4, 6\)"),
        (lambda s, y, n: (s, y.float(), n), "tags is torch.float32"),
        (lambda s, y, n: (s, y + 3, n), r"tags are 0..3; expected 0..2|tags are 3..\d; expected 0..2"),
        (lambda s, y, n: (s, y, n[:2]), "expected 4 whole numbers"),
        (lambda s, y, n: (s, y, n + 3), r"lengths are 3..9; expected 0..6"),
        (lambda s, y, n: (s, y, n.double()), "lengths is torch.float64"),
    ],
)
def test_bad_input(change, message: str):
    scores, lengths = ragged(3, 6)
    with pytest.raises(InputError, match=message):
        field(3).loss(*change(scores, torch.zeros(4, 6, dtype=torch.long), lengths))


def test_answers_that_are_not_legal_are_named():
    legal = torch.ones(3, 3, dtype=torch.bool)
    legal[1, 2] = False
    crf = CRF(3, legal, starts=torch.tensor([True, True, False]), ends=torch.tensor([False, True, True]))
    scores = torch.zeros(2, 3, 3)
    for wrong, message in (
        ([0, 1, 2], r"row 1 .* tag 2 may not follow tag 1 \(step 2\)"),
        ([2, 2, 2], "row 1 .* no sequence may start with tag 2"),
        ([1, 1, 0], "row 1 .* no sequence may end with tag 0"),
    ):
        with pytest.raises(InputError, match=message):
            crf.loss(scores, torch.tensor([[0, 0, 1], wrong]))


def test_no_path_and_no_numbers():
    nothing = CRF(2, torch.tensor([[False, True], [False, False]]))
    assert nothing.total(torch.zeros(1, 3, 2)).item() == -math.inf
    for call in (nothing.decode, nothing.best, nothing.marginals):
        with pytest.raises(InputError, match="row 0 has no path: none of length 3 is legal"):
            call(torch.zeros(1, 3, 2))
    with pytest.raises(InputError, match="row 1 has no path"):
        CRF(2).decode(torch.tensor([[[0.0, 1.0]], [[math.nan, math.nan]]]))


def test_fields_that_cannot_be():
    for given, message in (
        ({"tags": 0}, "tags is 0; expected a whole number"),
        ({"tags": 2, "legal": torch.ones(3, 3)}, r"legal has shape \(3, 3\); expected \(2, 2\)"),
        ({"tags": 2, "starts": torch.zeros(2)}, "starts allows none of the 2 tags"),
    ):
        with pytest.raises(InputError, match=message):
            CRF(**given)
    with pytest.raises(InputError, match="n is 0"):
        CRF(2).best(torch.zeros(1, 3, 2), n=0)


@pytest.mark.parametrize("K", [2, 9, 79])
def test_it_is_pytorch_crf(K: int):
    torchcrf = pytest.importorskip("torchcrf")
    crf, peer = field(K).float(), torchcrf.CRF(K, batch_first=True)
    with torch.no_grad():
        peer.transitions.copy_(crf.transitions)
        peer.start_transitions.copy_(crf.first)
        peer.end_transitions.copy_(crf.last)
    scores, lengths = torch.randn(8, 12, K), torch.tensor([12, 1, 3, 12, 7, 2, 9, 5])
    tags, inside = torch.randint(K, (8, 12)), torch.arange(12) < lengths[:, None]
    own, theirs = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    found, expected = crf.loss(own, tags, lengths), -peer(theirs, tags, mask=inside, reduction="none")
    torch.testing.assert_close(found, expected)
    weights = torch.rand(8)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(own.grad, theirs.grad)
    for mine, other in ((crf.transitions, peer.transitions), (crf.first, peer.start_transitions)):
        torch.testing.assert_close(mine.grad, other.grad)
    torch.testing.assert_close(crf.last.grad, peer.end_transitions.grad)
    decoded = [row[:n].tolist() for row, n in zip(crf.decode(scores, lengths), lengths.tolist(), strict=True)]
    assert decoded == peer.decode(scores, mask=inside)
