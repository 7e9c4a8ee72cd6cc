"""Features of spelling: against a convolution, without padding, each distinct word once."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from gatework.errors import InputError
from gatework.nn import CharacterFeatures, CharacterOptions, Spelling, characters

C, E, F = 20, 6, 9


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def words(lengths: list[int], L: int) -> torch.Tensor:
    rows = torch.randint(1, C, (len(lengths), L))
    return rows.masked_fill(torch.arange(L) >= torch.tensor(lengths).unsqueeze(1), 0)


def convolved(net: CharacterFeatures, word: torch.Tensor) -> torch.Tensor:
    """Features of one word [n] without padding, by a convolution over it."""
    x = functional.embedding(word, functional.pad(net.vectors, (0, 0, 1, 0))).T  # [E, n]
    found = []
    for width, weight, bias in zip(net.options.widths, net.weights, net.biases, strict=True):
        kernel = weight.view(F, width, E).transpose(1, 2)
        found.append(functional.conv1d(x.unsqueeze(0), kernel, bias, padding=width - 1)[0].amax(1))
    return torch.cat(found).relu()


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("widths", [(3,), (1,), (2, 5)], ids=str)
def test_values_and_gradients_are_those_of_a_convolution(widths: tuple[int, ...]):
    net, lengths = CharacterFeatures(CharacterOptions(C, E, F, widths)), [4, 1, 7, 2]
    rows = words(lengths, 7)
    for bias in net.biases:
        torch.nn.init.normal_(bias)
    found = net(rows.view(2, 2, 7)).view(4, -1)
    expected = torch.stack([convolved(net, row[:n]) for row, n in zip(rows, lengths, strict=True)])
    torch.testing.assert_close(found, expected)
    up = torch.randn_like(found)
    ours = torch.autograd.grad((found * up).sum(), list(net.parameters()))
    theirs = torch.autograd.grad((expected * up).sum(), list(net.parameters()))
    torch.testing.assert_close(ours, theirs)


def test_padding_after_a_word_changes_nothing():
    net, rows = CharacterFeatures(CharacterOptions(C, E, F)), words([3, 5], 5).view(1, 2, 5)
    torch.testing.assert_close(net(rows), net(functional.pad(rows, (0, 8))), rtol=0, atol=0)


@pytest.mark.parametrize("L", [0, 3])
@pytest.mark.parametrize("widths", [(1,), (3,)], ids=str)
def test_words_without_characters_have_zeros(widths: tuple[int, ...], L: int):
    net = CharacterFeatures(CharacterOptions(C, E, F, widths))
    assert net(torch.zeros(2, 3, L, dtype=torch.long)).abs().sum() == 0


def test_spelling_holds_each_distinct_word_once():
    distinct = words([2, 4, 3], 4)
    spelling = Spelling.of(distinct[torch.tensor([[0, 1, 0], [2, 2, 1]])])
    assert len(spelling.words) == 3
    assert spelling.places[0, 0] == spelling.places[0, 2]
    assert torch.equal(spelling.words[spelling.places], distinct[torch.tensor([[0, 1, 0], [2, 2, 1]])])


def test_words_whose_numbers_meet_are_kept_apart(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(characters, "_FACTOR", 0)  # then only the last character counts
    rows = words([4, 4, 4, 4], 4)
    rows[:, -1] = 7
    spelling = Spelling.of(rows.view(2, 2, 4))
    assert torch.equal(spelling.words[spelling.places], rows.view(2, 2, 4))


def test_spelling_and_tensor_give_the_same():
    net, rows = CharacterFeatures(CharacterOptions(C, E, F)), words([2, 4, 3, 2], 4).view(2, 2, 4)
    torch.testing.assert_close(net(rows), net(Spelling(rows.view(4, 4), torch.arange(4).view(2, 2))), rtol=0, atol=0)


@pytest.mark.parametrize(
    "options",
    [
        {"characters": 0},
        {"characters": 5, "filters": 0},
        {"characters": 5, "widths": ()},
        {"characters": 5, "widths": (0,)},
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(options: dict):
    with pytest.raises(InputError, match=r"expected (a )?whole numbers? >= 1"):
        CharacterOptions(**options)


def test_another_shape_is_refused():
    with pytest.raises(InputError, match=r"expected \[B, T, L\]"):
        CharacterFeatures(CharacterOptions(C))(torch.ones(2, 3, dtype=torch.long))
