"""The backbone of text networks: padding, pieces, direction of reading, what it is made of, and bad input."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gatework.errors import GateworkError, InputError
from gatework.nn import Backbone, CharacterOptions, detach, select

V, E, H, B, T, L = 40, 12, 16, 4, 9, 5
LENGTHS = torch.tensor([9, 4, 0, 7])
ONE_WAY = {
    "plain": {},
    "stack": {"num_layers": 3, "last_size": E},
    "sizes": {"num_layers": 2, "hidden_size": (8, 20)},
    "gru": {"cell": "gru"},
    "zoneout": {"zoneout": 0.2, "recurrent_dropout": 0.2},
    "drops": {"dropout": 0.3, "word_dropout": 0.1, "input_dropout": 0.2, "output_dropout": 0.2, "weight_drop": 0.3},
    "characters": {"characters": CharacterOptions(30, 6, 7, (2, 3))},
    "under": {"attention_under": 2, "attention_window": 4},
    "over": {"attention_over": 1},
}
BOTH_WAYS = {
    "bidirectional": {"bidirectional": True, "num_layers": 2},
    "attention": {"bidirectional": True, "attention_under": 1, "attention_over": 2},
    "reverse": {"reverse": True},
    "reverse attention": {"reverse": True, "attention_over": 1, "characters": CharacterOptions(30)},
}
EVERY = ONE_WAY | BOTH_WAYS
# Products of fewer rows add up in another order, and self-attention sums over the zero weights of padding too.
CLOSE = {"rtol": 1e-4, "atol": 2e-6}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def network(options: dict) -> Backbone:
    return Backbone(V, E, **{"hidden_size": H, **options}).eval()


def batch(net: Backbone) -> tuple[torch.Tensor, dict]:
    ids = torch.randint(1, V, (B, T))
    if net.characters is None:
        return ids, {}
    letters = torch.randint(1, 30, (B, T, L))
    letters[..., 3:] *= torch.rand(B, T, 1) < 0.5
    return ids, {"characters": letters}


def cut(more: dict, rows: slice, steps: slice) -> dict:
    return {name: value[rows, steps] for name, value in more.items()}


def tensors(state) -> list[torch.Tensor]:
    return [state] if isinstance(state, torch.Tensor) else [tensor for part in state for tensor in tensors(part)]


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("options", EVERY.values(), ids=EVERY.keys())
def test_a_batch_of_one_is_its_row_in_a_batch_of_many(options: dict):
    net = network(options)
    ids, more = batch(net)
    whole, state = net(ids, LENGTHS, **more)
    for row, length in enumerate(LENGTHS.tolist()):
        one = slice(row, row + 1)
        alone, own = net(ids[one, :length], [length], **cut(more, one, slice(length)))
        torch.testing.assert_close(whole[one, :length], alone, **CLOSE)
        assert whole[row, length:].abs().sum() == 0
        if "attention" not in str(options):  # a row of a longer batch carries more places, the first of them unused
            for a, b in zip(tensors(state), tensors(own), strict=True):
                torch.testing.assert_close(a[:, one], b, **CLOSE)


@pytest.mark.parametrize("options", EVERY.values(), ids=EVERY.keys())
def test_what_stands_in_the_padding_changes_nothing(options: dict):
    net = network(options)
    ids, more = batch(net)
    beyond = torch.arange(T) >= LENGTHS.unsqueeze(1)
    first, _ = net(ids, LENGTHS, **more)
    second, _ = net(ids.masked_fill(beyond, 0), LENGTHS, **more)
    torch.testing.assert_close(first, second, rtol=0, atol=0)


@pytest.mark.parametrize("pieces", [[1] * T, [4, 5], [2, 6, 1]], ids=str)
@pytest.mark.parametrize("options", ONE_WAY.values(), ids=ONE_WAY.keys())
def test_pieces_equal_the_whole(options: dict, pieces: list[int]):
    net = network(options)
    ids, more = batch(net)
    whole, _ = net(ids, **more)
    found, state, start = [], None, 0
    for size in pieces:
        steps = slice(start, start + size)
        y, state = net(ids[:, steps], None, state, **cut(more, slice(None), steps))
        found.append(y)
        state, start = detach(state), start + size
    torch.testing.assert_close(torch.cat(found, 1), whole, **CLOSE)


@pytest.mark.parametrize("options", ONE_WAY.values(), ids=ONE_WAY.keys())
def test_rows_of_unequal_length_go_on_where_each_of_them_ended(options: dict):
    net = network(options)
    ids, more = batch(net)
    _, state = net(ids, LENGTHS, **more)
    then = torch.randint(1, V, (B, 2))
    extra = {name: value[:, :2] for name, value in more.items()}
    y, _ = net(then, None, state, **extra)
    for row, length in enumerate(LENGTHS.tolist()):
        joined = torch.cat([ids[row, :length], then[row]]).unsqueeze(0)
        spelt = {name: torch.cat([value[row, :length], value[row, :2]]).unsqueeze(0) for name, value in more.items()}
        alone, _ = net(joined, **spelt)
        torch.testing.assert_close(y[row], alone[0, length:], **CLOSE)


@pytest.mark.parametrize("options", ONE_WAY.values(), ids=ONE_WAY.keys())
def test_nothing_later_is_seen_where_the_network_is_causal(options: dict):
    net = network(options)
    ids, more = batch(net)
    assert net.causal
    first, _ = net(ids, **more)
    ids[:, 5:] = ids[:, 5:] % (V - 1) + 1
    second, _ = net(ids, **more)
    torch.testing.assert_close(first[:, :5], second[:, :5], rtol=0, atol=0)
    assert (first[:, 5:] != second[:, 5:]).any()


def test_networks_that_read_both_ways_say_so():
    assert not network(BOTH_WAYS["bidirectional"]).causal
    assert not network(BOTH_WAYS["attention"]).causal
    assert network(BOTH_WAYS["reverse"]).causal  # in the order of reading


@pytest.mark.parametrize("bidirectional", [False, True])
def test_two_lstm_layers_are_those_of_torch(bidirectional: bool):
    net = network({"num_layers": 2, "bidirectional": bidirectional})
    theirs = nn.LSTM(E, H, 2, batch_first=True, bidirectional=bidirectional)
    for number, layer in enumerate(net.layers):
        names = [name for name in theirs.state_dict() if f"_l{number}" in name]
        layer.load_state_dict({name.replace(f"_l{number}", "_l0"): theirs.state_dict()[name] for name in names})
    ids, lengths = torch.randint(1, V, (B, T)), torch.tensor([9, 4, 1, 7])
    packed = nn.utils.rnn.pack_padded_sequence(net.embedding(ids), lengths, batch_first=True, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    torch.testing.assert_close(net(ids, lengths)[0], expected, **CLOSE)


@pytest.mark.parametrize("lengths", [LENGTHS, None], ids=["ragged", "full"])
def test_reverse_reads_each_row_from_its_end(lengths: torch.Tensor | None):
    forward, backward = network({}), network({"reverse": True})
    backward.load_state_dict(forward.state_dict())
    ids = torch.randint(1, V, (B, T))
    y, state = backward(ids, lengths)
    for row, length in enumerate((LENGTHS if lengths is not None else torch.full((B,), T)).tolist()):
        alone, final = forward(ids[row : row + 1, :length].flip(1))
        torch.testing.assert_close(y[row, :length], alone[0].flip(0), **CLOSE)
        for a, b in zip(tensors(state), tensors(final), strict=True):
            torch.testing.assert_close(a[:, row], b[:, 0], **CLOSE)


def test_select_takes_rows_of_a_state():
    net = network({"attention_under": 1, "num_layers": 2})
    ids, then, rows = torch.randint(1, V, (B, T)), torch.randint(1, V, (3, 1)), torch.tensor([3, 0, 3])
    _, state = net(ids, LENGTHS)
    expected, _ = net(torch.cat([then, then[:1]])[[1, 0, 0, 0]], None, state)
    found, _ = net(then, None, select(state, rows))
    torch.testing.assert_close(found[1], expected[0], **CLOSE)


def test_detach_ends_the_history():
    net = network({"attention_over": 1})
    _, state = net(torch.randint(1, V, (B, T)))
    assert any(tensor.requires_grad for tensor in tensors(state))
    assert not any(tensor.requires_grad for tensor in tensors(detach(state)))


@pytest.mark.parametrize("options", EVERY.values(), ids=EVERY.keys())
def test_groups_hold_every_parameter_once_from_the_bottom(options: dict):
    net = network(options)
    found = [parameter for group in net.groups() for parameter in group.parameters()]
    assert len({id(parameter) for parameter in found}) == len(found) == len(list(net.parameters()))
    assert found[0] is net.embedding.weight


@pytest.mark.parametrize("options", EVERY.values(), ids=EVERY.keys())
def test_every_parameter_learns(options: dict):
    net = network(options).train()
    ids, more = batch(net)
    y, _ = net(ids, LENGTHS, **more)
    assert y.shape == (B, T, net.width)
    y.square().sum().backward()
    still = [name for name, value in net.named_parameters() if value.grad is None or not value.grad.abs().sum()]
    assert still == []


def test_dropouts_act_in_training_only():
    for name in ("dropout", "word_dropout", "input_dropout", "output_dropout", "weight_drop", "zoneout"):
        net = network({"num_layers": 2, name: 0.5})
        ids = torch.randint(1, V, (B, T))
        torch.testing.assert_close(net(ids)[0], net(ids)[0], rtol=0, atol=0)
        net.train()
        assert (net(ids)[0] != net(ids)[0]).any(), name


def test_dropout_between_layers_is_the_same_at_every_step():
    net = network({"num_layers": 2, "dropout": 0.5}).train()
    seen = []
    net.layers[1].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    net(torch.randint(1, V, (B, T)))
    dropped = seen[0] == 0
    assert dropped.any() and torch.equal(dropped, dropped[:, :1].expand_as(dropped))


def test_the_vector_of_padding_stays_zero_where_an_output_layer_shares_the_matrix():
    net = network({"last_size": E}).train()
    head = nn.Linear(E, V, bias=False)
    head.weight = net.embedding.weight
    optimiser = torch.optim.SGD([*net.parameters()], 0.5)
    for _ in range(3):
        y, _ = net(torch.randint(1, V, (B, T)))
        optimiser.zero_grad()
        nn.functional.cross_entropy(head(y).flatten(0, 1), torch.randint(1, V, (B * T,))).backward()
        optimiser.step()
    assert net.embedding(torch.zeros(1, 1, dtype=torch.long)).abs().sum() == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_layers": 0}, "num_layers is 0"),
        ({"num_layers": 2, "hidden_size": (3,)}, "hidden_size has 1 numbers"),
        ({"dropout": 1.0}, "rate is 1.0"),
        ({"word_dropout": -0.1}, "word_dropout is -0.1"),
        ({"attention_over": 1, "heads": 0}, "heads is 0"),
        ({"vectors": torch.zeros(V, E + 1)}, "vectors has shape"),
        ({"cell": "lsmt"}, "lstm"),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict, words: str):
    with pytest.raises(GateworkError, match=words):
        network(options)


def test_calls_that_do_not_fit_are_refused():
    net, spelt = network({}), network({"characters": CharacterOptions(30)})
    ids = torch.ones(2, 3, dtype=torch.long)
    with pytest.raises(InputError, match=r"expected \[B, T\]"):
        net(ids[0])
    with pytest.raises(InputError, match="state has 2 entries; expected 1"):
        net(ids, None, [None, None])
    with pytest.raises(InputError, match="characters is given, but this network was made without"):
        net(ids, characters=torch.ones(2, 3, 4, dtype=torch.long))
    with pytest.raises(InputError, match="characters is None, but this network needs"):
        spelt(ids)
    with pytest.raises(InputError, match=f"numbers from 1 to {V}; expected 0..{V - 1}"):
        net(ids + torch.tensor([0, 0, V - 1]))
    with pytest.raises(InputError, match="expected whole numbers"):
        net(ids.float())
    with pytest.raises(InputError, match="lengths"):
        net(ids, [1, 2, 3])
