"""The order in which examples and chunks come, and going on in the middle of it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gatework.data.text import Buckets, Streams
from gatework.errors import ArtefactError, InputError


def taken(sampler, count):
    """The first batches, over as many epochs as that takes."""
    found = []
    while True:
        for numbers in sampler:
            found.append(numbers.tolist())
            if len(found) == count:
                return found


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_example_comes_once_among_its_like(shuffle):
    lengths = torch.randint(1, 200, (1003,), generator=torch.Generator().manual_seed(0))
    buckets = Buckets(lengths, 16, seed=3, shuffle=shuffle)
    batches = list(buckets)
    assert len(batches) == len(buckets) == 63
    assert sorted(torch.cat(batches).tolist()) == list(range(1003))
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    assert padded < 1.1 * int(lengths.sum())
    again = torch.cat(list(buckets))
    assert torch.equal(again, torch.cat(batches)) == (not shuffle)


def test_some_examples_only():
    buckets = Buckets(torch.arange(10), 4, examples=torch.tensor([7, 2, 9]))
    assert sorted(torch.cat(list(buckets)).tolist()) == [2, 7, 9]
    with pytest.raises(ValueError, match="no example"):
        Buckets(torch.arange(3), 4, examples=torch.tensor([], dtype=torch.long))


@given(st.integers(1, 30), st.booleans())
@settings(max_examples=20)
def test_both_go_on_where_they_were(before, kind):
    def make():
        if kind:
            return Buckets(torch.arange(50) % 7, 4, seed=1)
        return Streams(torch.arange(200), 2, 8, seed=1, shuffle_lengths=True)

    whole = taken(make(), 40)
    first = make()
    steps = 0
    while steps < before:
        for _ in first:
            steps += 1
            if steps == before:
                break
    second = make()
    second.load_state_dict(first.state_dict())
    assert taken(second, 40 - before) == whole[before:]


def test_a_foreign_place_is_refused():
    with pytest.raises(ArtefactError, match="not a position among 3 batches"):
        Buckets(torch.arange(10), 4).load_state_dict({"epoch": 0, "position": 4})


@given(st.integers(2, 400), st.integers(1, 9), st.integers(1, 40), st.booleans())
@settings(max_examples=100)
def test_streams_read_every_token_in_order(tokens, parts, length, shuffle):
    text = torch.arange(tokens, dtype=torch.int32)
    streams = Streams(text, parts, length, shuffle_lengths=shuffle)
    for _ in range(2):
        numbers = list(streams)
        assert len(numbers) == len(streams)
        assert [streams.first(n) for n in numbers] == [i == 0 for i in range(len(numbers))]
        chunks = [streams.chunk(n) for n in numbers]
        x, y = torch.cat([x for x, _ in chunks], 1), torch.cat([y for _, y in chunks], 1)
        assert torch.equal(y, x + 1)
        assert torch.equal(x.reshape(-1), torch.arange(x.numel()))
        assert x.numel() > tokens - 1 - streams.batch_size
        assert all(x.shape[1] > 0 for x, _ in chunks)


def test_lengths_of_chunks_differ_between_epochs():
    streams = Streams(torch.arange(10_000), 4, 70, shuffle_lengths=True)
    lengths = [[streams.chunk(n)[0].shape[1] for n in streams] for _ in range(2)]
    assert lengths[0] != lengths[1]
    assert sum(lengths[0]) == sum(lengths[1]) == 2499
    assert 50 < sorted(lengths[0])[len(lengths[0]) // 2] < 90


def test_too_short_a_text():
    with pytest.raises(InputError, match=r"the text has 1 tokens\. Expected 2 or more"):
        Streams(torch.tensor([3]), 4, 8)
