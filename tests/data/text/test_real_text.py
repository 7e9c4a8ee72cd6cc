"""Real files as people have them, with at most a column named; skipped where the data folder is not there."""

import time

import pytest

from gatework.data.text import learn_vocabulary, read_corpus, read_documents, read_tagged
from gatework.data.text.schemes import check, detect
from gatework.say import quiet

SENTENCES = {  # file: (texts, classes)
    "sst2.train": (6920, 2), "sst2.dev": (872, 2), "sst2.test": (1821, 2), "sst5.train": (8544, 5),
    "trec.train": (5452, 6), "trec.test": (500, 6), "mr.all": (10662, 2), "subj.all": (10000, 2),
}  # fmt: skip
TAGGED = {  # file: (arguments, sentences, tokens, scheme)
    "ud_english_ewt/train": ({"tag_column": 2}, 12544, 204577, "plain"),
    "ud_english_ewt/dev": ({"tag_column": 2}, 2001, 25147, "plain"),
    "ncbi_disease/train": ({}, 5424, 135701, "BIO"),
    "ncbi_disease/test": ({}, 940, 24497, "BIO"),
    "snips/train": ({}, 13084, 117700, "BIO"),
    "snips/test": ({}, 700, 6354, "BIO"),
}


@pytest.fixture(autouse=True)
def _silent():
    with quiet():
        yield


@pytest.mark.parametrize("name", SENTENCES)
def test_sentences_with_a_label(data_folder, name):
    documents = read_documents(data_folder / f"sentence_classification/{name}.tsv.gz")
    assert (len(documents), len({*documents.labels})) == SENTENCES[name]
    assert documents.places[-1] == f"{name}.tsv.gz line {len(documents)}"


def test_intents_and_reviews(data_folder):
    intents = read_documents(data_folder / "snips/train.tsv.gz", text_column="tokens")
    assert (len(intents), len({*intents.labels})) == (13084, 7)
    reviews = read_documents(data_folder / "imdb/test_5000.tsv.xz")
    assert (len(reviews), {*reviews.labels}) == (5000, {("0",), ("1",)})
    assert len(read_corpus(data_folder / "imdb/test_5000.tsv.xz")) == 5000


@pytest.mark.parametrize("name", TAGGED)
def test_tagged_sentences(data_folder, name):
    arguments, sentences, tokens, scheme = TAGGED[name]
    tagged = read_tagged(data_folder / f"{name}.tsv.gz", **arguments)
    assert (len(tagged), sum(map(len, tagged.sentences)), detect(tagged.tags)) == (sentences, tokens, scheme)
    check(tagged.tags, scheme, tagged.places)
    assert read_tagged(data_folder / f"{name}.tsv.gz", labelled=False).sentences == tagged.sentences


def test_treebank_as_words(data_folder):
    train, test = (read_corpus(data_folder / f"ptb/ptb.{part}.txt.gz").texts[0] for part in ("train", "test"))
    vocabulary = learn_vocabulary("word", [train], tokenise="spaces")
    assert len(vocabulary) == 10_001  # 9,998 words, <pad>, <unk>, <eos>
    assert len(vocabulary.encode(train)) == 929_589
    assert len(vocabulary.encode(test)) == 82_430


@pytest.mark.parametrize(
    ("name", "characters", "distinct"),
    [("tiny_shakespeare/input", 1_115_394, 65), ("war_and_peace/war_and_peace", 3_208_237, 104)],
)
def test_books_as_characters(data_folder, name, characters, distinct):
    text = read_corpus(data_folder / f"{name}.txt.gz").texts[0]
    vocabulary = learn_vocabulary("char", [text])
    start = time.process_time()
    tokens = vocabulary.encode_all([text])
    assert time.process_time() - start < 1  # by table, not character by character
    assert (len(tokens.flat), len(vocabulary)) == (characters, distinct + 3)


def test_a_million_words_of_reviews_are_encoded_in_seconds(data_folder):
    texts = read_corpus(data_folder / "imdb/test_5000.tsv.xz").texts
    vocabulary = learn_vocabulary("word", texts, lower=True)
    start = time.process_time()
    tokens = vocabulary.encode_all(texts)
    assert time.process_time() - start < 10
    assert len(tokens.flat) > 1_200_000
    assert tokens.share_unknown() == 0
