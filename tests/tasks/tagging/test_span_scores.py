"""Entity scores: seqeval's numbers on random tags, legal and not, in every scheme; small cases by hand."""

from __future__ import annotations

import random
import warnings

import pytest

from gatework.data.text.schemes import spans
from gatework.tasks.tagging.span_scores import Quality, SpanScores

seqeval = pytest.importorskip("seqeval.metrics.sequence_labeling", reason="needs seqeval")
PREFIXES = {"BIO": "BI", "BIOES": "BIES", "BILOU": "BILU"}
AS_BIOES = str.maketrans("LU", "ES")


def random_tags(scheme: str, draw: random.Random, types: int = 3) -> list[list[str]]:
    """Any tags in any order: most sentences are not legal."""
    names = ["O", *(f"{p}-{t}" for p in PREFIXES[scheme] for t in ("PER", "LOC", "date-time")[:types])]
    return [[draw.choice(names) for _ in range(draw.randint(1, 12))] for _ in range(40)]


def scores(truth: list[list[str]], found: list[list[str]], scheme: str) -> SpanScores:
    return SpanScores.of([spans(tags, scheme) for tags in truth], [spans(tags, scheme) for tags in found])


def as_bioes(tags: list[list[str]]) -> list[list[str]]:
    """What seqeval's default mode can read: it has no L and U."""
    return [[tag[0].translate(AS_BIOES) + tag[1:] for tag in sentence] for sentence in tags]


@pytest.mark.parametrize("scheme", PREFIXES)
@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
def test_averages_are_those_of_seqeval(scheme: str, average: str):
    draw = random.Random(average + scheme)
    for _ in range(5):
        truth = random_tags(scheme, draw)
        found = [[tag if draw.random() < 0.7 else "O" for tag in sentence] for sentence in truth]
        mine = scores(truth, found, scheme)
        got = (mine.micro.precision, mine.micro.recall, mine.micro.f1)
        got = got if average == "micro" else getattr(mine, average)()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of types without an entity
            expected = seqeval.precision_recall_fscore_support(as_bioes(truth), as_bioes(found), average=average)[:3]
        assert got == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("scheme", PREFIXES)
def test_each_type_is_that_of_seqeval(scheme: str):
    draw = random.Random(scheme)
    truth, found = random_tags(scheme, draw), random_tags(scheme, draw)
    found = [(b + a)[: len(a)] for a, b in zip(truth, found, strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = seqeval.precision_recall_fscore_support(as_bioes(truth), as_bioes(found), average=None)
    mine = scores(truth, found, scheme).types.values()
    assert [q.precision for q in mine] == pytest.approx(expected[0])
    assert [q.recall for q in mine] == pytest.approx(expected[1])
    assert [q.f1 for q in mine] == pytest.approx(expected[2])
    assert [q.true for q in mine] == list(expected[3])


def test_type_and_both_ends_must_agree():
    truth = [[(0, 2, "PER"), (3, 4, "LOC")], [(1, 2, "LOC")]]
    found = [[(0, 2, "PER"), (3, 5, "LOC")], [(1, 2, "PER")]]
    mine = SpanScores.of(truth, found)
    assert mine.types == {"LOC": Quality(0, 1, 2), "PER": Quality(1, 2, 1)}
    assert mine.micro == Quality(1, 3, 3) and mine.micro.f1 == pytest.approx(1 / 3)
    assert mine.macro() == (0.25, 0.5, pytest.approx(1 / 3))


def test_nothing_to_find_is_zero():
    empty = SpanScores.of([[], []], [[], []])
    assert empty.types == {} and empty.micro.f1 == 0.0 and empty.macro() == (0.0, 0.0, 0.0)
    assert Quality(0, 0, 5).precision == 0.0 and Quality(0, 5, 0).recall == 0.0


def test_sentences_must_be_as_many():
    with pytest.raises(ValueError):
        SpanScores.of([[]], [[], []])
