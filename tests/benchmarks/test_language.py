"""The texts of the benchmark in their usual splits, and the check that comes before its times."""

from pathlib import Path

import language
import language_speed
import pytest
import torch


def test_texts_are_cut_as_usual(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "DATA", data_folder)
    penn = language.penn()
    words = [len(text.replace("\n", " <eos> ").split()) for text in (penn.train, penn.validation, penn.test)]
    assert words == [929_589, 73_760, 82_430]
    plays = language.shakespeare()
    assert len(plays.train) + len(plays.test) == 1_115_394
    assert plays.test == plays.validation
    novel = language.war_and_peace()
    assert len(novel.train) + len(novel.validation) + len(novel.test) == 3_208_237
    assert abs(len(novel.validation) - len(novel.test)) <= 1


def test_both_models_of_the_speed_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_speed, "WORDS", 50)
    monkeypatch.setattr(language_speed, "WIDTH", 16)
    monkeypatch.setattr(language_speed, "LENGTH", 5)
    problem, ids = language_speed._problem()
    plain = language_speed.PlainModel(50)
    plain.take(problem.net)
    language_speed._check_equal(problem, plain)
    with torch.no_grad():
        plain.decoder.bias[7] += 0.1
    with pytest.raises(SystemExit, match="differ"):
        language_speed._check_equal(problem, plain)
    next(language_speed._ours(problem))
    next(language_speed._theirs(plain, ids))
