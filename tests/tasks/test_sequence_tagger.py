"""The sequence tagger from data to tags: kinds of data, answers, what is saved, what is said, what is refused."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pandas as pd
import polars
import pytest
import torch

from gatework.data.text import Tagged
from gatework.errors import ConfigError, InputError
from gatework.say import recording
from gatework.tasks import load
from gatework.tasks.sequence_tagger import SequenceTagger

FIRST = ("Ada", "Grace", "Florence", "Austin")
LAST = ("Byron", "Hopper", "Gauss")
CITIES = ("Oslo", "Florence", "Austin", "Kyoto")  # two of them are people too
TEXT = "Florence Hopper went to Austin ."


def tagged(count: int = 120, seed: int = 0, scheme: str = "BIO") -> list[tuple[list[str], list[str]]]:
    """Sentences in which the word before tells people from places."""
    draw = random.Random(seed)
    pairs = []
    for _ in range(count):
        name = [draw.choice(FIRST), draw.choice(LAST)][: draw.randint(1, 2)]
        verb, city = draw.choice(("went", "moved", "wrote")), draw.choice(CITIES)
        first = ["B-PER", "I-PER"][: len(name)] if scheme == "BIO" else ["B-PER", "E-PER"] if name[1:] else ["S-PER"]
        place = "B-LOC" if scheme == "BIO" else "S-LOC"
        pairs.append(([*name, verb, "to", city, "."], [*first, "O", "O", place, "O"]))
    return pairs


def write_conll(path: Path, pairs: list[tuple[list[str], list[str]]]) -> Path:
    blocks = ("\n".join(f"{word}\t{tag}" for word, tag in zip(*pair, strict=True)) for pair in pairs)
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return path


def quick(folder: Path, **settings: Any) -> SequenceTagger:
    given = {
        "hidden_size": 16,
        "embedding_size": 12,
        "character_filters": 4,
        "batch_size": 8,
        "max_epochs": 4,
        "seed": 1,
    }
    return SequenceTagger(**{**given, "learning_rate": 0.02, "runs": str(folder), **settings})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SequenceTagger:
    return quick(tmp_path_factory.mktemp("runs")).fit(tagged())


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> SequenceTagger:
    pairs = [(words, ["X" if tag == "O" else "N" for tag in tags]) for words, tags in tagged()]
    return quick(tmp_path_factory.mktemp("runs")).fit(pairs)


def test_context_beats_the_most_frequent_tag(model: SequenceTagger):
    evaluation = model.evaluate(tagged(60, seed=1))
    assert evaluation["F1"] > 0.97 > evaluation.baselines["most frequent tag"]["F1"]
    assert evaluation.skill["F1"] > 0.8
    folder = Path(model.run_.path) / "evaluations"
    assert sorted(path.name for path in max(folder.iterdir()).iterdir()) == [
        "evaluation.json",
        "labels.csv",
        "plots",
        "predictions.csv",
        "worst.csv",
    ]


def test_a_row_for_each_token(model: SequenceTagger):
    answers = model.predict([TEXT.split(), [], ["Oslo"]])
    assert list(answers.columns) == ["sentence", "token", "tag", "confidence"]
    assert answers["sentence"].tolist() == [1] * 6 + [3]
    assert answers["tag"].tolist()[:6] == ["B-PER", "I-PER", "O", "O", "B-LOC", "O"]
    assert answers["confidence"].between(0, 1).all()


def test_a_row_for_each_entity(model: SequenceTagger):
    found = model.predict([TEXT], spans=True)
    assert list(found.columns) == ["sentence", "first", "last", "text", "type", "confidence"]
    assert found[["first", "last", "text", "type"]].to_numpy().tolist() == [
        [1, 2, "Florence Hopper", "PER"],
        [5, 5, "Austin", "LOC"],
    ]
    assert found["confidence"].between(0.5, 1).all()


def test_the_n_best_ways_are_ranked(model: SequenceTagger):
    answers = model.predict([TEXT, "Oslo"], nbest=3)
    assert answers.groupby("sentence")["rank"].unique().map(list).tolist() == [[1, 2, 3]] * 2
    ways = answers.groupby(["sentence", "rank"])["probability"].first()
    assert all(ways[sentence].is_monotonic_decreasing and ways[sentence].sum() <= 1.0001 for sentence in (1, 2))
    assert model.predict([TEXT], spans=True, nbest=2)["rank"].isin((1, 2)).all()


@pytest.mark.parametrize("kind", ["text", "conll", "conll without tags", "jsonl", "csv", "polars", "Tagged"])
def test_same_answers_whatever_the_data_came_in(model: SequenceTagger, kind: str, tmp_path: Path):
    words = TEXT.split()
    expected = model.predict([words, words])
    columns = {"tokens": [TEXT, TEXT]}
    if kind == "text":
        given: Any = tmp_path / "new.txt"
        given.write_text(f"{TEXT}\n{TEXT.replace(' .', '.')}\n", encoding="utf-8")
    elif kind == "conll":
        given = write_conll(tmp_path / "new.conll", [(words, ["O"] * 6)] * 2)
    elif kind == "conll without tags":
        given = tmp_path / "new.conll"
        given.write_text("\n".join([*words, "", *words, ""]), encoding="utf-8")
    elif kind == "jsonl":
        given = tmp_path / "new.jsonl"
        given.write_text("".join(json.dumps({"tokens": words}) + "\n" for _ in range(2)), encoding="utf-8")
    elif kind == "csv":
        given = tmp_path / "new.csv"
        pd.DataFrame(columns).to_csv(given, index=False)
    elif kind == "polars":
        given = polars.DataFrame(columns)
    else:
        given = Tagged([words, words], None, ["1", "2"])
    got = model.predict(given)
    assert isinstance(got, polars.DataFrame) == (kind == "polars")
    got = pd.DataFrame(got.to_dict(as_series=False)) if kind == "polars" else got
    pd.testing.assert_frame_equal(got, expected)


def test_a_sentence_alone_is_tagged_as_among_others(model: SequenceTagger):
    sentences = [words for words, _ in tagged(20, seed=3)]
    together = model.predict(sentences)
    alone = pd.concat([model.predict([words]) for words in sentences], ignore_index=True)
    assert together["tag"].tolist() == alone["tag"].tolist()
    assert together["confidence"].tolist() == pytest.approx(alone["confidence"].tolist(), rel=1e-4)


def test_what_is_saved_is_what_was_trained(model: SequenceTagger):
    again = load(model.run_.path)
    sentences = [words for words, _ in tagged(10, seed=4)]
    pd.testing.assert_frame_equal(again.predict(sentences, spans=True), model.predict(sentences, spans=True))
    assert str(again.evaluate(tagged(10, seed=4))) == str(model.evaluate(tagged(10, seed=4)))


def test_words_and_letters_never_seen_are_tagged_too(model: SequenceTagger):
    answers = model.predict([["Щука", "went", "to", "東京", "🙂", "x" * 300]])
    assert len(answers) == 6 and answers["confidence"].notna().all()


def test_entities_come_back_in_the_scheme_of_the_data(tmp_path: Path):
    made = quick(tmp_path).fit(tagged(scheme="BIOES"))
    assert made.config_.tags.scheme == "BIOES"
    assert made.predict([TEXT])["tag"].tolist() == ["B-PER", "E-PER", "O", "O", "S-LOC", "O"]


@pytest.mark.parametrize(
    "settings", [{"inside": "BIO"}, {"crf": False}, {"mark_size": 0}, {"members": 2, "max_epochs": 2}]
)
def test_every_way_of_learning_finds_the_entities(settings: dict[str, Any], tmp_path: Path):
    made = quick(tmp_path, **settings).fit(tagged())
    assert made.evaluate(tagged(40, seed=1))["F1"] > 0.9
    tags = set(made.predict([words for words, _ in tagged(20, seed=9)])["tag"])
    assert tags <= {"B-PER", "I-PER", "B-LOC", "O"}


def test_plain_tags_are_scored_by_accuracy(plain: SequenceTagger):
    assert next(iter(plain.evaluation_.scores)) == "accuracy" and plain.config_.crf is False
    assert plain.evaluate([(["Zora", "went"], ["N", "X"])])["accuracy on unseen words"] in (0.0, 1.0)
    with pytest.raises(InputError, match="spell no entities"):
        plain.predict([TEXT], spans=True)


def test_letters_of_a_sequence_are_tagged(tmp_path: Path):
    draw = random.Random(0)
    rows = []
    for _ in range(60):
        letters = "".join(draw.choice("ACDE") for _ in range(draw.randint(5, 12)))
        rows.append((letters, "".join("H" if letter in "AC" else "E" for letter in letters)))
    data = pd.DataFrame(rows, columns=["sequence", "structure"])
    with recording() as said:
        made = quick(tmp_path, token_column="sequence", tag_column="structure").fit(data)
    assert any("spelling is not read" in line for line in said)
    assert made.config_.model.character_filters == 0 and made.evaluation_["accuracy"] > 0.95
    again = load(made.run_.path)
    assert "".join(again.predict(pd.DataFrame({"sequence": ["ADCE"]}))["tag"]) == "HEHE"
    assert "".join(again.predict(["ADCE"])["tag"]) == "HEHE"


def test_validation_data_take_the_place_of_the_held_out_part(tmp_path: Path):
    train, held = tagged(40), tagged(20, seed=7)
    held[0][1][0] = "B-ORG"
    held[0][1][1:2] = ["O"] if held[0][1][1:2] == ["I-PER"] else held[0][1][1:2]
    with recording() as said:
        made = quick(tmp_path, max_epochs=1).fit(train, validation=held)
    assert "20 sentences" in made.evaluation_.title
    assert any("ORG" in line and "count as wrong" in line for line in said)
    assert quick(tmp_path, max_epochs=1, holdout=0).fit(train).evaluation_ is None


def test_equal_sentences_are_not_torn_apart():
    from gatework.tasks.tagging.tagged_set import held_out

    pairs = tagged(80) * 2
    kept, out = held_out(Tagged([words for words, _ in pairs], [tags for _, tags in pairs], [""] * 160), 10, 0)
    assert len(kept) + len(out) == 160 and 8 <= len(out) <= 16
    assert not {tuple(pairs[i][0]) for i in kept} & {tuple(pairs[i][0]) for i in out}


def test_vectors_of_a_file_are_started_from(tmp_path: Path):
    from gatework.tasks.tagging.tagged_set import TaggedSet

    path = tmp_path / "vectors.txt"
    path.write_text("went 1 2 3\noslo 4 5 6\n", encoding="utf-8")
    made = quick(tmp_path, vectors=str(path), embedding_size=3)
    made.config_ = made.settings()
    dataset = made.read(tagged(20))
    assert isinstance(dataset, TaggedSet)
    made.config_ = made.decide(dataset)
    made.prepared_ = []
    net = made.problem(dataset, 0, whole=False).net
    ids = made.lexicon_.inputs.words.encode_tokens(["went", "Oslo"])
    assert net.backbone.embedding.weight[ids].tolist() == [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(InputError, match="embedding size to 3"):
        quick(tmp_path, vectors=str(path), embedding_size=4).fit(tagged(20))


def test_a_stopped_fit_goes_on_as_if_it_had_not_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from gatework.tasks import resume
    from gatework.train import fit as loop

    whole = quick(tmp_path, checkpoint_seconds=0).fit(tagged(40))
    write, step = loop.Loop._train_step, iter(range(10_000))

    def stop(self: Any, numbers: Any) -> None:
        if next(step) == 11:
            raise KeyboardInterrupt
        write(self, numbers)

    path = write_conll(tmp_path / "train.conll", tagged(40))
    stopped = quick(tmp_path / "other", checkpoint_seconds=0)
    with monkeypatch.context() as patched:
        patched.setattr(loop.Loop, "_train_step", stop)
        with pytest.raises(KeyboardInterrupt):
            stopped.fit(path)
    again = resume(next((tmp_path / "other").glob("sequence-tagger-*")))
    for name, value in whole.nets_.state_dict().items():
        assert torch.equal(value, again.nets_.state_dict()[name]), name


@pytest.mark.parametrize("kind", ["word", "char"])
def test_language_models_read_the_words_too(kind: str, tmp_path: Path):
    from gatework.tasks.language_model import LanguageModel

    path = tmp_path / "text.txt"
    path.write_text("".join(" ".join(words) + "\n" for words, _ in tagged(60)), encoding="utf-8")
    sizes = {"hidden_size": 8, "embedding_size": 8, "num_layers": 1, "max_epochs": 1, "runs": str(tmp_path)}
    runs = [
        str(LanguageModel(tokens=kind, direction=way, **sizes).fit(path).run_.path) for way in ("forward", "backward")
    ]
    made = quick(tmp_path, pretrained=runs, max_epochs=2).fit(tagged(60))
    readers = made.nets_[0].backbone.features.language.readers
    assert [reader.reverse for reader in readers] == [False, True]
    sentences = [words for words, _ in tagged(6, seed=8)]
    answers = made.predict(sentences)
    pd.testing.assert_frame_equal(load(made.run_.path).predict(sentences), answers)
    alone = pd.concat([made.predict([words]) for words in sentences], ignore_index=True)
    assert alone["confidence"].tolist() == pytest.approx(answers["confidence"].tolist(), rel=1e-4)


def test_a_language_model_is_trained_first(tmp_path: Path):
    made = quick(tmp_path, pretrain="same", pretrain_epochs=1, max_epochs=1).fit(tagged(60))
    rows = [json.loads(line) for line in (Path(made.run_.path) / "metrics.jsonl").read_text().splitlines()]
    assert [row.get("preparation") for row in rows] == ["language model, forward", "language model, backward", None]
    assert made.predict([TEXT]).shape == (6, 4)


@pytest.mark.parametrize("fine_tune", [False, True])
def test_a_transformer_stands_beside_words_marks_and_spelling(fine_tune: bool, tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    folder = tmp_path / "bert"
    folder.mkdir()
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ada", "oslo", "went", "to", "flor", "##ence"]
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    transformers.BertModel(transformers.BertConfig(vocab_size=len(pieces), **sizes)).save_pretrained(folder)
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    made = quick(tmp_path, transformer=str(folder), fine_tune=fine_tune, max_epochs=1).fit(tagged(40))
    answers = made.predict([TEXT.split(), ["Oslo"]])
    pd.testing.assert_frame_equal(load(made.run_.path).predict([TEXT.split(), ["Oslo"]]), answers)
    assert made.predict([["Oslo"]])["confidence"][0] == pytest.approx(answers["confidence"].iloc[-1], rel=1e-4)


def test_a_language_model_sees_what_stands_before_and_behind(tmp_path: Path):
    from gatework.data.text import learn_vocabulary
    from gatework.tasks.text.side_features import Pieces

    pieces = Pieces.of(learn_vocabulary("char", ["ab cd"]), [["ab", "c"], []])
    batch = pieces.batch(torch.tensor([0]))
    assert batch["language_ids"].shape == (1, 7)  # <eos> a b _ c _ <eos>
    assert batch["language_firsts"].tolist() == [[1, 4]] and batch["language_lasts"].tolist() == [[2, 4]]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([(["a", "b"], ["X"])], "2 tokens but 1 tag"),
        ([(["a", "b"], ["O", "O"]), (["c"], ["O"])], "every token has the tag 'O'"),
        ([([], [])], "no sentence with a token"),
        ([], "empty"),
        ([(["a", "b"], ["O", "I-X"]), (["c"], ["B-X"])], "breaks the rules of BIO.*repair=True"),
        ([["a", "b"]], "without tags"),
        ([(["a"], ["X"]), (["a"], ["Y"])], "one distinct word"),
    ],
)
def test_data_that_cannot_be_learned_are_refused(pairs: Any, message: str, tmp_path: Path):
    with pytest.raises(InputError, match=message):
        quick(tmp_path).fit(pairs)
    assert not list(tmp_path.glob("*/model"))


def test_illegal_tags_are_mended_where_asked(tmp_path: Path):
    pairs = [*tagged(30), (["Ada", "left"], ["I-PER", "O"])]
    with recording() as said:
        made = quick(tmp_path, repair=True, max_epochs=1).fit(pairs)
    assert any("repaired" in line for line in said)
    assert made.evaluate([(["Ada", "left"], ["I-PER", "O"])]).scores


def test_empty_sentences_are_left_out_and_this_is_said(tmp_path: Path):
    with recording() as said:
        quick(tmp_path, max_epochs=1).fit([*tagged(30), ([], [])])
    assert any("1 sentence without a token left out" in line for line in said)


def test_nothing_to_score_is_refused(model: SequenceTagger):
    with pytest.raises(InputError, match="no sentence with a token"):
        model.evaluate([([], [])])


def test_unknown_tags_count_as_wrong_and_this_is_said(model: SequenceTagger):
    with recording() as said:
        evaluation = model.evaluate([(TEXT.split(), ["B-ORG", "I-ORG", "O", "O", "B-LOC", "O"])])
    assert evaluation["recall"] <= 0.5
    assert any("2 tokens of kinds" in line and "'ORG'" in line for line in said)


@pytest.mark.parametrize("nbest", [0, -1, 101, 1.5, True, "2"])
def test_ways_out_of_range_are_refused(model: SequenceTagger, nbest: Any):
    with pytest.raises(InputError, match="from 1 to 100"):
        model.predict([TEXT], nbest=nbest)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unknown": 1.5}, "unknown"),
        ({"scheme": "IOE"}, "scheme"),
        ({"holdout": 80}, "holdout"),
        ({"crf": "perhaps"}, "crf"),
        ({"hidden_sice": 3}, "hidden_size"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], message: str, tmp_path: Path):
    with pytest.raises(ConfigError, match=message):
        quick(tmp_path, **settings).fit(tagged(10))


def test_before_the_fit_nothing_can_be_predicted():
    with pytest.raises(InputError, match="not trained yet"):
        SequenceTagger().predict([TEXT])


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from gatework.cli.main import main

    data, runs = write_conll(tmp_path / "train.tsv", tagged(60)), str(tmp_path / "runs")
    flags = ["--hidden-size", "8", "--embedding-size", "8", "--max-epochs", "1", "--runs", runs]
    main(["fit", "sequence-tagger", str(data), *flags])
    run = capsys.readouterr().out.strip()
    main(["evaluate", run, str(data)])
    assert "F1" in capsys.readouterr().out
    new = tmp_path / "new.txt"
    new.write_text(f"{TEXT}\n", encoding="utf-8")
    main(["predict", run, str(new), "--nbest", "2"])
    assert capsys.readouterr().out.splitlines()[0] == "sentence,rank,probability,token,tag,confidence"
    main(["predict", run, str(new), "--spans"])
    assert capsys.readouterr().out.splitlines()[0] == "sentence,first,last,text,type,confidence"
    main(["predict", run, str(new), "-o", str(tmp_path / "out.conll")])
    lines = (tmp_path / "out.conll").read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[0] for line in lines] == TEXT.split() and all(line.count("\t") == 1 for line in lines)
    main(["evaluate", run, str(tmp_path / "out.conll")])  # its own answers are the truth here
    assert re.search(r"sentence accuracy +1 ", capsys.readouterr().out)
