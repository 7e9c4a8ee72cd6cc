"""Tagged sentences out of whatever a user has."""

import gzip

import pandas as pd
import polars as pl
import pytest

from gatework.data.text import Tagged, read_tagged, synthetic_tagged
from gatework.data.text.schemes import detect
from gatework.errors import InputError
from gatework.say import quiet, recording

SENTENCES = [["Ada", "Byron", "ran"], ["in", "Oslo"]]
TAGS = [["B-PER", "I-PER", "O"], ["O", "B-LOC"]]
COLUMNS = "Ada\tB-PER\nByron\tI-PER\nran\tO\n\nin\tO\nOslo\tB-LOC\n"
ROWS = {"tokens": [" ".join(s) for s in SENTENCES], "tags": [" ".join(t) for t in TAGS]}
LONG = {"sentence": [1, 1, 1, 2, 2], "token": [*SENTENCES[0], *SENTENCES[1]], "tag": [*TAGS[0], *TAGS[1]]}
CONLLU = (
    "# sent_id = 1\n# text = Ada ran\n1-2\tAdaran\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\tAda\tAda\tPROPN\tNNP\t_\t2\tnsubj\t_\t_\n2\tran\trun\tVERB\tVBD\t_\t0\troot\t_\t_\n"
    "2.1\tx\tx\tX\t_\t_\t_\t_\t_\t_\n\n"
)


@pytest.fixture(autouse=True)
def _silent():
    with quiet():
        yield


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def same(tagged: Tagged):
    assert tagged.sentences == SENTENCES
    assert tagged.tags == TAGS


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", COLUMNS),
        ("a.conll.gz", gzip.compress(COLUMNS.encode(), mtime=0)),
        ("spaces.txt", COLUMNS.replace("\t", " ")),
        ("crlf.txt", "\ufeff" + COLUMNS.replace("\n", "\r\n")),
        ("ends.iob", "\n\n" + COLUMNS.rstrip("\n") + "\n\n\n"),
        ("headed.conll", "token\ttag\n" + COLUMNS),
        ("comments.conll", "# id = 1\n" + COLUMNS.replace("\n\n", "\n\n# id = 2\n")),
        ("documents.txt", "-DOCSTART- O\n\n" + COLUMNS.replace("\t", " ")),
        ("rows.tsv", "tokens\ttags\n" + "".join(f"{t}\t{g}\n" for t, g in zip(*ROWS.values(), strict=True))),
        ("rows.csv", pd.DataFrame(ROWS).to_csv(index=False)),
        ("rows.jsonl", pd.DataFrame({"tokens": SENTENCES, "ner_tags": TAGS}).to_json(orient="records", lines=True)),
        ("long.csv", pd.DataFrame(LONG).to_csv(index=False)),
        (
            "spans.jsonl",
            '{"text": "Ada Byron ran", "spans": [{"start": 0, "end": 9, "label": "PER"}]}\n'
            '{"text": "in Oslo", "spans": [[3, 7, "LOC"]]}\n',
        ),
    ],
)
def test_files_of_every_kind(tmp_path, name, content):
    tagged = read_tagged(write(tmp_path, name, content))
    same(tagged)
    assert all(place.startswith(f"{name} line ") for place in tagged.places)


def test_frames_lists_and_what_was_read_already():
    pairs = list(zip(SENTENCES, TAGS, strict=True))
    for source in (pd.DataFrame(ROWS), pl.DataFrame(LONG), pl.DataFrame({"words": SENTENCES, "ner": TAGS}), pairs):
        same(read_tagged(source))
    tagged = read_tagged(pairs)
    assert read_tagged(tagged) is tagged
    assert read_tagged(tagged, labelled=False).tags is None
    assert tagged.data_hash() == read_tagged(pd.DataFrame(ROWS)).data_hash() != tagged.subset([1, 0]).data_hash()
    assert tagged.subset([1]).sentences == SENTENCES[1:]


def test_places_name_the_first_line_of_a_sentence(tmp_path):
    assert read_tagged(write(tmp_path, "a.tsv", COLUMNS)).places == ["a.tsv line 1", "a.tsv line 5"]


@pytest.mark.parametrize(
    ("token", "tag", "expected"),
    [(None, None, "nsubj"), (1, 2, "PROPN"), ("1", "2", "PROPN"), ("column1", "column3", "NNP")],
)
def test_one_of_many_columns(tmp_path, token, tag, expected):
    path = write(tmp_path, "a.tsv", "Ada\tPROPN\tNNP\tnsubj\nran\tVERB\tVBD\troot\n\nyes\tINTJ\tUH\troot\n")
    tagged = read_tagged(path, token, tag)
    assert tagged.sentences == [["Ada", "ran"], ["yes"]]
    assert tagged.tags[0][0] == expected


def test_conllu_leaves_out_ranges_and_empty_words(tmp_path):
    tagged = read_tagged(write(tmp_path, "a.conllu", CONLLU))
    assert (tagged.sentences, tagged.tags) == ([["Ada", "ran"]], [["PROPN", "VERB"]])
    assert read_tagged(write(tmp_path, "a.conllu", CONLLU), tag_column="xpos").tags == [["NNP", "VBD"]]


def test_a_token_may_be_a_number_sign(tmp_path):
    tagged = read_tagged(write(tmp_path, "a.txt", "# O\n1 O\n\nno O\n# O\n"))
    assert tagged.sentences == [["#", "1"], ["no", "#"]]


def test_letters_as_tokens(tmp_path):
    with recording() as lines:
        tagged = read_tagged(
            pd.DataFrame({"sequence": ["MKV", "AL"], "structure": ["HHC", "EE"]}), "sequence", "structure"
        )
    assert (tagged.sentences[0], tagged.tags[0], tagged.letters) == (["M", "K", "V"], ["H", "H", "C"], True)
    assert "each letter of column 'sequence' is a token" in lines[-1]
    for source in (["MKV", "AL"], write(tmp_path, "a.txt", "MKV\nAL\n"), pd.DataFrame({"token": ["MKV", "AL"]})):
        assert read_tagged(source, labelled=False, letters=True).sentences == [["M", "K", "V"], ["A", "L"]]


def test_spans_that_cut_words_are_widened():
    frame = pd.DataFrame({"text": ["Adas, ran"], "spans": [[{"start": 0, "end": 3, "type": "PER"}]]})
    with recording() as lines:
        tagged = read_tagged(frame)
    assert (tagged.sentences, tagged.tags) == ([["Adas", ",", "ran"]], [["B-PER", "O", "O"]])
    assert lines[-1] == "1 span began or ended inside a word and were widened to whole words"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.conll", "Ada\nran\n\nno\n", [["Ada", "ran"], ["no"]]),
        ("a.txt", "Ada\nran\n\nno\n", [["Ada", "ran"], ["no"]]),
        ("b.txt", "Ada ran.\n\nIt isn't so\n", [["Ada", "ran", "."], ["It", "is", "n't", "so"]]),
        ("a.jsonl", '{"text": "Ada ran."}\n', [["Ada", "ran", "."]]),
        ("b.jsonl", '{"tokens": ["New York", "is"]}\n', [["New York", "is"]]),
        ("a.tsv", COLUMNS, SENTENCES),
        (
            "a.csv",
            pd.DataFrame({"sentence": ["wo n't ."], "tags": ["O O O"]}).to_csv(index=False),
            [["wo", "n't", "."]],
        ),
    ],
)
def test_without_tags(tmp_path, name, content, expected):
    tagged = read_tagged(write(tmp_path, name, content), labelled=False)
    assert tagged.tags is None
    assert tagged.sentences == expected


def test_texts_and_token_lists_without_tags():
    assert read_tagged(["Ada ran.", "no"], labelled=False).sentences == [["Ada", "ran", "."], ["no"]]
    assert read_tagged(SENTENCES, labelled=False).sentences == SENTENCES


SPAN = '{"text": "Ada ran", "spans": [%s]}\n'
BAD = {
    "ragged.conll": ("a\tO\nb\tO\nc\n\nd\tO\n", r"line 3 of .*ragged\.conll has 1 field, 'c'; most lines have 2"),
    "tag.tsv": ("a\tO\nb\t\n", r"line 2 of .*tag\.tsv has no tag"),
    "one.conll": ("a\n\nb\n", r"has one column\. Expected a token and its tag"),
    "empty.conll": ("", r"holds no text \(0 bytes\)"),
    "unequal.csv": ("tokens,tags\na b,O\n", r"unequal\.csv line 2 has 2 tokens but 1 tag, tokens 'a b'"),
    "unequal.jsonl": ('{"tokens": ["a"], "tags": []}\n', r"unequal\.jsonl line 1 has 1 token but 0 tags"),
    "column.csv": ("tokens,x,z\na b,O O,1\n", r"none of them called tags\. Expected a column of tags; .*tag_column="),
    "text.jsonl": ('{"tokens": 7, "tags": 8}\n', r"line 1 of text\.jsonl holds '7' in column 'tokens'"),
    "outside.jsonl": (SPAN % '[0, 99, "X"]', r"a span from 0 to 99 in a text of 7 characters"),
    "overlap.jsonl": (SPAN % '[0, 3, "X"], [2, 7, "Y"]', r"2 to 7 \(Y\).*overlaps the one before it"),
    "space.jsonl": (SPAN % '[3, 4, "X"]', r"3 to 4 \(X\), ' ', which holds no word"),
    "kind.jsonl": (SPAN % '{"from": 1}', r"has the span .*Expected \{\"start\": 0"),
    "latin.conll": ("a\tO\né\tO\n".encode("latin-1"), r"line 2 holds the byte 0xe9 \(byte 5 of the file\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files(tmp_path, name):
    content, message = BAD[name]
    with pytest.raises(InputError, match=message):
        read_tagged(write(tmp_path, name, content))


@pytest.mark.parametrize(
    ("source", "arguments", "message"),
    [
        (SENTENCES, {}, "data holds sentences without tags. Expected pairs"),
        (Tagged(SENTENCES, None, ["", ""]), {}, "data holds sentences without tags"),
        ([(["a", "b"], ["O"])], {}, "data item 1 has 2 tokens but 1 tag"),
        ([(["a", 3], ["O", "O"])], {}, "data item 1 holds .*Expected a list of texts"),
        ([], {}, "data is empty"),
        (pd.DataFrame(ROWS), {"tag_column": "tagz"}, "tag_column='tagz', .* Did you mean 'tags'?"),
    ],
)
def test_bad_sources(source, arguments, message):
    with pytest.raises(InputError, match=message):
        read_tagged(source, **arguments)


def test_the_sample_is_made_of_names_that_are_both():
    tagged = synthetic_tagged(0)
    assert tagged.data_hash() == synthetic_tagged(0).data_hash() != synthetic_tagged(1).data_hash()
    assert detect(tagged.tags) == "BIO"
    both = {
        t for s, g in zip(tagged.sentences, tagged.tags, strict=True) for w, t in zip(s, g, strict=True) if w == "Paris"
    }
    assert both == {"B-PERSON", "B-PLACE"}
