"""Language models over the features of a transformer: one that reads forward is used, one that looks ahead refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatework import load
from gatework.data.text import synthetic_corpus
from gatework.errors import InputError
from gatework.say import quiet
from gatework.tasks.language_model import LanguageModel
from tests.tasks.text.test_transformer import bert, gpt

__all__ = ["bert", "gpt"]  # fixtures


def new(folder: Path, transformer: Path) -> LanguageModel:
    settings = {"tokens": "word", "hidden_size": 8, "embedding_size": 8, "num_layers": 1, "max_steps": 2}
    return LanguageModel(**settings, transformer=str(transformer), runs=str(folder))


def test_a_causal_one_is_read_along(tmp_path: Path, gpt: Path):
    with quiet():
        model = new(tmp_path, gpt).fit([synthetic_corpus(0, 40)])
    text = model.generate("the baker", limit=6)
    assert text == "".join(model.stream("the baker", limit=6)) == load(model.run_.path).generate("the baker", limit=6)


def test_one_that_looks_ahead_is_refused(tmp_path: Path, bert: Path):
    with quiet(), pytest.raises(InputError, match=r"reads both ways .* expected one that reads forward only"):
        new(tmp_path, bert).fit([synthetic_corpus(0, 40)])
