"""Scores, plots and tables of taggings, by hand."""

from __future__ import annotations

import pytest

from gatework.tasks.plots import drawings
from gatework.tasks.tagging.report import Tagging, accuracy, confusion, span_f1

WORDS = [["Ada", "Byron", "met", "Bob"], ["in", "Oslo"]]
TRUTH = [["B-PER", "I-PER", "O", "B-PER"], ["O", "B-LOC"]]
FOUND = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-LOC"]]
SIMPLE = [["B-PER", "B-PER", "O", "O"], ["O", "O"]]


def tagging(scheme: str = "BIO") -> Tagging:
    return Tagging(WORDS, TRUTH, FOUND, SIMPLE, scheme, frozenset({"Ada", "met", "in"}), ["line 1", "line 6"])


def test_entities():
    evaluation = tagging().evaluation("two sentences")
    assert evaluation.scores == {
        "F1": pytest.approx(2 / 3),
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 3),
        "macro F1": pytest.approx((2 / 3 + 2 / 3) / 2),
        "token accuracy": pytest.approx(5 / 6),
        "sentence accuracy": 0.5,
    }
    assert evaluation.baselines["most frequent tag"]["F1"] == 0.0
    assert evaluation.skill["F1"] == pytest.approx(2 / 3)
    labels = evaluation.tables["labels"].set_index("label")
    assert labels.loc["PER", ["precision", "recall", "true", "found"]].tolist() == [1.0, 0.5, 2, 1]


def test_plain_tags():
    evaluation = tagging("plain").evaluation("two sentences")
    assert evaluation.scores["accuracy"] == pytest.approx(5 / 6)
    assert evaluation.scores["accuracy on unseen words"] == pytest.approx(2 / 3)  # Byron, Bob, Oslo
    assert next(iter(evaluation.scores)) == "accuracy"
    assert evaluation.tables["labels"]["label"].tolist() == ["B-LOC", "B-PER", "I-PER", "O"]


def test_without_unseen_words_their_score_is_left_out():
    known = Tagging(
        WORDS, TRUTH, FOUND, SIMPLE, "plain", frozenset(word for words in WORDS for word in words), ["1", "2"]
    )
    assert "accuracy on unseen words" not in known.evaluation("").scores


def test_worst_sentences_say_what_was_missed_and_invented():
    worst = tagging().evaluation("").tables["worst"]
    assert worst.to_dict("records") == [
        {
            "place": "line 1",
            "wrong": 1,
            "tokens": 4,
            "sentence": "Ada Byron met Bob",
            "missed": "Bob (PER)",
            "invented": "Bob (LOC)",
        }
    ]


def test_predictions_have_a_row_for_each_token():
    table = tagging().evaluation("").tables["predictions"]
    assert table["token"].tolist() == ["Ada", "Byron", "met", "Bob", "in", "Oslo"]
    assert table["sentence"].tolist() == [1, 1, 1, 1, 2, 2]
    assert (table["truth"] != table["tag"]).tolist() == [False, False, False, True, False, False]


def test_confusion_counts_true_tags_by_row():
    found = confusion(TRUTH, FOUND)
    assert sorted(found["names"][:2]) == ["B-PER", "O"]
    row, column = found["names"].index("B-PER"), found["names"].index("B-LOC")
    assert found["counts"][row][column] == 1 and sum(map(sum, found["counts"])) == 6


def test_a_tag_of_the_model_alone_has_a_row_without_counts():
    found = confusion([["A"]], [["Z"]])
    assert found["names"] == ["A", "Z"] and found["counts"] == [[0, 1], [0, 0]]


def test_scores_of_early_stopping():
    assert accuracy(TRUTH, FOUND) == pytest.approx(5 / 6) and accuracy([], []) == 0.0
    assert span_f1(TRUTH, FOUND, "BIO") == pytest.approx(2 / 3)


def test_tags_that_were_never_seen_count_as_wrong():
    strange = Tagging(WORDS, [["B-ORG", "O", "O", "O"], ["O", "O"]], FOUND, SIMPLE, "BIO", frozenset(), ["1", "2"])
    evaluation = strange.evaluation("")
    assert evaluation["recall"] == 0.0 and evaluation["F1"] == 0.0


@pytest.mark.parametrize("scheme", ["BIO", "plain"])
def test_pictures_are_drawn_from_the_numbers(scheme: str):
    figures = tagging(scheme).evaluation("").figures
    assert set(figures) == {"confusion", "f1_by_label"}
    for name, numbers in figures.items():
        figure = drawings()[name](numbers)
        assert figure.axes and figure.axes[0].get_xlabel()


def test_many_labels_are_cut_and_this_is_said():
    rows = [{"label": f"L{i}", "count": i, "model": 0.5, "baseline": 0.1} for i in range(60)]
    figure = drawings()["f1_by_label"]({"baseline": "usual", "rows": rows})
    assert "40 most frequent of 60" in figure.get_suptitle()
    assert figure.axes[0].get_yticklabels()[0].get_text() == "L59 (59)"
