"""Answers against the enumeration of every sequence of tags: the best ones, tags' and entities' probabilities."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from gatework.data.text.schemes import legal, spans
from gatework.tasks.tagging.decoding import best_tags, sequences
from gatework.tasks.tagging.lexicon import Lexicon, respelt
from gatework.tasks.tagging.most_frequent import MostFrequent
from gatework.tasks.tagging.network import TaggerNet, tagger_loss
from gatework.tasks.text.inputs import Inputs
from gatework.tasks.text.network import TwoWayNetwork, backbone

WORDS = [["a", "b", "c", "d"], ["d"], [], ["b", "b"]]
NAMES = {
    "BIO": ("B-X", "B-Y", "I-X", "O"),
    "BIOES": ("B-X", "E-X", "I-X", "O", "S-X", "S-Y"),
    "plain": ("DET", "NOUN", "VERB"),
}
SETTINGS = TwoWayNetwork(hidden_size=4, embedding_size=5)


def made(given: str, inside: str, structured: bool = True, members: int = 1) -> tuple[list[TaggerNet], Lexicon]:
    """Untrained networks with scores large enough to differ."""
    lexicon = Lexicon(Inputs.learn(WORDS, SETTINGS), NAMES[inside], given, inside, MostFrequent({}, "O"))
    nets = []
    for seed in range(members):
        torch.manual_seed(seed)
        net = TaggerNet(backbone(SETTINGS, *lexicon.inputs.sizes()), lexicon, structured).eval()
        with torch.no_grad():
            net.scores.weight.mul_(8)
            if structured:
                for parameter in net.crf.parameters():
                    parameter.normal_()
        nets.append(net)
    return nets, lexicon


@torch.no_grad()
def enumerated(nets: list[TaggerNet], lexicon: Lexicon, number: int) -> dict[tuple[str, ...], float]:
    """{tags as the data spell them: probability} of every legal sequence; of several networks the geometric mean."""
    words, names = WORDS[number], lexicon.tags
    batch = lexicon.inputs.encode([words]).batch(torch.tensor([0]))
    scores = torch.stack([net(batch)[0] for net in nets]).mean(0).tolist()
    fields = [[getattr(net.crf, name) for net in nets] for name in ("first", "transitions", "last")]
    first, moves, last = (torch.stack(field).mean(0).tolist() for field in fields)
    follows, starts, ends = (table.tolist() for table in legal(names, lexicon.inside))
    logs: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(len(names)), repeat=len(words)):
        steps = list(itertools.pairwise(path))
        if starts[path[0]] and ends[path[-1]] and all(follows[a][b] for a, b in steps):
            own = sum(scores[t][tag] for t, tag in enumerate(path))
            logs[path] = first[path[0]] + own + sum(moves[a][b] for a, b in steps) + last[path[-1]]
    weights = torch.tensor(list(logs.values()), dtype=torch.double).softmax(0).tolist()
    return {
        tuple(respelt([names[tag] for tag in path], lexicon.inside, lexicon.given)): weight
        for path, weight in zip(logs, weights, strict=True)
    }


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("structured", [True, False])
@pytest.mark.parametrize(
    ("given", "inside"), [("BIO", "BIO"), ("BIO", "BIOES"), ("BIOES", "BIOES"), ("plain", "plain")]
)
def test_every_answer_is_that_of_the_enumeration(given: str, inside: str, structured: bool, members: int):
    nets, lexicon = made(given, inside, structured, members)
    encoded = lexicon.inputs.encode(WORDS)
    best, found = best_tags(nets, lexicon, encoded), sequences(nets, lexicon, encoded, count=3)
    assert best[2] == [] and found[2] == []
    for number, words in enumerate(WORDS):
        if words:
            every = enumerated(nets, lexicon, number)
            ranked = sorted(every.items(), key=lambda pair: -pair[1])[:3]
            assert best[number] == list(ranked[0][0])
            assert [tuple(way.tags) for way in found[number]] == [tags for tags, _ in ranked]
            assert [way.probability for way in found[number]] == pytest.approx([p for _, p in ranked], rel=1e-4)
            for way in found[number]:
                for place, tag in enumerate(way.tags):
                    share = sum(p for tags, p in every.items() if tags[place] == tag)
                    assert way.confidence[place] == pytest.approx(share, rel=1e-4)
                expected = [
                    (*entity, sum(p for tags, p in every.items() if entity in spans(tags, given)))
                    for entity in spans(way.tags, given)
                ]
                assert [entity[:3] for entity in way.entities] == [entity[:3] for entity in expected]
                assert [e[3] for e in way.entities] == pytest.approx([e[3] for e in expected], rel=1e-4)


def test_a_sentence_alone_is_tagged_as_among_others():
    nets, lexicon = made("BIO", "BIOES")
    together = sequences(nets, lexicon, lexicon.inputs.encode(WORDS), 2)
    for number, words in enumerate(WORDS):
        (alone,) = sequences(nets, lexicon, lexicon.inputs.encode([words]), 2)
        assert [way.tags for way in alone] == [way.tags for way in together[number]]
        for one, other in zip(alone, together[number], strict=True):
            assert one.confidence == pytest.approx(other.confidence, rel=1e-5)


def test_a_long_sequence_has_an_answer_however_improbable_it_is():
    nets, lexicon = made("plain", "plain")
    ((way,),) = sequences(nets, lexicon, lexicon.inputs.encode([["a", "b"] * 2000]))
    assert len(way.tags) == len(way.confidence) == 4000 and 0 <= way.probability < 1e-100


def test_a_tag_of_iob1_is_as_probable_as_its_entity():
    nets, lexicon = made("IOB1", "BIOES")
    found = sequences(nets, lexicon, lexicon.inputs.encode([["d"]]), count=3)[0]
    every = enumerated(nets, made("BIO", "BIOES")[1], 1)  # {("O",): ..., ("B-X",): ..., ("B-Y",): ...}
    assert {way.tags[0]: pytest.approx(way.confidence[0]) for way in found} == {
        tag.replace("B", "I"): share for (tag,), share in every.items()
    }


def test_a_short_sentence_has_fewer_ways():
    nets, lexicon = made("plain", "plain")
    assert [len(ways) for ways in sequences(nets, lexicon, lexicon.inputs.encode(WORDS), 50)] == [50, 3, 0, 9]


def test_loss_is_minus_the_mean_log_probability_of_a_word():
    nets, lexicon = made("BIO", "BIOES")
    tags = [["B-X", "I-X", "O", "B-Y"], ["O"], [], ["B-X", "I-X"]]
    rows = torch.tensor([0, 1, 3])
    batch = {**lexicon.inputs.encode(WORDS).batch(rows), "tags": lexicon.numbers(tags).batch(rows)[0]}
    logs = [math.log(enumerated(nets, lexicon, number)[tuple(tags[number])]) for number in rows.tolist()]
    assert tagger_loss(nets[0], batch).item() == pytest.approx(-sum(logs) / 7, rel=1e-4)


def test_without_a_crf_each_word_counts_by_itself_and_padding_not_at_all():
    (net,), lexicon = made("plain", "plain", structured=False)
    tags = [["DET", "NOUN", "VERB", "DET"], ["NOUN"], [], ["VERB", "VERB"]]
    rows = torch.tensor([0, 1])
    batch = {**lexicon.inputs.encode(WORDS).batch(rows), "tags": lexicon.numbers(tags).batch(rows)[0]}
    logs = net(batch).log_softmax(-1)
    expected = -(sum(logs[0, t, lexicon.tags.index(tag)] for t, tag in enumerate(tags[0])) + logs[1, 0, 1]) / 5
    assert tagger_loss(net, batch).item() == pytest.approx(expected.item(), rel=1e-5)
    assert not any(parameter.requires_grad for parameter in net.crf.parameters())


def test_rare_words_are_read_as_unknown_ones_in_training_only():
    (net,), lexicon = made("plain", "plain")
    rare = torch.zeros(len(lexicon.inputs.words), dtype=torch.bool)
    rare[lexicon.inputs.words.encode_tokens(["c"])] = True
    own = TaggerNet(net.backbone, lexicon, True, unknown=1.0, rare=rare)
    own.load_state_dict(net.state_dict())
    batch = lexicon.inputs.encode([["a", "c"], ["a", "never"]]).batch(torch.arange(2))
    read = own.train()(batch)
    torch.testing.assert_close(read[0], read[1])
    assert not torch.allclose(own.eval()(batch)[0], own(batch)[1])
