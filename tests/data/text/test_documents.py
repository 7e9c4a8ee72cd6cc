"""Texts and labels out of whatever a user has."""

import gzip
import lzma
import time

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from gatework.data.text import Documents, read_corpus, read_documents
from gatework.errors import InputError
from gatework.say import quiet, recording

TEXTS = ["It is good.", "It is bad, very bad.", "Good again."]
LABELS = ["good", "bad", "good"]
FRAME = pd.DataFrame({"text": TEXTS, "label": LABELS})


@pytest.fixture(autouse=True)
def _silent():
    with quiet():
        yield


def write(tmp_path, name, content):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def same(documents: Documents):
    assert documents.texts == TEXTS
    assert documents.labels == [(label,) for label in LABELS]


def table(separator=","):
    rows = [f'"{text}"{separator}{label}\n' for text, label in zip(TEXTS, LABELS, strict=True)]
    return f"text{separator}label\n" + "".join(rows)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", table()),
        ("a.csv.gz", gzip.compress(table().encode(), mtime=0)),
        ("a.tsv.xz", lzma.compress(table("\t").encode())),
        ("bom.csv", b"\xef\xbb\xbf" + table().encode()),
        ("crlf.csv", table().replace("\n", "\r\n")),
        ("semicolon.csv", table(";")),
        ("A.JSONL", FRAME.to_json(orient="records", lines=True)),
        ("tabs.txt", "".join(f"{label}\t{text}\n" for text, label in zip(TEXTS, LABELS, strict=True))),
    ],
)
def test_files_of_every_kind(tmp_path, name, content):
    documents = read_documents(write(tmp_path, name, content))
    same(documents)
    assert documents.places[0].startswith(f"{name} line ")


def test_frames_lists_and_parquet(tmp_path):
    FRAME.to_parquet(tmp_path / "a.parquet")
    pairs = list(zip(TEXTS, LABELS, strict=True))
    for source in (FRAME, pl.from_pandas(FRAME), pa.table(FRAME), pairs, tmp_path / "a.parquet"):
        same(read_documents(source))
    assert read_documents(FRAME).data_hash() == read_documents(pairs).data_hash()
    assert read_documents(FRAME).data_hash() != read_documents(pairs[::-1]).data_hash()
    assert read_documents(FRAME).subset([2, 0]).texts == [TEXTS[2], TEXTS[0]]


def test_places_name_lines_where_no_cell_has_a_line_break_and_rows_where_one_has(tmp_path):
    plain = read_documents(write(tmp_path, "a.csv", table()))
    assert plain.places == ["a.csv line 2", "a.csv line 3", "a.csv line 4"]
    broken = read_documents(write(tmp_path, "b.csv", table().replace("It is good.", "It is\ngood.")))
    assert broken.texts[0] == "It is\ngood."
    assert broken.places[2] == "b.csv row 3"


def test_folders_are_classes(tmp_path):
    for i, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True)):
        write(tmp_path, f"{label}/{i}.txt", text)
    write(tmp_path, "good/.hidden.txt", "x")
    write(tmp_path, "good/list.log", "x")
    documents = read_documents(tmp_path)
    assert documents.labels == [("bad",), ("good",), ("good",)]
    assert documents.places[0] == "bad/1.txt"
    assert len(read_documents(tmp_path, labelled=False)) == 3
    with pytest.raises(InputError, match=r"no sub-folders\. Expected one for each class"):
        read_documents(tmp_path / "good")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty holds no files"):
        read_documents(tmp_path)


def test_unlabelled_texts(tmp_path):
    assert read_documents(TEXTS, labelled=False).labels is None
    assert read_documents(FRAME, labelled=False).label_column is None
    assert read_documents(pd.Series(TEXTS), labelled=False).texts == TEXTS
    path = write(tmp_path, "a.txt", "one, two\n\nthree\n")
    assert read_documents(path, labelled=False).places == ["a.txt line 1", "a.txt line 3"]


@pytest.mark.parametrize(
    ("columns", "text", "label"),
    [
        ({"id": ["a", "b"], "Review": ["x y", "z"], "Sentiment": [0, 1]}, "Review", "Sentiment"),
        ({"kind": ["p", "q"], "words": ["some longer text", "another text"]}, "words", "kind"),
        ({"label": ["p", "q"], "rating": [1, 2], "id": [7, 8], "text": ["u", "v"]}, "text", "label"),
    ],
)
def test_columns_are_inferred_and_said(columns, text, label):
    with recording() as lines:
        documents = read_documents(pd.DataFrame(columns))
    assert (documents.text_column, documents.label_column) == (text, label)
    assert f"texts: column {text!r}" in lines
    assert f"labels: column {label!r}" in lines
    assert lines[-1].startswith("2 texts, 2 classes: ")


def test_columns_by_number_and_files_without_a_header(tmp_path):
    path = write(tmp_path, "a.tsv", "1\ta b c d e\tgood\n2\tc\tbad\n3\td\tgood\n")
    with pytest.raises(InputError, match="none of them called label or class"):
        read_documents(path)
    for column in (3, "3", "column3"):
        documents = read_documents(path, label_column=column)
        assert (documents.texts[1], documents.labels[1], documents.places[1]) == ("c", ("bad",), "a.tsv line 2")


def test_quotes_between_tabs_belong_to_the_text_unless_they_keep_to_the_rules_of_csv(tmp_path):
    loose = read_documents(write(tmp_path, "a.tsv", '0\t"what ? " he said\n1\tno\n0\t" yes\n'))
    assert loose.texts == ['"what ? " he said', "no", '" yes']
    kept = read_documents(write(tmp_path, "b.tsv", 'label\ttext\n0\t"a ""b""\tc"\n1\tno\n'))
    assert kept.texts == ['a "b"\tc', "no"]


def test_a_header_of_other_names_is_said_and_a_line_whose_fields_come_again_is_none(tmp_path):
    with recording() as lines:
        guessed = read_documents(write(tmp_path, "a.csv", "opinion,told\npro,x y\ncontra,z\n"))
        headless = read_documents(write(tmp_path, "b.csv", "pro,x y\ncontra,z\npro,u\n"))
    assert (guessed.text_column, len(guessed), len(headless)) == ("opinion", 2, 3)
    assert "a.csv: the first line is taken for a header: opinion, told" in lines
    assert "b.csv has no header line; its columns are called column1, column2" in lines


def test_words_like_na_and_null_are_text(tmp_path):
    documents = read_documents(write(tmp_path, "a.csv", "text,label\nNA,null\nnan,None\n"))
    assert documents.texts == ["NA", "nan"]
    assert documents.labels == [("null",), ("None",)]


def test_labels_as_numbers_truths_lists_and_parts():
    texts = ["a", "b", "c"]
    read = lambda labels, **how: read_documents(pd.DataFrame({"text": texts, "label": labels}), **how).labels  # noqa: E731
    assert read([1.0, 2.0, 1.0]) == [("1",), ("2",), ("1",)]
    assert read([1.5, 2.0, 1.5]) == [("1.5",), ("2.0",), ("1.5",)]
    assert read([True, False, True]) == [("True",), ("False",), ("True",)]
    assert read(["x|y", "", "y| y"], separator="|") == [("x", "y"), (), ("y",)]
    assert read([["x", "y"], [], ["y"]]) == [("x", "y"), (), ("y",)]


BAD = {
    "empty text": (
        {"text": ["a", " ", "b", ""], "label": [0, 1, 0, 1]}, {}, r"2 texts of 4 are empty: data row 2, data row 4\.",
    ),
    "missing label": ({"text": ["a", "b"], "label": ["x", None]}, {}, r"no label in row 2\. Expected a label"),
    "one class": (FRAME.head(1), {}, r"one class only, 'good', in 1 text\. Expected 2 or more classes"),
    "no label column": ({"text": ["a", "b"]}, {}, r"no other column\. Expected a column of labels; add it, or name"),
    "wrong column": (FRAME, {"label_column": "lable"}, r"label_column='lable', but data has .* Did you mean 'label'\?"),
    "one column twice": (FRAME, {"text_column": 1, "label_column": 1}, r"column 'text' is named as text and as label"),
    "wrong number": (FRAME, {"text_column": 3}, r"text_column=3, but data has no such column"),
    "numbers as text": (FRAME.assign(text=[1, 2, 3]), {}, r"row 1 of data holds int '1' in column 'text'"),
    "no rows": (FRAME.head(0), {}, r"the columns 'text', 'label' but no rows"),
    "no text column": ({"a": [1, 2], "b": [1, 2]}, {}, r"no column of texts among 'a', 'b'"),
    "no frame": (7, {}, r"data is a builtins\.int\. Expected a pandas, polars or arrow frame"),
    "list without labels": (TEXTS, {}, r"data holds texts without labels\. Expected pairs"),
    "list of numbers": ([1, 2], {}, r"data item 1 is a int, '1'\. Expected a text"),
    "empty list": ([], {}, r"data is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    source, arguments, message = BAD[name]
    with pytest.raises(InputError, match=message):
        read_documents(pd.DataFrame(source) if isinstance(source, dict) else source, **arguments)


BAD_FILES = {
    "empty.csv": (b"", r"empty\.csv holds no text \(0 bytes\)"),
    "blank.txt": (b" \n\n", r"blank\.txt holds white space only"),
    "latin.csv": (b"text,label\na,x\nZ\xfcrich,y\n", r"line 3 holds the byte 0xfc \(byte 17 of the file\)"),
    "wide.csv": ("text,label\na,x\n".encode("utf-16"), r"looks like UTF-16 or a binary file"),
    "header.csv": (b"text,label\n", r"has a header line but no rows"),
    "ragged.csv": (b"text,label\na,x,y\nb,z\n", r"not a regular table.*line 2"),
    "short.csv": (b"text,label\nb\n", r"column 'label' of short.csv has no label in line 2"),
    "twice.csv": (b"text,text\nb,c\n", r"has the column 'text' more than once"),
    "cut.csv.gz": (gzip.compress(table().encode() * 99, mtime=0)[:-30], r"is not a whole gzip file"),
    "cut.csv.xz": (lzma.compress(table().encode() * 99)[:-30], r"is not a whole xz file"),
    "plain.csv.xz": (table().encode(), r"is not a whole xz file"),
    "a.jsonl": (b'{"text": "a", "label": "b"}\n["a"]\n', r'line 2 of .* is no.* JSON object.*\{"text": "...", "label"'),
    "whole.json": (b'[{"text": "a"}]', r"line 1 of .*whole\.json is not a JSON object"),
    "b.jsonl": (b"\n", r"b\.jsonl is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(tmp_path, name):
    content, message = BAD_FILES[name]
    with pytest.raises(InputError, match=message):
        read_documents(write(tmp_path, name, content))


def test_a_missing_file_has_a_suggestion(tmp_path):
    write(tmp_path, "reviews.csv", table())
    with pytest.raises(InputError, match=r"there is no file .*Did you mean 'reviews\.csv'\?"):
        read_documents(tmp_path / "review.csv")


def test_corpora_keep_their_lines(tmp_path):
    path = write(tmp_path, "a.txt", "one\r\n\r\ntwo\n")
    assert read_corpus(path).texts == ["one\n\ntwo\n"]
    write(tmp_path, "sub/b.md", "three")
    folder = read_corpus(tmp_path)
    assert folder.texts == ["one\n\ntwo\n", "three"]
    assert folder.places == ["a.txt", "sub/b.md"]
    assert read_corpus(FRAME).texts == TEXTS
    assert read_corpus(["a", "b"]).texts == ["a", "b"]
    with pytest.raises(InputError, match="1 text of 2 is empty: data item 2"):
        read_corpus(["a", " "])


def test_nul_characters_are_left_out_and_said(tmp_path):
    with recording() as lines:
        documents = read_corpus(write(tmp_path, "a.txt", "a\0b " * 3 + "c" * 400))
    assert documents.texts[0].startswith("ab ab ab ")
    assert lines == ["a.txt: 3 NUL characters left out"]


def test_a_line_of_ten_million_characters(tmp_path):
    long = "some words of it " * 600_000
    path = write(tmp_path, "a.csv", f"text,label\n{long},x\nb,y\n")
    start = time.process_time()
    documents = read_documents(path)
    assert len(documents.texts[0]) >= 10_000_000
    assert time.process_time() - start < 10
