"""The compiled field against the loop over time in double precision: values, gradients, underflow, threads."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gatework.compiler import chain as compiled
from gatework.compiler.build import BuildError
from gatework.compiler.graph import Unsupported
from gatework.nn.crf import CRF
from gatework.say import recording
from tests.nn.paths import field

# A value of a few hundred is rounded at each of 20 steps; probabilities follow the rounding of their logarithms.
TOLERANCE = {torch.float32: 1e-6, torch.float64: 2e-15}
LENGTHS = torch.tensor([20, 0, 1, 13, 20, 2, 7, 19, 5, 1, 11])


def twins(K: int, dtype: torch.dtype, scale: float, forbid: float = 0.4) -> tuple[CRF, CRF]:
    """A compiled field, and the loop in double precision with the same numbers."""
    given = field(K, forbid=forbid, scale=scale, backend="cpp").to(dtype)
    truth = CRF(K, given.legal, given.starts, given.ends, backend="reference").double()
    truth.load_state_dict(given.state_dict())
    return given, truth


def everything(crf: CRF, scores: Tensor, weights: Tensor) -> dict[str, Tensor]:
    tags = crf.decode(scores, LENGTHS).roll(1, 0)  # some legal answers of other rows
    tags = torch.where((LENGTHS.roll(1) == LENGTHS)[:, None], tags, crf.best(scores, LENGTHS, 3)[0][:, 0])
    own = scores.clone().requires_grad_()
    crf.zero_grad()
    loss = crf.loss(own, tags, LENGTHS)
    (loss * weights.to(loss)).sum().backward()
    found = {"loss": loss, "scores": own.grad, "shares": crf.marginals(scores, LENGTHS)}
    found |= {name: p.grad for name, p in crf.named_parameters()}
    found["ranked"], found["logs"] = crf.best(scores, LENGTHS, 3)
    return found | {"total": crf.total(scores, LENGTHS), "decoded": crf.decode(scores, LENGTHS)}


@pytest.mark.parametrize(
    ("dtype", "scale"), [(torch.float32, 1.0), (torch.float32, 200.0), (torch.float64, 1.0), (torch.float64, 1000.0)]
)
@pytest.mark.parametrize("K", [1, 2, 9, 16, 17, 79, 150])
@pytest.mark.usefixtures("poisoned_empty")
def test_it_is_the_loop(K: int, scale: float, dtype: torch.dtype):
    """Transitions of +-200, or +-1000, differ by far more than exp can hold in single, or double, precision."""
    given, truth = twins(K, dtype, scale)
    torch.manual_seed(1)
    scores, weights = (3 * scale**0.5 * torch.randn(11, 20, K)).to(dtype), torch.rand(11)
    found, expected = everything(given, scores, weights), everything(truth, scores.double(), weights)
    size = float(expected["total"].detach().abs().max()) + 10
    for name in ("ranked", "decoded"):
        assert torch.equal(found[name], expected[name])
    for name in ("loss", "total", "logs", "scores", "shares", "transitions", "first", "last"):
        a, b = found[name].detach().double(), expected[name].detach()
        assert torch.equal(a.isfinite(), b.isfinite())
        distance = (a - b)[b.isfinite()].abs()
        steps = 200 if name == "transitions" else 1  # what is summed up over all rows
        assert float(distance.max()) <= TOLERANCE[dtype] * size * steps**0.5


def test_a_path_through_places_far_below_the_best():
    """What is e^-150 of the best at one step is the only way on at the next: lost in single precision as a number."""
    legal = torch.tensor([[True, True, False], [False, True, True], [True, True, True]])
    crf = CRF(3, legal)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.zero_()
    scores = torch.zeros(1, 3, 3)
    scores[0, 0] = torch.tensor([0.0, -150.0, -300.0])
    scores[0, 1] = torch.tensor([0.0, -150.0, 200.0])  # tag 2 comes from tag 1 alone, or from itself
    scores[0, 2] = torch.tensor([-150.0, -200.0, 0.0])
    own, truth = scores.clone().requires_grad_(), scores.double().requires_grad_()
    slow = CRF(3, legal, backend="reference").double()
    slow.load_state_dict(crf.state_dict())
    for field_, x in ((crf, own), (slow, truth)):
        field_.total(x).sum().backward()
    assert float(crf.total(scores).detach()) == pytest.approx(50.0)  # -150 + 200 through tags 1, 2, 2
    torch.testing.assert_close(own.grad.double(), truth.grad)
    for name, p in crf.named_parameters():
        torch.testing.assert_close(p.grad.double(), dict(slow.named_parameters())[name].grad)
    assert crf.decode(scores).tolist() == [[1, 2, 2]]


@pytest.mark.parametrize("K", [5, 79])
def test_bits_do_not_depend_on_the_number_of_threads(K: int):
    crf, _ = twins(K, torch.float32, 1.0)
    torch.manual_seed(1)
    scores, weights, before = torch.randn(11, 20, K), torch.rand(11), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append({name: value.clone() for name, value in everything(crf, scores, weights).items()})
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0][name], other[name]) for other in found[1:] for name in found[0])


def test_gradients_can_be_differentiated():
    crf, truth = twins(4, torch.float64, 1.0)
    scores = torch.randn(11, 20, 4, dtype=torch.float64)
    seconds = []
    for each in (crf, truth):
        own = scores.clone().requires_grad_()
        tags = each.decode(scores, LENGTHS)
        (first,) = torch.autograd.grad(each.loss(own, tags, LENGTHS).sum(), own, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), own)
        seconds.append(second)
    torch.testing.assert_close(*seconds)


def test_only_what_is_asked_for():
    crf, _ = twins(4, torch.float32, 1.0)
    scores = torch.randn(11, 20, 4)
    crf.requires_grad_(False)
    assert not crf.total(scores, LENGTHS).requires_grad
    own = scores.clone().requires_grad_()
    crf.total(own, LENGTHS).sum().backward()
    torch.testing.assert_close(own.grad, crf.marginals(scores, LENGTHS))
    crf.first.requires_grad_(True)
    crf.total(scores, LENGTHS).sum().backward()
    assert crf.first.grad is not None and crf.transitions.grad is None


def test_strides_dtypes_and_numbers_of_answers():
    crf, _ = twins(4, torch.float32, 1.0, forbid=0.0)
    scores, tags = torch.randn(4, 20, 11).transpose(0, 2), torch.randint(4, (20, 11)).t()
    expected = crf.loss(scores.contiguous(), tags.contiguous(), LENGTHS)
    assert torch.equal(crf.loss(scores, tags, LENGTHS), expected)
    assert torch.equal(crf.loss(scores, tags.int(), LENGTHS.tolist()), expected)
    half = scores.bfloat16()
    assert torch.equal(crf.loss(half, tags, LENGTHS), crf.loss(half.float(), tags, LENGTHS))


def test_what_is_not_a_number_shows():
    crf, _ = twins(4, torch.float32, 1.0, forbid=0.0)
    scores, tags = torch.zeros(2, 5, 4), torch.zeros(2, 5, dtype=torch.long)
    scores[1, 2, 3] = math.nan
    loss = crf.loss(scores.requires_grad_(), tags)
    loss.sum().backward()
    assert loss.isnan().tolist() == [False, True] and crf.transitions.grad.isnan().any()
    assert scores.grad[0].isfinite().all() and scores.grad[1].isnan().any()


def test_without_a_compiler_the_loop_runs_and_says_so(monkeypatch: pytest.MonkeyPatch):
    crf, _ = twins(3, torch.float32, 1.0)
    scores = torch.randn(2, 4, 3)
    expected = crf.total(scores)
    monkeypatch.setattr(compiled, "chain_library", lambda dtype: BuildError("no C++ compiler was found"))
    with pytest.raises(BuildError, match="no C\\+\\+ compiler"):
        crf.total(scores)
    crf.backend = "auto"
    with recording() as said:
        torch.testing.assert_close(crf.total(scores), expected)
    assert said == ["the CRF runs on the reference backend, a Python loop over time: no C++ compiler was found"]


def test_what_is_not_compiled():
    crf, _ = twins(3, torch.float32, 1.0)
    with pytest.raises(Unsupported, match=r"torch\.bfloat16 is not compiled for chains"):
        crf.bfloat16().total(torch.randn(2, 4, 3))
