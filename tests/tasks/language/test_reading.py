"""Streams read in one state, side by side and one by one: the same surprisal."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from gatework.nn import Backbone
from gatework.tasks.language import reading
from gatework.tasks.language.reading import (
    Reader,
    averaged,
    mean_surprisal,
    surprisal_of_each,
    surprisals,
    surprisals_and_ranks,
)
from tests.tasks.language.small_net import V, ids, small_net


def whole(net, stream: torch.Tensor) -> torch.Tensor:
    """[R - 1, V] log-probabilities by the plainest way: all at once."""
    with torch.no_grad():
        return net.head.log_probabilities(net(stream[:-1].unsqueeze(0))[0][0])


@pytest.mark.parametrize("options", [{}, {"attention_over": 1, "heads": 2, "attention_window": 5}])
def test_chunks_make_one_stream(monkeypatch, options: dict):
    monkeypatch.setattr(reading, "CHUNK", 7)
    net, stream = small_net(**options), ids(40)
    expected = -whole(net, stream).gather(1, stream[1:, None]).squeeze(1)
    assert_close(surprisals(net, stream), expected, atol=1e-5, rtol=1e-5)


def test_ranks_and_averages_of_networks(monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 7)
    nets, stream = [small_net(0), small_net(1)], ids(40)
    scores = torch.stack([whole(net, stream).exp() for net in nets]).mean(0).log()
    own = scores.gather(1, stream[1:, None])
    nats, ranks = surprisals_and_ranks(nets, stream)
    assert_close(nats, -own.squeeze(1), atol=1e-5, rtol=1e-5)
    order = scores.argsort(1, descending=True)
    assert torch.equal(ranks - 1, (order == stream[1:, None]).int().argmax(1))
    assert_close(averaged([whole(net, stream) for net in nets]), scores)


def test_many_streams_one_by_one(monkeypatch):
    monkeypatch.setattr(reading, "_AT_ONCE", 30)
    nets, streams = [small_net(0), small_net(1)], [ids(size, size) for size in (3, 30, 2, 9, 17, 9, 25)]
    together = surprisal_of_each(nets, streams)
    alone = [surprisal_of_each(nets, [stream])[0] for stream in streams]
    expected = [float(surprisals_and_ranks(nets, stream)[0].sum()) for stream in streams]
    assert together == pytest.approx(alone, rel=1e-5)
    assert together == pytest.approx(expected, rel=1e-5)


def test_the_validation_is_nearly_that_of_one_state(monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 30)
    net, stream = small_net(), ids(32 * 300 + 257)
    assert mean_surprisal(net, stream) == pytest.approx(float(surprisals(net, stream)[256:].mean()), rel=1e-5)
    assert mean_surprisal(net, stream[:100]) == pytest.approx(float(surprisals(net, stream[:100]).mean()))


@pytest.mark.parametrize("options", [{}, {"cell": "gru"}, {"attention_over": 1, "heads": 2, "attention_window": 4}])
def test_steps_go_on_where_the_prompts_end(options: dict):
    nets = [small_net(0, **options), small_net(1, **options)]
    prompts, further = [ids(5, 1).tolist(), ids(2, 2).tolist(), ids(9, 3).tolist()], ids(12, 4).view(3, 4)
    reader = Reader(nets)
    with torch.no_grad():
        scores, state = reader.start(prompts)
        for step in range(4):
            for row, prompt in enumerate(prompts):
                read = torch.tensor([*prompt, *further[row, :step].tolist(), 3])
                expected = averaged([whole(net, read)[-1] for net in nets])
                assert_close(scores[row], expected, atol=1e-5, rtol=1e-5)
            scores, state = reader.step(further[:, step], state)
        chosen, _ = reader.step(torch.tensor([4, 4]), reader.select(state, torch.tensor([2, 0])))
        every, _ = reader.step(torch.tensor([4, 4, 4]), state)
    assert_close(chosen, every[[2, 0]], atol=1e-5, rtol=1e-5)
    assert chosen.shape == (2, V)


def test_the_state_of_a_step_has_always_the_same_size():
    reader = Reader([small_net(attention_over=1, heads=2, attention_window=4)])

    def size(state) -> int:
        return state.numel() if isinstance(state, torch.Tensor) else sum(map(size, state))

    with torch.no_grad():
        _, state = reader.start([[3, 4, 5, 6, 7, 8]])
        sizes = set()
        for _ in range(20):
            _, state = reader.step(torch.tensor([3]), state)
            sizes.add(size(state))
    assert len(sizes) == 1


def test_steps_do_not_go_through_the_modules(monkeypatch):
    reader = Reader([small_net()])
    scores, state = reader.start([[3, 4], [5]])
    monkeypatch.setattr(Backbone, "forward", None)
    for _ in range(3):
        scores, state = reader.step(scores.argmax(1), state)
    assert scores.shape == (2, V)
