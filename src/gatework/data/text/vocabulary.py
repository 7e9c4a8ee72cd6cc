"""What stands for what: characters, words or pieces of words, each with a number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from gatework.data.text.encoding import SPECIAL, UNKNOWN, Tokens
from gatework.data.wording import counted
from gatework.errors import ArtefactError, InputError

Kind = Literal["char", "word", "subword"]
Cut = Literal["words", "spaces"]


class Vocabulary(ABC):
    """V tokens and their ids 0 .. V - 1; 0 is padding, 1 what is not known, 2 the end of a line or a text.

    Args:
        tokens: V texts, the three special ones first.
        lower: texts are made lower case before they are looked up.
    """

    kind: ClassVar[str]

    def __init__(self, tokens: Sequence[str], lower: bool = False) -> None:
        self.tokens, self.lower = list(tokens), lower
        self._index = Index({token: i for i, token in enumerate(self.tokens) if i >= UNKNOWN})

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """The ids of a text."""

    @abstractmethod
    def pieces(self, text: str) -> list[str]:
        """The part of a text behind each id of `encode(text)`, also of unknown ones; together they are the text."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The vocabulary as a JSON object."""

    def encode_all(self, texts: Iterable[str]) -> Tokens:
        """The ids of many texts."""
        return Tokens.from_parts([np.array(self.encode(text), dtype=np.int32) for text in texts])

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
        tokens = _check_tokens(value)
        if kind == "char":
            from gatework.data.text.characters import Characters

            return Characters(tokens, value["lower"])
        if value.get("tokenise") not in ("words", "spaces"):
            raise ArtefactError(f"a vocabulary tokenised by {value.get('tokenise')!r} is not known; restore it.")
        from gatework.data.text.word_list import Words

        return Words(tokens, value["lower"], value["tokenise"])


class Index(dict[str, int]):
    """Ids of tokens; what is not there is `<unk>`."""

    def __missing__(self, token: str) -> int:
        return UNKNOWN


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
    from gatework.data.text.characters import Characters, count_characters
    from gatework.data.text.word_list import Words, count_words

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


def _check_tokens(value: dict[str, Any]) -> list[str]:
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
