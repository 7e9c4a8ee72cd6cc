"""Dynamic evaluation and the neural cache, against plain loops; the network handed in stays as it is."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch.testing import assert_close

from gatework.errors import InputError
from gatework.tasks.language import dynamic, reading
from gatework.tasks.language.dynamic import Adaptation, Cache
from gatework.tasks.language.reading import surprisals
from tests.tasks.language.small_net import ids, small_net


def test_without_either_it_is_the_plain_evaluation():
    net = small_net()
    assert_close(Adaptation().surprisals(net, ids(50)), surprisals(net, ids(50)))


def test_updates_follow_their_equation(monkeypatch):
    monkeypatch.setattr(dynamic, "_SEGMENT", 10)
    net, stream, rate, pull = small_net(num_layers=1), ids(31), 0.01, 0.2
    found = Adaptation(dynamic=rate, pull=pull).surprisals(net, stream)

    own, state, expected = copy.deepcopy(net), None, []
    start = [w.detach().clone() for w in own.parameters()]
    squares = [torch.zeros_like(w) for w in start]
    for number, first in enumerate(range(0, 30, 10)):
        y, state = own(stream[None, first : first + 10], state)
        nats = -own.head.log_probabilities(y[0]).gather(1, stream[first + 1 : first + 11, None]).squeeze(1)
        expected.append(nats.detach())
        state = [tuple(part.detach() for part in layer) for layer in state]
        gradients = torch.autograd.grad(nats.mean(), list(own.parameters()))
        for square, g in zip(squares, gradients, strict=True):
            square += g**2
        size = [(square / (number + 1)).sqrt() for square in squares]
        mean = torch.cat([part.flatten() for part in size]).mean()
        with torch.no_grad():
            for w, s, g, part in zip(own.parameters(), start, gradients, size, strict=True):
                w += (pull * part / mean).clamp(max=1) * (s - w) - rate * g / (part + 1e-5)
    assert_close(found, torch.cat(expected), atol=1e-4, rtol=1e-4)


def test_a_stream_that_repeats_itself_is_learned():
    net, stream = small_net(), ids(7).repeat(60)
    plain = surprisals(net, stream)[200:].mean()
    assert Adaptation(dynamic=0.01).surprisals(net, stream)[200:].mean() < 0.5 * plain
    assert Adaptation(cache=100, cache_weight=0.5, cache_sharpness=5).surprisals(net, stream)[200:].mean() < 0.7 * plain


def test_the_network_stays_as_it_is():
    net = small_net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    Adaptation(dynamic=0.05, pull=0.1, cache=20).surprisals(net, ids(100))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize("window", [1, 4, 100])
def test_the_cache_by_its_definition(monkeypatch, window: int):
    monkeypatch.setattr(reading, "CHUNK", 6)
    net, stream, weight, sharpness = small_net(), ids(30), 0.3, 0.7
    found = Adaptation(cache=window, cache_weight=weight, cache_sharpness=sharpness).surprisals(net, stream)
    with torch.no_grad():
        states = net(stream[None, :-1])[0][0]
    plain = surprisals(net, stream)
    for t in range(29):
        near = range(max(t - window, 0), t)
        weights = [math.exp(sharpness * float(states[t] @ states[i])) for i in near]
        hit = sum(w for w, i in zip(weights, near, strict=True) if stream[i + 1] == stream[t + 1])
        p = math.exp(-float(plain[t]))
        expected = (1 - weight) * p + weight * hit / sum(weights) if weights else p
        assert float(found[t]) == pytest.approx(-math.log(expected), rel=1e-4)


def test_the_cache_remembers_no_more_than_its_window():
    cache = Cache(5, 0.1, 0.3)
    for _ in range(4):
        cache.mixed(torch.randn(9, 8), torch.randint(0, 5, (9,)), torch.rand(9))
    assert cache._states is not None and len(cache._states) == 5


@pytest.mark.parametrize(
    "settings", [{"dynamic": -1}, {"pull": 2}, {"cache": -5}, {"cache_weight": 1.5}, {"cache_sharpness": "x"}]
)
def test_out_of_range(settings: dict):
    with pytest.raises(InputError, match=f"{next(iter(settings))} is .*expected a number"):
        Adaptation(**settings)
