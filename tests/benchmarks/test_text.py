"""The corpora of the benchmark in their official splits, and the check that comes before its times."""

from pathlib import Path

import corpora
import crf_speed
import pytest
import text


@pytest.fixture(autouse=True)
def _data(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora, "DATA", data_folder)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("sst2", (6920, 872, 1821)),
        ("trec", (5452, None, 500)),
        ("ewt", (12_544, 2001, 2077)),
        ("ncbi", (5424, 923, 940)),
        ("snips-slots", (13_084, 700, 700)),
        ("snips-intent", (13_084, 700, 700)),
    ],
)
def test_corpora_are_split_as_usual(name: str, sizes: tuple[int | None, ...]) -> None:
    parts = text.PROTOCOLS[name].parts()
    assert tuple(None if part is None else len(part) for part in (parts.train, parts.validation, parts.test)) == sizes


def test_a_tag_stands_at_each_word() -> None:
    for parts, words, tag in ((corpora.ewt(), 204_577, "PROPN"), (corpora.ncbi(), 135_701, "B-Disease")):
        assert sum(len(tokens) for tokens, _ in parts.train) == words
        assert all(len(tokens) == len(tags) for tokens, tags in parts.train)
        assert any(tag in tags for _, tags in parts.train)


def test_both_taggers_of_the_speed_compute_the_same() -> None:
    parts = corpora.ncbi()
    few = corpora.Parts(parts.train[:200], parts.validation[:20], None)
    problem, lengths = crf_speed._problem(few)
    loop = crf_speed.LoopTagger(problem.net)
    batches = crf_speed._batches(problem, lengths, 8)
    assert len(batches) == crf_speed.BATCHES
    crf_speed._check_equal(problem, loop, batches)
    for step in (crf_speed._training(loop, loop.loss), loop.tags):
        step(batches[0])
    loop.loop.transitions.data.zero_()  # nothing is forbidden any more
    with pytest.raises(SystemExit, match="differ"):
        crf_speed._check_equal(problem, loop, batches)
