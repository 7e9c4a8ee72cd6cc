"""What stands for what: characters, words or pieces of words, each with a number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from gatework.data.text.encoding import END, SPECIAL, UNKNOWN, Tokens
from gatework.data.text.tokenise import chunks_of, cut_chunk, join_words
from gatework.data.wording import counted
from gatework.errors import ArtefactError, InputError

Kind = Literal["char", "word", "subword"]
Cut = Literal["words", "spaces"]
_REMEMBERED = 1 << 18  # chunks of a text whose ids are kept


class Vocabulary(ABC):
    """V tokens and their ids 0 .. V - 1; 0 is padding, 1 what is not known, 2 the end of a line or a text.

    Args:
        tokens: V texts, the three special ones first.
        lower: texts are made lower case before they are looked up.
    """

    kind: ClassVar[str]

    def __init__(self, tokens: Sequence[str], lower: bool = False) -> None:
        self.tokens, self.lower = list(tokens), lower
        self._index = _Index({token: i for i, token in enumerate(self.tokens) if i >= UNKNOWN})

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """The ids of a text."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The vocabulary as a JSON object."""

    def encode_all(self, texts: Iterable[str]) -> Tokens:
        """The ids of many texts."""
        arrays = [np.array(self.encode(text), dtype=np.int32) for text in texts]
        return _joined(arrays)

    def encode_tokens(self, tokens: Iterable[str]) -> list[int]:
        """The ids of tokens that are apart already, one for each."""
        return list(map(self._index.__getitem__, map(str.lower, tokens) if self.lower else tokens))

    def encode_all_tokens(self, lists: Iterable[Sequence[str]]) -> Tokens:
        """The ids of many lists of tokens, one id for each token."""
        return Tokens.from_lists([self.encode_tokens(tokens) for tokens in lists])

    def token(self, number: int) -> str:
        """The token of an id; IndexError when there is none."""
        if number < 0:
            raise IndexError(f"{number} is no id; expected 0 to {len(self) - 1}")
        return self.tokens[number]

    @staticmethod
    def from_json(value: Any) -> Vocabulary:
        """The vocabulary that `to_json` described.

        Raises:
            ArtefactError: it is not one.
        """
        kind = value.get("kind") if isinstance(value, dict) else None
        if kind == "subword":
            from gatework.data.text.subwords import Subwords

            return Subwords.restored(value)
        if kind not in ("char", "word"):
            raise ArtefactError(f"a vocabulary of kind {kind!r} is not one that Gatework writes; restore it.")
        tokens = check_tokens(value)
        if kind == "char":
            return Characters(tokens, value["lower"])
        if value.get("tokenise") not in ("words", "spaces"):
            raise ArtefactError(f"a vocabulary tokenised by {value.get('tokenise')!r} is not known; restore it.")
        return Words(tokens, value["lower"], value["tokenise"])


class Characters(Vocabulary):
    """Characters, the line break among them; `<eos>` comes between texts only."""

    kind = "char"

    def __init__(self, tokens: Sequence[str], lower: bool = False) -> None:
        super().__init__(tokens, lower)
        codes = [ord(token) for token in self.tokens[len(SPECIAL) :]]
        self._table = np.full(max(codes, default=0) + 2, UNKNOWN, dtype=np.int32)  # its last entry: all beyond
        self._table[codes] = np.arange(len(SPECIAL), len(self.tokens))

    def encode(self, text: str) -> list[int]:
        """The id of each character."""
        ids: list[int] = self._ids(text).tolist()
        return ids

    def encode_all(self, texts: Iterable[str]) -> Tokens:
        """The ids of many texts, by table and not character by character."""
        return _joined([self._ids(text) for text in texts])

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; `<eos>` is a line break."""
        return "".join("\n" if i == END else self.token(i) for i in ids)

    def to_json(self) -> dict[str, Any]:
        """The vocabulary as a JSON object."""
        return {"kind": self.kind, "lower": self.lower, "tokens": self.tokens}

    def _ids(self, text: str) -> NDArray[np.int32]:
        codes = code_points(text.lower() if self.lower else text)
        return self._table[np.minimum(codes, len(self._table) - 1)]


class Words(Vocabulary):
    """Words; a line break is `<eos>`, and a literal `<unk>` in a text is unknown.

    Args:
        tokens: the three special ones, then the words.
        lower: texts are made lower case.
        tokenise: "words" cuts punctuation off (`gatework.data.text.words`); "spaces" cuts at white space only, for text
            that is tokenised already.
    """

    kind = "word"

    def __init__(self, tokens: Sequence[str], lower: bool = False, tokenise: Cut = "words") -> None:
        super().__init__(tokens, lower)
        self.tokenise = tokenise
        self._chunks = _Chunks(self._index)

    def encode(self, text: str) -> list[int]:
        """The ids of the words of a text."""
        chunks = chunks_of_lines(text.lower() if self.lower else text, self.tokenise)
        if self.tokenise == "spaces":
            return list(map(self._index.__getitem__, chunks))
        return list(chain.from_iterable(map(self._chunks.__getitem__, chunks)))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; `<eos>` is a line break, and with tokenise="words" punctuation joins its word again."""
        join: Callable[[Sequence[str]], str] = join_words if self.tokenise == "words" else " ".join
        lines: list[list[str]] = [[]]
        for i in ids:
            if i == END:
                lines.append([])
            else:
                lines[-1].append(self.token(i))
        return "\n".join(map(join, lines))

    def to_json(self) -> dict[str, Any]:
        """The vocabulary as a JSON object."""
        return {"kind": self.kind, "lower": self.lower, "tokenise": self.tokenise, "tokens": self.tokens}


class _Index(dict[str, int]):
    """Ids of tokens; what is not there is `<unk>`."""

    def __missing__(self, token: str) -> int:
        return UNKNOWN


class _Chunks(dict[str, tuple[int, ...]]):
    """Ids of the words in a run of text between spaces, remembered: few of them make up most of any text."""

    def __init__(self, index: _Index) -> None:
        super().__init__()
        self._index = index

    def __missing__(self, chunk: str) -> tuple[int, ...]:
        ids = tuple(map(self._index.__getitem__, cut_chunk(chunk)))
        if len(chunk) < 100:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[chunk] = ids
        return ids


def learn_vocabulary(
    kind: Kind,
    texts: Iterable[str] | Iterable[Sequence[str]],
    size: int | None = None,
    least: int = 1,
    lower: bool = False,
    tokenise: Cut = "words",
) -> Vocabulary:
    """The vocabulary of texts.

    Args:
        kind: "char", "word" or "subword".
        texts: texts, or lists of tokens that are apart already.
        size: most tokens, the three special ones among them, 5 or more; the most frequent stay. Default: all, or 8000
            subwords.
        least: a character or word must come that often, 1 or more.
        lower: make texts lower case.
        tokenise: how words are cut, see `Words`.

    Raises:
        InputError: no text, or fewer than two distinct tokens.

    Example:
        >>> vocabulary = learn_vocabulary("word", ["to be or not to be"])
        >>> vocabulary.tokens, vocabulary.encode("be or was")
        (['<pad>', '<unk>', '<eos>', 'be', 'to', 'not', 'or'], [3, 6, 1])
    """
    if kind not in ("char", "word", "subword"):
        raise InputError(f"kind={kind!r}. Expected 'char', 'word' or 'subword'.")
    if tokenise not in ("words", "spaces"):
        raise InputError(f"tokenise={tokenise!r}. Expected 'words' or 'spaces'.")
    if size is not None and size < len(SPECIAL) + 2:
        raise InputError(f"size={size}. Expected {len(SPECIAL) + 2} or more: three special tokens and two others.")
    if kind == "subword":
        from gatework.data.text.subwords import learn_subwords

        return learn_subwords(texts, size=size, lower=lower)
    counts = count_characters(texts, lower) if kind == "char" else count_words(texts, lower, tokenise)
    noun = "character" if kind == "char" else "word"
    if len(counts) < 2:
        held = f"one distinct {noun}, {next(iter(counts))!r}," if counts else f"no {noun}s"
        raise InputError(f"the text holds {held} and nothing else. Expected two or more distinct {noun}s; add text.")
    kept = sorted((item for item in counts.items() if item[1] >= least), key=lambda item: (-item[1], item[0]))
    if not kept:
        most = counted(max(counts.values()), "time")
        raise InputError(f"least={least}, but no {noun} comes more than {most}. Lower it, or add text.")
    tokens = [*SPECIAL, *(token for token, _ in kept[: None if size is None else size - len(SPECIAL)])]
    return Characters(tokens, lower) if kind == "char" else Words(tokens, lower, tokenise)


def count_characters(texts: Iterable[str] | Iterable[Sequence[str]], lower: bool = False) -> Counter[str]:
    """How often each character comes."""
    counts: Counter[str] = Counter()
    for text in texts:
        joined = text if isinstance(text, str) else "".join(text)
        codes, numbers = np.unique(code_points(joined.lower() if lower else joined), return_counts=True)
        counts.update(dict(zip(map(chr, codes.tolist()), numbers.tolist(), strict=True)))
    return counts


def count_words(
    texts: Iterable[str] | Iterable[Sequence[str]], lower: bool = False, tokenise: Cut = "words"
) -> Counter[str]:
    """How often each word comes, without line breaks and literal special tokens."""
    counts: Counter[str] = Counter()
    chunks: Counter[str] = Counter()
    for text in texts:
        if not isinstance(text, str):
            counts.update(map(str.lower, text) if lower else text)
        else:
            chunks.update(chunks_of_lines(text.lower() if lower else text, tokenise))
    for chunk, number in chunks.items():  # each distinct run of text is cut once
        for word in cut_chunk(chunk) if tokenise == "words" else (chunk,):
            counts[word] += number
    for special in SPECIAL:
        counts.pop(special, None)
    return counts


def chunks_of_lines(text: str, tokenise: Cut) -> list[str]:
    """The runs of a text between white space, `<eos>` for each line break."""
    text = text.replace("\n", f" {SPECIAL[END]} ")
    return chunks_of(text) if tokenise == "words" else text.split()


def code_points(text: str) -> NDArray[np.uint32]:
    """The number of each character in Unicode, [len(text)]."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def check_tokens(value: dict[str, Any]) -> list[str]:
    """The tokens of a vocabulary's JSON object; ArtefactError when they cannot be."""
    tokens = value.get("tokens")
    if (
        not isinstance(tokens, list)
        or not all(isinstance(token, str) for token in tokens)
        or tuple(tokens[: len(SPECIAL)]) != SPECIAL
        or len(set(tokens)) != len(tokens)
        or type(value.get("lower")) is not bool
        or (value["kind"] == "char" and any(len(token) != 1 for token in tokens[len(SPECIAL) :]))
    ):
        raise ArtefactError("the vocabulary is not one that Gatework writes. It is damaged; restore it.")
    return tokens


def _joined(arrays: list[NDArray[np.int32]]) -> Tokens:
    flat = np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int32)
    return Tokens.from_arrays(flat, np.array([len(array) for array in arrays], dtype=np.int64))
