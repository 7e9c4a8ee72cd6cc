"""What is a text and what a path."""

from pathlib import Path

import pytest

from gatework.data.text import read_documents, read_tagged
from gatework.data.text.textfile import is_text
from gatework.errors import InputError


@pytest.mark.parametrize(
    "text", ["the plot was a delight", "A great film.", "a\nb", "either/or it was bad", "x " * 2000]
)
def test_words_are_a_text(text: str):
    assert is_text(text)


@pytest.mark.parametrize("path", ["reviews.csv", "my reviews.jsonl.gz", "my data/reviews", "one", Path("a text file")])
def test_what_ends_like_a_file_is_a_path(path: object):
    assert not is_text(path)


def test_a_file_of_that_name_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two words").write_text("text\n")
    assert not is_text("two words")


def test_a_text_itself_is_read_where_no_labels_are_wanted():
    assert read_documents("a quiet film", labelled=False).texts == ["a quiet film"]
    assert read_tagged("a quiet film.", labelled=False).sentences == [["a", "quiet", "film", "."]]
    with pytest.raises(InputError, match="no file a quiet film"):
        read_documents("a quiet film")
