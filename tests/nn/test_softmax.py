"""The fused loss against torch's, its gradients, shared weights, clusters of rare words, and bad input."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatework.compiler.build import compiler
from gatework.errors import InputError
from gatework.nn import softmax
from gatework.nn.softmax import Softmax

N, D, V = 11, 16, 23


@pytest.fixture(params=[1 << 22, 4 * V, 1], ids=["one part", "parts of four rows", "row by row"])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many scores are held at a time."""
    monkeypatch.setattr(softmax, "_CHUNK", request.param)


@pytest.fixture(params=["kernel", "torch"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What computes it: the kernel, or PyTorch where there is none."""
    if request.param == "torch":
        monkeypatch.setattr(softmax, "fits", lambda *_: False)
    elif compiler() is None:
        pytest.skip("needs a C++ compiler")


def layer(dtype: torch.dtype = torch.double, **options) -> Softmax:
    torch.manual_seed(0)
    made = Softmax(D, V, **options).to(dtype)
    if not options.get("adaptive"):
        nn.init.normal_(made.bias)
    return made


def rows(dtype: torch.dtype = torch.double) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(N, D, dtype=dtype, requires_grad=True), torch.randint(0, V, (N,))


@pytest.mark.usefixtures("path", "parts", "poisoned_empty")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.double, 1e-12), (torch.float, 1e-5)])
def test_loss_and_gradients_are_those_of_cross_entropy(dtype: torch.dtype, tolerance: float) -> None:
    made, (h, targets) = layer(dtype), rows(dtype)
    inputs = [h, made.weight, made.bias]
    loss = made.loss(h, targets)
    truth = F.cross_entropy(F.linear(h, made.weight, made.bias), targets)
    assert loss.item() == pytest.approx(truth.item(), rel=tolerance)
    found, expected = torch.autograd.grad(3 * loss, inputs), torch.autograd.grad(3 * truth, inputs)
    for a, b in zip(found, expected, strict=True):
        assert (a - b).norm() <= tolerance * b.norm()


@pytest.mark.usefixtures("path", "parts")
def test_gradcheck() -> None:
    made, (h, targets) = layer(), rows()
    inputs = h, made.weight, made.bias
    assert torch.autograd.gradcheck(lambda *given: softmax._MeanCrossEntropy.apply(*given, targets), inputs)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(("N", "D", "V"), [(1, 1, 1), (3, 5, 1), (37, 200, 1003), (600, 17, 33), (7, 65, 129)])
def test_odd_sizes_in_one_thread_and_two(N: int, D: int, V: int) -> None:
    torch.manual_seed(N)
    made, h, targets = Softmax(D, V), torch.randn(N, D, requires_grad=True), torch.randint(0, V, (N,))
    inputs, before = [h, made.weight, made.bias], torch.get_num_threads()
    truth = F.cross_entropy(F.linear(h, made.weight, made.bias), targets)
    expected = torch.autograd.grad(truth, inputs)
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found = torch.autograd.grad(made.loss(h, targets), inputs)
            for a, b in zip(found, expected, strict=True):
                assert (a - b).norm() <= 1e-5 * b.norm().clamp_min(1e-6)
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_shows(bad: float) -> None:
    made, (h, targets) = layer(), rows()
    with torch.no_grad():
        h[3, 2] = bad
    assert not made.loss(h, targets).isfinite()
    costs = made.scores(h, targets)
    assert not costs[3].isfinite()
    assert costs[[0, 1, 2, 4]].isfinite().all()


def test_under_autocast_it_stays_in_full_precision() -> None:
    made, (h, targets) = layer(torch.float), rows(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        loss = made.loss(h, targets)
    loss.backward()
    assert loss.dtype == made.weight.grad.dtype == torch.float
    torch.testing.assert_close(loss, F.cross_entropy(F.linear(h.float(), made.weight, made.bias), targets))


@pytest.mark.usefixtures("path")
def test_only_what_learns_gets_a_gradient() -> None:
    made, (h, targets) = layer(), rows()
    made.weight.requires_grad_(False)
    made.loss(h.detach(), targets).backward()
    assert made.weight.grad is None
    expected = torch.autograd.grad(F.cross_entropy(F.linear(h, made.weight, made.bias), targets), made.bias)[0]
    torch.testing.assert_close(made.bias.grad, expected)
    made.requires_grad_(False)
    assert not made.loss(h.detach(), targets).requires_grad


def test_a_second_backward_gives_the_same() -> None:
    made, (h, targets) = layer(), rows()
    loss = made.loss(h, targets)
    first = torch.autograd.grad(loss, h, retain_graph=True)[0].clone()
    torch.testing.assert_close(torch.autograd.grad(loss, h)[0], first)


@pytest.mark.usefixtures("path", "parts")
@pytest.mark.parametrize("adaptive", [None, (5, 12)])
def test_scores_and_log_probabilities_are_one_distribution(adaptive: tuple[int, ...] | None) -> None:
    made, (h, targets) = layer(adaptive=adaptive), rows()
    log_p = made.log_probabilities(h)
    torch.testing.assert_close(log_p.exp().sum(-1), torch.ones(N, dtype=torch.double))
    costs = made.scores(h, targets)
    torch.testing.assert_close(costs, -log_p.gather(1, targets[:, None])[:, 0].detach())
    assert not costs.requires_grad
    torch.testing.assert_close(costs.mean(), made.loss(h, targets).detach())
    assert made.scores(h[:0], targets[:0]).shape == (0,)


@pytest.mark.parametrize("adaptive", [None, (5,)])
def test_any_leading_shape_and_a_row_alone(adaptive: tuple[int, ...] | None) -> None:
    made, (h, targets) = layer(adaptive=adaptive), rows()
    h, targets = h[:10], targets[:10]
    many = h.view(2, 5, D), targets.view(2, 5)
    torch.testing.assert_close(made.loss(*many), made.loss(h, targets))
    assert made.log_probabilities(many[0]).shape == (2, 5, V)
    assert made.scores(*many).shape == (2, 5)
    torch.testing.assert_close(made.scores(*many)[1, 2], made.scores(h[7], targets[7]))
    torch.testing.assert_close(made.log_probabilities(many[0])[1, 2], made.log_probabilities(h[7]))


@pytest.mark.usefixtures("path")
def test_extreme_scores_stay_finite() -> None:
    made, (h, targets) = layer(torch.float), rows(torch.float)
    loss = made.loss(1e4 * h, targets)
    (gradient,) = torch.autograd.grad(loss, h)
    assert loss.isfinite()
    assert gradient.isfinite().all()
    assert loss > 1000


def test_a_shared_weight_learns_from_both_sides() -> None:
    table = nn.Embedding(V, D, dtype=torch.double)
    made, (_, targets) = Softmax(D, V, weight=table.weight).double(), rows()
    assert made.weight is table.weight
    made.loss(table(targets.roll(1)), targets).backward()
    found, table.weight.grad = table.weight.grad, None
    F.cross_entropy(F.linear(table(targets.roll(1)), table.weight, made.bias), targets).backward()
    torch.testing.assert_close(found, table.weight.grad)


def test_clusters_have_fewer_parameters_and_learn() -> None:
    made = layer(torch.float, adaptive=(3,))
    assert sum(p.numel() for p in made.parameters()) < V * D
    h, targets = rows(torch.float)
    optimiser = torch.optim.Adam(made.parameters(), 0.05)
    before = made.loss(h, targets).item()
    for _ in range(20):
        optimiser.zero_grad()
        made.loss(h.detach(), targets).backward()
        optimiser.step()
    assert made.loss(h, targets) < before / 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width is 0"),
        ({"tokens": 2.0}, "tokens is 2.0"),
        ({"weight": nn.Parameter(torch.zeros(V, 8))}, r"weight has shape \(23, 8\); expected \[23, 16\]"),
        ({"adaptive": (12, 5)}, r"adaptive is \(12, 5\)"),
        ({"adaptive": (V,)}, r"expected rising whole numbers in 1\.\.22"),
        ({"adaptive": (0, 5)}, r"adaptive is \(0, 5\)"),
        ({"adaptive": (2, 4, 6)}, "width of at least 64"),
        ({"adaptive": (5,), "weight": nn.Parameter(torch.zeros(V, D))}, "cannot share a weight"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Softmax(**{"width": D, "tokens": V} | arguments)


@pytest.mark.parametrize("adaptive", [None, (5,)])
def test_bad_rows(adaptive: tuple[int, ...] | None) -> None:
    made, (h, targets) = layer(adaptive=adaptive), rows()
    with pytest.raises(InputError, match=r"h has shape \(11, 15\); expected \[..., 16\]"):
        made.loss(h[:, 1:], targets)
    with pytest.raises(InputError, match=r"targets have shape \(10,\)"):
        made.loss(h, targets[1:])
    with pytest.raises(InputError, match=r"targets run from 0 to 23; expected numbers in 0\.\.22"):
        made.loss(h[:2], torch.tensor([0, V]))
    with pytest.raises(InputError, match="targets run from -1"):
        made.scores(h[:1], torch.tensor([-1]))
    with pytest.raises(InputError, match=r"torch\.int32"):
        made.loss(h, targets.int())
    with pytest.raises(InputError, match="loss of no words"):
        made.loss(h[:0], targets[:0])
    with pytest.raises(InputError, match=r"expected \[..., 16\]"):
        made.log_probabilities(h[:, 1:])
