"""What a user can do wrong with the applications on text: one plain line, code 2, no traceback, nothing half written.

What can be answered sensibly is, and what was made of it is said.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import flags_of
from tests.cli.test_bad_input import assert_plain_error, leftovers

LANGUAGE, CLASSES, TAGS = TASKS = "language-model", "text-classifier", "sequence-tagger"
ENDING = {LANGUAGE: ".txt", CLASSES: ".csv", TAGS: ".conll"}

TEXT = "the old man sold the letter on monday .\n" * 30
REVIEWS = "text,label\n" + "a good thing,good\na bad thing,bad\n" * 15
TAGGED = "Paris\tB-PLACE\nis\tO\nred\tO\n\nAnna\tB-PERSON\nsings\tO\n\n" * 10
GOOD = {LANGUAGE: TEXT, CLASSES: REVIEWS, TAGS: TAGGED}
VECTORS = "good 1 2 3\nbad 1 2 4\nParis 1 1 1\nthe 2 2 2\n"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def write(folder: Path, name: str, content: str | bytes) -> str:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


# name -> (what stands in place of the good text, what the message must say)
CONTENT = {
    "empty": ("", r"no text"),
    "blank": ("\n  \n\n", r"white space only"),
    "UTF-16": (TEXT.encode("utf-16"), r"UTF-16"),
    "a picture": (PNG, r"binary"),
    "zeros": (bytes(500), r"binary"),
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("case", [*CONTENT, "latin-1", "missing", "a folder", "no name"])
def test_fit_refuses_a_file(gatework, tmp_path: Path, task: str, case: str):
    name = f"data{ENDING[task]}"
    if case in CONTENT:
        content, pattern = CONTENT[case]
        write(tmp_path, name, content)
    elif case == "latin-1":
        lines = GOOD[task].count("\n") + 1
        write(tmp_path, name, GOOD[task].encode() + "café,good\tO\n".encode("latin-1"))
        pattern = rf"not UTF-8: line {lines} holds the byte 0xe9"
    elif case == "missing":
        pattern = r"there is no file data"
    else:
        name = "" if case == "no name" else "folder"
        (tmp_path / "folder").mkdir()
        pattern = r"DATA is empty" if case == "no name" else r"folder"
    before = leftovers(tmp_path)
    assert_plain_error(gatework("fit", task, name, *flags_of(task)), pattern)
    assert leftovers(tmp_path) == before


# name -> (task, text of the data, words after `gatework fit TASK data`, what the message must say)
FIT = {
    "one class": (CLASSES, REVIEWS.replace("good\n", "bad\n"), [], r"one class only, 'bad'"),
    "header only": (CLASSES, "text,label\n", [], r"no rows"),
    "no labels": (CLASSES, "text\nhello\nbye\n", [], r"column of labels"),
    "label column": (CLASSES, REVIEWS, ["--label-column", "lable"], r"lable.*Did you mean 'label'"),
    "text column": (CLASSES, REVIEWS, ["--text-column", "txt"], r"txt.*Did you mean 'text'"),
    "one column for both": (CLASSES, REVIEWS, ["--text-column", "label", "--label-column", "label"], r"two columns"),
    "empty texts": (CLASSES, REVIEWS + ",good\n  ,bad\n", [], r"2 texts of 32 are empty: .*line 32, .*line 33"),
    "a label is missing": (CLASSES, REVIEWS + "hello,\n", [], r"no label in line 32"),
    "a comma too many": (CLASSES, REVIEWS + "hello, you,good\n", [], r"table: Expected 2 fields in line 32, saw 3"),
    "a quote is open": (CLASSES, REVIEWS + '"hello,good\n', [], r"not a regular table"),
    "classes that lack one": (CLASSES, REVIEWS, ["--classes", "good,fine"], r"'bad' is none of .*mend the label"),
    "ranks without order": (CLASSES, REVIEWS, ["--kind", "ordinal"], r"classes=bad,good"),
    "a vocabulary of one word": (CLASSES, "text,label\n" + "a,good\na,bad\n" * 20, [], r"one distinct word, 'a'"),
    "a vocabulary of one character": (LANGUAGE, "a" * 5000, [], r"one distinct character, 'a'"),
    "one word again and again": (LANGUAGE, "a a a a\n" * 100, ["--tokens", "word"], r"one distinct word, 'a'"),
    "one token": (TAGS, "a\tX\na\tY\n\n" * 20, [], r"one distinct word, 'a'"),
    "one tag": (TAGS, "a\tO\nb\tO\n\n" * 20, [], r"every token has the tag 'O'"),
    "no tags": (TAGS, "Paris\nis\n\n" * 20, [], r"one column.*tag"),
    "a line without its tag": (TAGS, TAGGED + "lonely\nis\tO\n", [], r"line 71 of .* has 1 field"),
    "illegal BIO": (TAGS, "Rome\tO\nis\tI-PLACE\n\n" + TAGGED, [], r"line 1, token 2.*'I-PLACE' after 'O'.*repair"),
    "another scheme": (TAGS, TAGGED, ["--scheme", "BILOU"], r"rules of BILOU"),
    "no such tag column": (TAGS, TAGGED, ["--tag-column", "7"], r"tag_column=7"),
    "tokens as tags": (TAGS, TAGGED, ["--tag-column", "1"], r"tokens and as tags.*two columns"),
    "another network": (LANGUAGE, TEXT, ["--cell", "lstn"], r"lstn.*lstm"),
    "a size below zero": (LANGUAGE, TEXT, ["--hidden-size", "-3"], r"^error: --hidden-size is '-3'.*1 to 8192"),
    "a huge size": (TAGS, TAGGED, ["--hidden-size", "1e30"], r"--hidden-size is '1e30'"),
    "all held out": (CLASSES, REVIEWS, ["--holdout", "100"], r"--holdout is '100'.*0 to 50"),
    "an idle setting": (TAGS, TAGGED, ["--heads", "2"], r"heads is 2, .*set attention_over"),
    "a near flag": (
        TAGS,
        TAGGED,
        ["--tag-colum", "2"],
        r"^error: no setting is called --tag-colum. Did you mean --tag-column",
    ),
    "another task's flag": (LANGUAGE, TEXT, ["--label-column", "x"], r"called --label-column"),
    "no such run": (CLASSES, REVIEWS, ["--pretrained", "nowhere"], r"nowhere does not exist"),
    "no such text": (CLASSES, REVIEWS, ["--pretrain", "nowhere.txt"], r"no file nowhere\.txt"),
    "no such transformer": (TAGS, TAGGED, ["--transformer", "nowhere"], r"'nowhere' is no folder.*Nothing is downl"),
    "runs in a file": (LANGUAGE, TEXT, ["--runs", "data.txt"], r"data\.txt could not be written"),
    "no settings file": (TAGS, TAGGED, ["--config", "nowhere.yaml"], r"nowhere\.yaml"),
}


@pytest.mark.parametrize("case", FIT)
def test_fit_refuses(gatework, tmp_path: Path, case: str):
    task, content, words, pattern = FIT[case]
    name = write(tmp_path, f"data{ENDING[task]}", content)
    before = leftovers(tmp_path)
    assert_plain_error(gatework("fit", task, name, *flags_of(task)[4:], *words), pattern)
    assert leftovers(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "content", "pattern"),
    [
        ("data.csv", "tokens,tags\nthe red car,O O\n", r"line 2 has 3 tokens but 2 tags"),
        ("data.jsonl", json.dumps({"tokens": ["a", "b"], "tags": ["O"]}), r"line 1 has 2 tokens but 1 tag,"),
    ],
)
def test_tags_of_unequal_length_are_refused(gatework, tmp_path: Path, name: str, content: str, pattern: str):
    write(tmp_path, name, content)
    assert_plain_error(gatework("fit", TAGS, name), pattern)
    assert leftovers(tmp_path) == {name}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("vectors", "pattern"),
    [
        (VECTORS, r"vectors of 3 numbers.*embedding has size \d+.*set the embedding size to 3"),
        (VECTORS.replace("3\n", "\n"), r"line \d of|vectors of 2 numbers"),
        ("", r"empty"),
        (None, r"no file vectors\.txt"),
        (".", r"folder"),
    ],
)
def test_fit_refuses_vectors(gatework, tmp_path: Path, task: str, vectors: str | None, pattern: str):
    data = write(tmp_path, f"data{ENDING[task]}", GOOD[task])
    if vectors not in (None, "."):
        write(tmp_path, "vectors.txt", vectors)
    before = leftovers(tmp_path)
    given = "." if vectors == "." else "vectors.txt"
    assert_plain_error(gatework("fit", task, data, "--vectors", given, *flags_of(task)), pattern)
    assert leftovers(tmp_path) == before, "a fit that never began leaves no run behind"


@pytest.mark.parametrize(
    ("task", "validation", "pattern"),
    [
        (CLASSES, "text,label\na thing,fine\n", r"validation\.csv line 2: the label 'fine' is none of"),
        (CLASSES, "review,label\na thing,good\n", r"validation\.csv has no such column.*'review'"),
        (TAGS, "Paris\tNNP\nis\tVBZ\n", r"'NNP' in validation\.conll line 1 is not one of BIO"),
        (LANGUAGE, "", r"no text"),
    ],
)
def test_fit_refuses_other_validation_data(gatework, tmp_path: Path, task: str, validation: str, pattern: str):
    data = write(tmp_path, f"data{ENDING[task]}", GOOD[task])
    other = write(tmp_path, f"validation{ENDING[task]}", validation)
    assert_plain_error(gatework("fit", task, data, "--validation", other, *flags_of(task)), pattern)
    assert leftovers(tmp_path) == {data, other}


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("case", [*CONTENT, "missing", "no name"])
def test_fitted_runs_refuse_a_file(gatework, fitted, tmp_path: Path, verb: str, task: str, case: str):
    name, pattern = f"data{ENDING[task]}", r"there is no file data"
    if case == "no name":
        name, pattern = "", r"DATA is empty"
    elif case in CONTENT:
        content, pattern = CONTENT[case]
        write(tmp_path, name, content)
    assert_plain_error(gatework(verb, fitted(task).run, name), pattern)


# name -> (words after `gatework`, the task whose run stands for RUN, text of data.*, what the message must say)
RUNS = {
    "unknown label": (
        ["evaluate"],
        CLASSES,
        "text,label\nlovely,fine\n",
        r"line 2: the label 'fine' is none of .*mend",
    ),
    "no label": (["evaluate"], CLASSES, "text\nlovely\nbad\n", r"label_column='label'.*no such column.*'text'"),
    "another text column": (["predict"], CLASSES, "review,id\nlovely,1\n", r"text_column='text'.*'review', 'id'.*rena"),
    "an empty text": (["predict"], CLASSES, "text,id\nlovely,1\n,2\n", r"1 text of 2 is empty: .*line 3"),
    "highlights": (["predict", "--highlights", "nowhere/x.html"], CLASSES, REVIEWS, r"nowhere is not there"),
    "illegal BIO": (["evaluate"], TAGS, "Rome\tO\nis\tI-PLACE\n", r"line 1, token 2"),
    "untagged": (["evaluate"], TAGS, "Rome\nis\n", r"one column.*tag"),
    "other tags": (["evaluate"], TAGS, "Rome\tNNP\n", r"'NNP'.*not one of BIO"),
    "nbest 0": (["predict", "--nbest", "0"], TAGS, TAGGED, r"nbest is 0; expected .* 1 to 100"),
    "nbest too many": (["predict", "--nbest", "101"], TAGS, TAGGED, r"nbest is 101"),
    "nbest text": (["predict", "--nbest", "many"], TAGS, TAGGED, r"--nbest.*many"),
    "a far flag": (["predict", "--horizon", "3"], TAGS, TAGGED, r"does not know '--horizon'"),
    "a near flag": (["predict", "--nbst", "3"], TAGS, TAGGED, r"Did you mean --nbest"),
    "dynamic": (["evaluate", "--dynamic", "-1"], LANGUAGE, TEXT, r"dynamic is -1"),
    "dynamic nan": (["evaluate", "--dynamic", "nan"], LANGUAGE, TEXT, r"dynamic is nan"),
    "pull": (["evaluate", "--dynamic", "0.001", "--pull", "2"], LANGUAGE, TEXT, r"pull is 2"),
    "idle pull": (["evaluate", "--pull", "0.1"], LANGUAGE, TEXT, r"pull is 0.1, .*set dynamic"),
    "idle weight": (["evaluate", "--cache-weight", "0.2"], LANGUAGE, TEXT, r"cache_weight is 0.2, .*set cache"),
    "cache": (["evaluate", "--cache", "-3"], LANGUAGE, TEXT, r"cache is -3"),
    "cache weight": (["evaluate", "--cache", "9", "--cache-weight", "2"], LANGUAGE, TEXT, r"cache_weight is 2"),
}


@pytest.mark.parametrize("case", RUNS)
def test_fitted_runs_refuse(gatework, fitted, tmp_path: Path, case: str):
    (verb, *words), task, content, pattern = RUNS[case]
    data = write(tmp_path, f"data{ENDING[task]}", content)
    assert_plain_error(gatework(verb, fitted(task).run, data, *words), pattern)
    assert leftovers(tmp_path) == {data}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("output", "pattern"),
    [("nowhere/out.csv", r"nowhere"), ("out.docx", r"docx.*csv"), ("folder.csv", r"folder of this name is in the way")],
)
def test_predict_refuses_an_output_before_it_begins(
    gatework, fitted, tmp_path: Path, task: str, output: str, pattern: str
):
    (tmp_path / "folder.csv").mkdir()
    assert_plain_error(gatework("predict", fitted(task).run, "no-data-yet", "-o", output), pattern)
    assert leftovers(tmp_path) == set()


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (["--temperature=-1"], r"temperature is -1.*0 to 1000; 0 takes the most probable"),
        (["--temperature", "nan"], r"temperature is nan"),
        (["--temperature", "warm"], r"--temperature.*warm"),
        (["--temprature", "1"], r"Did you mean --temperature"),
        (["--top-k", "-1"], r"top_k is -1"),
        (["--top-p", "0"], r"top_p is 0.*above 0 to 1"),
        (["--min-p", "2"], r"min_p is 2"),
        (["--typical", "0"], r"typical is 0"),
        (["--repetition-penalty", "0"], r"repetition_penalty is 0"),
        (["--no-repeat", "-1"], r"no_repeat is -1"),
        (["--beams", "-1"], r"beams is -1"),
        (["--beams", "1000000"], r"beams is 1000000"),
        (["--beams", "2", "--samples", "3"], r"more beams"),
        (["--beams", "2", "--top-k", "3"], r"top_k is 3, .*leave beams out"),
        (["--length-power", "2"], r"length_power is 2.*set beams"),
        (["--samples", "0"], r"samples is 0"),
        (["--limit", "0"], r"limit is 0"),
        (["--seed", "-1"], r"seed is -1"),
        (["--stop", ""], r"stop is"),
        (["--prompt"], r"--prompt"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_generate_refuses(gatework, fitted, words: list[str], pattern: str):
    result = gatework("generate", fitted(LANGUAGE).run, *words)
    assert_plain_error(result, pattern)
    assert result.out == ""


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        ([""], r"text is ''"),
        (["好的"], r"2 of 2 tokens.*another language or script"),
        (["nowhere.txt"], r"no file nowhere\.txt"),
        (["hello", "-o", "nowhere/page.html"], r"nowhere is not there"),
        (["hello", "-o", "page.docx"], r"docx"),
    ],
)
def test_score_refuses(gatework, fitted, tmp_path: Path, words: list[str], pattern: str):
    assert_plain_error(gatework("score", fitted(LANGUAGE).run, *words), pattern)
    assert leftovers(tmp_path) == set()


@pytest.mark.parametrize("task", [CLASSES, TAGS])
@pytest.mark.parametrize("words", [["generate"], ["score", "hello"]], ids=["generate", "score"])
def test_only_language_models_write_and_score(gatework, fitted, words: list[str], task: str):
    verb, *text = words
    assert_plain_error(gatework(verb, fitted(task).run, *text), rf"run of {task}.*expected a language-model")


@pytest.mark.parametrize("words", [["predict", "x"], ["evaluate", "x"], ["generate"], ["score", "x"], ["show"]])
def test_a_file_is_no_run(gatework, tmp_path: Path, words: list[str]):
    verb, *more = words
    assert_plain_error(gatework(verb, write(tmp_path, "a.csv", REVIEWS), *more), r"a\.csv is not a run folder")


@pytest.mark.parametrize("task", TASKS)
def test_a_script_never_seen_is_said(gatework, fitted, tmp_path: Path, task: str):
    text = "好的東西 и мир\n" * 5
    name = write(
        tmp_path, f"data{ENDING[task] if task == CLASSES else '.txt'}", ("text\n" if task == CLASSES else "") + text
    )
    result = gatework("predict", fitted(task).run, name)
    assert result.code == 0
    said = {LANGUAGE: "not in the vocabulary", CLASSES: "without a single known word", TAGS: "did not have"}
    assert said[task] in result.err


def test_nine_tokens_in_ten_of_another_script_are_not_scored(gatework, fitted, tmp_path: Path):
    name = write(tmp_path, "data.txt", "好的東西" * 20)
    assert_plain_error(gatework("evaluate", fitted(LANGUAGE).run, name), r"not in the model's vocabulary.*script")


@pytest.mark.parametrize(
    ("words", "begins"),
    [(["--prompt", ""], ""), (["--prompt", "好的"], "好的"), (["--prompt", "the old " * 500], "the old the old")],
    ids=["empty", "another script", "long"],
)
def test_any_prompt_is_gone_on_with(gatework, fitted, words: list[str], begins: str):
    result = gatework("generate", fitted(LANGUAGE).run, *words, "--limit", "5")
    assert result.code == 0
    assert result.out.startswith(begins)
    assert len(result.out) > len(words[1]) + 1
    assert ("never saw: '好', '的'" in result.err) == (begins == "好的")


def test_a_temperature_of_0_is_the_most_probable_text(gatework, fitted):
    words = ["generate", fitted(LANGUAGE).run, "--limit", "20", "--temperature", "0"]
    assert gatework(*words, "--seed", "1").out == gatework(*words, "--seed", "2").out


@pytest.mark.parametrize("task", [CLASSES, TAGS])
def test_a_line_of_ten_million_characters(gatework, fitted, tmp_path: Path, task: str):
    line = "x" * 10_000_000
    content = f"text\n{line}\n" if task == CLASSES else f"Paris\n{line}\n"
    result = gatework("predict", fitted(task).run, write(tmp_path, f"data{ENDING[task]}", content), "-o", "out.jsonl")
    assert result.code == 0, result.err[:300]
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == (1 if task == CLASSES else 2)


@pytest.mark.parametrize("task", TASKS)
def test_help_names_the_applications_own_options(gatework, fitted, task: str):
    known = {
        LANGUAGE: ("--dynamic", "evaluate"),
        CLASSES: ("--highlights FILE", "predict"),
        TAGS: ("--nbest", "predict"),
    }
    flag, verb = known[task]
    out = gatework(verb, fitted(task).run, "--help").out
    assert flag in out
    card = gatework("show", fitted(task).run).out
    assert "orecast" not in card
    assert ("gatework generate" in card) == (task == LANGUAGE)
    assert "--vectors PATH" in gatework("fit", task, "--help").out
