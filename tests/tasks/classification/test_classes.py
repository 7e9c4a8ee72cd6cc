"""Classes: their kind and order, labels as numbers, what is held out, and what is refused."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from gatework.data.text import Documents
from gatework.errors import ConfigError, InputError
from gatework.say import recording
from gatework.tasks.classification.classes import Classes
from gatework.tasks.classification.parts import Parts, divide


def labelled(*labels: str | tuple[str, ...], texts: list[str] | None = None) -> Documents:
    rows = [(own,) if isinstance(own, str) else own for own in labels]
    given = texts or [f"text {number}" for number in range(len(rows))]
    return Documents(given, rows, [f"row {number + 1}" for number in range(len(rows))])


@pytest.mark.parametrize(
    ("labels", "kind", "names"),
    [
        (["yes", "no", "yes"], "binary", ("no", "yes")),
        (["10", "9", "2"], "multi-class", ("2", "9", "10")),
        ([("sad", "angry"), ("sad",), ()], "multi-label", ("angry", "sad")),
    ],
)
def test_kind_and_order_are_found(labels: list[str], kind: str, names: tuple[str, ...]):
    with recording() as said:
        classes = Classes.of(labelled(*labels), "auto")
    assert classes.kind == kind and classes.names == names
    assert any(line.startswith(kind) for line in said)
    assert Classes.from_json(classes.to_json()) == classes


def test_whole_numbers_are_ranks_only_when_asked():
    stars = labelled("1", "3", "2", "4")
    with recording() as said:
        assert Classes.of(stars, "auto").kind == "multi-class"
    assert any("set kind ordinal" in line for line in said)
    assert Classes.of(stars, "ordinal").names == ("1", "2", "3", "4")


def test_ranks_with_names_need_their_order():
    grades = labelled("good", "bad", "fair")
    with pytest.raises(ConfigError, match="order of bad, fair, good is not known"):
        Classes.of(grades, "ordinal")
    classes = Classes.of(grades, "ordinal", ("bad", "fair", "good"))
    assert classes.targets(grades).tolist() == [2, 0, 1]


def test_targets_and_back():
    single = labelled("b", "a", "c")
    classes = Classes.of(single, "auto")
    assert classes.targets(single).tolist() == [1, 0, 2]
    assert classes.said(classes.targets(single)) == ["b", "a", "c"]
    several = labelled(("b", "a"), (), ("c",))
    classes = Classes.of(several, "auto", separator="|")
    assert classes.targets(several).tolist() == [[True, True, False], [False] * 3, [False, False, True]]
    assert classes.said(classes.targets(several)) == ["a|b", "", "c"]


def test_weights_make_classes_count_alike():
    single = labelled(*"aaab")
    classes = Classes.of(single, "auto")
    truth = classes.targets(single)
    assert np.bincount(truth) * classes.weights(truth) == pytest.approx([2, 2])
    several = labelled(("a",), ("a", "b"), ("a",), ())
    classes = Classes.of(several, "auto")
    assert classes.weights(classes.targets(several)) == pytest.approx([1 / 3, 3])


@pytest.mark.parametrize(
    ("labels", "kind", "order", "message"),
    [
        (["a", "a"], "auto", (), "every text has the label 'a'; expected two classes or more"),
        (["a", ("a", "b")], "multi-class", (), "some texts have no label or several"),
        (["a", "b", "c"], "binary", (), "there are 3 classes"),
        (["a", "b", "x"], "auto", ("a", "b"), "row 3: the label 'x' is none of the classes a, b"),
    ],
)
def test_labels_that_do_not_fit(labels: list[str], kind: str, order: tuple[str, ...], message: str):
    with pytest.raises((InputError, ConfigError), match=message):
        Classes.of(labelled(*labels), kind, order)


def test_other_texts_are_checked_against_the_classes():
    classes = Classes.of(labelled("a", "b"), "auto")
    with pytest.raises(InputError, match="row 2: the label 'c' is none of the classes a, b"):
        classes.targets(labelled("a", "c"))
    with pytest.raises(InputError, match="row 1: 2 labels; expected one"):
        classes.targets(labelled(("a", "b")))
    with pytest.raises(InputError, match="no labels"):
        classes.targets(Documents(["x"], None, ["row 1"]))


def test_every_class_is_held_out_and_equal_texts_stay_together():
    labels = ["a"] * 100 + ["b"] * 50 + ["c"] * 5
    texts = [f"text {number % 70}" for number in range(150)] + [f"other {number}" for number in range(5)]
    documents = labelled(*labels, texts=texts)
    train, held = divide(documents, 20, seed=1)
    assert held is not None and len(train) + len(held) == 155
    assert not set(train.texts) & set(held.texts)
    shares = Counter(own[0] for own in held.labels or [])
    assert 15 <= shares["a"] <= 25 and 5 <= shares["b"] <= 15 and shares["c"] == 1
    again, _ = divide(documents, 20, seed=1)
    other, _ = divide(documents, 20, seed=2)
    assert again == train and other != train


def test_many_small_classes_together_give_their_share():
    train, held = divide(labelled(*[str(number) for number in range(50) for _ in range(2)]), 10, seed=0)
    assert held is not None and len(held) == 10
    assert {own[0] for own in train.labels or []} == {str(number) for number in range(50)}, "each is trained on"


@pytest.mark.parametrize("percent", [0, 10])
def test_nothing_is_held_out_of_nothing(percent: int):
    documents = labelled("a", "b")
    assert divide(documents, percent, seed=0) == (documents, None)


def test_parts_hash_everything():
    documents = labelled(*"abab" * 10)
    parts = Parts.of(documents, None, ["more"], 10, 0)
    assert parts.data_hash() == Parts.of(documents, None, ["more"], 10, 0).data_hash()
    others = [Parts.of(documents, None, ["less"], 10, 0), Parts.of(documents, None, ["more"], 20, 0)]
    others.append(Parts.of(documents, labelled("a", "b"), ["more"], 10, 0))
    assert len({part.data_hash() for part in [parts, *others]}) == 4
    assert sorted(parts.whole.texts) == sorted(documents.texts)
    assert set(parts.every_text) == {*parts.train.texts, "more"}
