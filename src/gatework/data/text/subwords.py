"""Pieces of words, learned from the user's own text by sentencepiece."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from gatework.data.text.characters import count_characters
from gatework.data.text.encoding import END, PAD, SPECIAL, Tokens
from gatework.data.text.tokenise import lower_case
from gatework.data.text.vocabulary import Vocabulary
from gatework.errors import ArtefactError, InputError
from gatework.say import say

_SIZE = 8000
_BYTES = 256
_ENOUGH = 1024  # tokens, from which on single bytes are among them
_LINE = 1000  # characters; sentencepiece passes over lines of more than 4192 bytes
_TEXT = 5_000_000  # characters to learn from


class Subwords(Vocabulary):
    """Pieces of words; a line break is `<eos>`. Spaces are kept, so that text is given back as it was.

    Args:
        model: the bytes of a sentencepiece model with ids 0 padding, 1 unknown, 2 end.
        lower: texts are made lower case.
    """

    kind = "subword"

    def __init__(self, model: bytes, lower: bool = False) -> None:
        from sentencepiece import SentencePieceProcessor

        self._model, self._processor = model, SentencePieceProcessor(model_proto=model)
        super().__init__([self._processor.id_to_piece(i) for i in range(len(self._processor))], lower)

    def encode(self, text: str) -> list[int]:
        """The ids of the pieces of a text."""
        ids: list[int] = []
        for line in self._processor.encode(self._lines(text), num_threads=1):
            ids += line
            ids.append(END)
        return ids[:-1]

    def encode_all(self, texts: Iterable[str]) -> Tokens:
        """The ids of many texts."""
        lines: list[str] = []
        counts = []
        for text in texts:
            own = self._lines(text)
            lines += own
            counts.append(len(own))
        encoded = iter(self._processor.encode(lines, num_threads=1))
        parts = []
        for count in counts:
            ids = [i for _ in range(count) for i in (*next(encoded), END)]
            parts.append(np.array(ids[:-1], dtype=np.int32))
        return Tokens.from_parts(parts)

    def pieces(self, text: str) -> list[str]:
        """The part of a text behind each id of `encode(text)`; together they are the text.

        Of a letter that is spelt in bytes, all but the last stand for nothing.
        """
        found: list[str] = []
        for line, lowered in zip(text.split("\n"), self._lines(text), strict=True):
            ids = self._processor.encode(lowered)
            surfaces = self._processor.encode(lowered, out_type=str)
            start = -1  # the space that sentencepiece puts before each line
            left = 0  # bytes of a letter that are still to come
            for i, surface in zip(ids, surfaces, strict=True):
                stop = start + len(surface)
                if self._processor.is_byte(i):
                    left = left - 1 if left else len(lowered[start].encode("utf-8", "surrogatepass")) - 1
                    stop = start + (left == 0)
                found.append(line[max(start, 0) : max(stop, 0)])
                start = stop
            found.append("\n")
        return found[:-1]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; `<eos>` is a line break."""
        lines: list[list[int]] = [[]]
        for i in ids:
            if i == END:
                lines.append([])
            elif i != PAD:
                lines[-1].append(i)
        return "\n".join(self._processor.decode(lines))

    def to_json(self) -> dict[str, Any]:
        """The vocabulary as a JSON object; the model in base 64."""
        return {"kind": self.kind, "lower": self.lower, "model": base64.b64encode(self._model).decode("ascii")}

    @classmethod
    def restored(cls, value: dict[str, Any]) -> Subwords:
        """The vocabulary that `to_json` described; ArtefactError when it is none."""
        try:
            subwords = cls(base64.b64decode(value["model"], validate=True), value["lower"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ArtefactError("the subword vocabulary is not one that Gatework writes. It is damaged.") from error
        if tuple(subwords.tokens[: len(SPECIAL)]) != SPECIAL or type(subwords.lower) is not bool:
            raise ArtefactError("the subword vocabulary is not one that Gatework writes. It is foreign.")
        return subwords

    def _lines(self, text: str) -> list[str]:
        return (lower_case(text) if self.lower else text).split("\n")


def learn_subwords(
    texts: Iterable[str] | Iterable[Sequence[str]], size: int | None = None, lower: bool = False
) -> Subwords:
    """A unigram model of the pieces of words in texts (Kudo 2018, arXiv 1804.10959), learned in memory.

    With 1024 tokens or more the 256 single bytes are among them, so that nothing is unknown. Where the text does not
    give as many pieces as are wanted the vocabulary is smaller; where it has too many characters, the rare ones are
    left out; of more than 5 million characters, an even part is learned from. All three are said.

    Args:
        texts: texts, or lists of words.
        size: tokens, the three special ones among them; default 8000.
        lower: make texts lower case.

    Raises:
        InputError: fewer than two distinct characters.
    """
    import sentencepiece

    lines = list(_lines(texts, lower))
    counts = count_characters(lines)
    if len(counts) < 2:
        held = f"one distinct character, {next(iter(counts))!r}," if counts else "no characters"
        raise InputError(f"the text holds {held} and nothing else. Expected two or more; add text.")
    wanted = size or _SIZE
    most = max((wanted - len(SPECIAL) - _BYTES * (wanted >= _ENOUGH)) * 3 // 4, 1)  # characters; the rest: pieces
    if len(counts) > most:
        rare = {ord(character): None for character, _ in counts.most_common()[most:]}
        lines = [line.translate(rare) for line in lines]
        share = sum(map(len, lines)) / counts.total()
        say(f"vocabulary: the {most} most frequent of {len(counts)} characters, {share:.2%} of the text")
    if counts.total() > _TEXT:
        step = -(-counts.total() // _TEXT)
        lines = lines[::step]
        say(f"vocabulary: learned from one line in {step} of {counts.total()} characters")
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=file,
        vocab_size=wanted,
        hard_vocab_limit=False,
        byte_fallback=wanted >= _ENOUGH,
        character_coverage=1.0,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        pad_id=0,
        unk_id=1,
        eos_id=2,
        bos_id=-1,
        pad_piece=SPECIAL[0],
        unk_piece=SPECIAL[1],
        eos_piece=SPECIAL[2],
        unk_surface=SPECIAL[1],
        num_threads=1,  # the same text gives the same model
        minloglevel=2,
    )
    learned = Subwords(file.getvalue(), lower)
    if len(learned) < wanted:
        say(f"vocabulary: {len(learned)} subwords, as many as the text gives ({wanted} were wanted)")
    return learned


def _lines(texts: Iterable[str] | Iterable[Sequence[str]], lower: bool) -> Iterator[str]:
    """The lines of texts, long ones in parts."""
    for text in texts:
        joined = text if isinstance(text, str) else " ".join(text)
        for line in (lower_case(joined) if lower else joined).split("\n"):
            yield from (line[start : start + _LINE] for start in range(0, len(line), _LINE))
