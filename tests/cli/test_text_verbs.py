"""`generate` and `score` as typed into a shell."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from gatework import load
from gatework.data.text import synthetic_corpus
from gatework.say import quiet
from gatework.tasks.language_model import LanguageModel


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    settings = {"tokens": "word", "hidden_size": 8, "embedding_size": 8, "num_layers": 1, "max_epochs": 1}
    with quiet():
        model = LanguageModel(**settings, runs=str(folder)).fit([synthetic_corpus(0, 60)])
    return model.run_.path


def test_generate_prints_the_prompt_and_what_stream_gives(gatework, run):
    result = gatework("generate", run, "--prompt", "the baker", "--limit", "9", "--temperature", "0.5", "--seed", "2")
    text = "".join(load(run).stream("the baker", limit=9, temperature=0.5, seed=2))
    assert result.code == 0
    assert result.out == f"the baker{text}\n"


def test_generate_without_a_prompt_and_with_stops(gatework, run):
    free = load(run).generate("", limit=12)
    result = gatework("generate", run, "--limit", "12", "--stop", "zzz", "--stop", free[5:9])
    assert result.out == f"{free[: free.index(free[5:9])]}\n"


@pytest.mark.parametrize("flags", [{"samples": 2}, {"beams": 3}])
def test_generate_what_is_not_streamed(gatework, run, flags):
    words = [part for name, value in flags.items() for part in (f"--{name}", value)]
    result = gatework("generate", run, "--prompt", "the", "--limit", "6", *words)
    texts = load(run).generate("the", limit=6, **flags)
    texts = [texts] if isinstance(texts, str) else texts
    assert result.out == "".join(f"the{text}\n\n" for text in texts)


def test_generate_help_lists_how_tokens_are_drawn(gatework, run):
    out = gatework("generate", run, "--help").out
    for flag in ("--prompt", "--temperature", "--top-k", "--top-p", "--min-p", "--typical", "--no-repeat", "--seed"):
        assert flag in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--temperature", "-1"], "temperature is -1.0; expected a number"),
        (["--temprature", "1"], "Did you mean --temperature?"),
        (["--limit", "0"], "limit is 0"),
    ],
)
def test_generate_out_of_range(gatework, run, words, said):
    result = gatework("generate", run, *words)
    assert result.code != 0
    assert said in result.err
    assert "Traceback" not in result.err


def test_score_prints_a_table(gatework, run):
    result = gatework("score", run, "the baker sold a chair .")
    lines = result.out.splitlines()
    assert lines[0] == "token,bits,rank,unknown"
    assert len(lines) == 7
    assert "6 tokens, 24 characters" in result.err


def test_score_writes_a_page_or_a_table_of_a_file(gatework, run, tmp_path):
    Path("text.txt").write_text("the baker <sold> a\nchair .\n")
    assert gatework("score", run, "text.txt", "-o", "page.html").code == 0
    page = Path("page.html").read_text()
    assert "&lt;sold&gt;" in page and "<sold>" not in page
    assert gatework("score", run, "text.txt", "-o", "table.csv").code == 0
    table = pd.read_csv("table.csv", keep_default_na=False)
    assert "".join(table["token"]) == "the baker <sold> a\nchair .\n"


@pytest.mark.parametrize(("words", "said"), [([""], "1 character or more"), (["a", "-o", "a.xyz"], "ending")])
def test_score_what_it_cannot(gatework, run, words, said):
    result = gatework("score", run, *words)
    assert result.code != 0
    assert said in result.err


@pytest.mark.parametrize("verb", ["generate", "score"])
def test_runs_of_other_applications_are_refused(gatework, fitted, verb):
    result = gatework(verb, fitted("forecaster").run, *(["text"] if verb == "score" else []))
    assert result.code != 0
    assert "expected a language-model" in result.err


@pytest.mark.parametrize("task", ["language-model", "text-classifier", "sequence-tagger"])
@pytest.mark.parametrize("words", [[], ["--validation", "nowhere.txt"]], ids=["", "validation"])
def test_the_settings_of_a_run_can_be_given_again(gatework, fitted, task, words):
    result = gatework("fit", task, "nowhere.txt", *words, "--config", fitted(task).run / "config.yaml")
    assert "there is no file nowhere.txt" in result.err, "nothing that the run decided is refused"
