"""Files of word vectors."""

import gzip

import numpy as np
import pytest

from gatework.data.text import read_vectors
from gatework.errors import InputError
from gatework.say import quiet, recording


def write(tmp_path, content, name="v.txt"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_exact_spelling_comes_before_small_letters(tmp_path):
    path = write(tmp_path, "the 1 2 3\nThe 4 5 6\n. . . 7 8 9\nnaïve 1e-1 -1 1\n")
    with quiet(), recording() as lines:
        vectors, found = read_vectors(path, ["<unk>", "The", "the", "THE", "naïve", "none"], size=3)
    assert found.tolist() == [False, True, True, True, True, False]
    expected = [[0, 0, 0], [4, 5, 6], [1, 2, 3], [1, 2, 3], [0.1, -1, 1], [0, 0, 0]]
    np.testing.assert_allclose(vectors.numpy(), expected, rtol=1e-6)
    assert lines == ["vectors: 3 numbers a word, for 4 of 6 words (67%), v.txt"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("v.vec", b"2 3\nthe 1 2 3 \nof 4 5 6 \n"),  # word2vec and fastText: counts first, a space at the end
        ("v.txt", b"\xef\xbb\xbfthe 1 2 3\r\nof 4 5 6\r\n"),
        (
            "v.txt.gz",
            gzip.compress(b"the 1 2 3\nof 4 5 6\n\xff\xfe 1 2 3\n", mtime=0),
        ),  # a word that is no text is passed over
    ],
)
def test_formats(tmp_path, name, content):
    with quiet():
        vectors, found = read_vectors(write(tmp_path, content, name), ["of", "the"])
    assert vectors.tolist() == [[4, 5, 6], [1, 2, 3]]
    assert found.all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"is empty\. Expected a word and its numbers"),
        ("the\n", r"line 1 of .* has 0 numbers after its word"),
        ("the 1 2 3\nxx 1 2\n", r"line 2 of .* is not a word and 3 numbers as the lines before it: 'xx 1 2'"),
        ("xx 1 2 3\nthe 1 2 x\n", r"line 2 of .* is not a word and 3 numbers"),
        ("the 1 2 nan\n", r"line 1 of .* is not a word and 3 numbers"),
        ("xx 1 2 3\n", r"has none of the 2 words, the first 'the'"),
        (
            "the 1 2 3 4\n",
            r"vectors of 4 numbers; the embedding has size 3\. Expected the same; set the embedding size",
        ),
    ],
)
def test_bad_files(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_vectors(write(tmp_path, content), ["the", "of"], size=3)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        read_vectors(tmp_path / "v.txt", ["the"])
