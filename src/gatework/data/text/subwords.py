"""Pieces of words, learned from the user's own text by sentencepiece."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gatework.data.text.encoding import END, PAD, SPECIAL
from gatework.data.text.vocabulary import Vocabulary
from gatework.errors import ArtefactError

_SIZE = 8000


class Subwords(Vocabulary):
    """Pieces of words; a line break is `<eos>`. Spaces are kept, so that known text is given back as it was.

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
        lines = (text.lower() if self.lower else text).split("\n")
        ids: list[int] = []
        for line in self._processor.encode(lines):
            ids += line
            ids.append(END)
        return ids[:-1]

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
            raise ArtefactError("the subword vocabulary is not one that Gatework writes; restore it.") from error
        if tuple(subwords.tokens[: len(SPECIAL)]) != SPECIAL:
            raise ArtefactError("the subword vocabulary lacks Gatework's special tokens; restore it.")
        return subwords


def learn_subwords(
    texts: Iterable[str] | Iterable[Sequence[str]], size: int | None = None, lower: bool = False
) -> Subwords:
    """A unigram model of the pieces of words in texts (Kudo 2018, arXiv 1804.10959), learned in memory."""
    import sentencepiece

    lines = list(_lines(texts, lower))
    wanted = size or _SIZE
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=file,
        vocab_size=wanted,
        hard_vocab_limit=False,
        pad_id=0,
        unk_id=1,
        eos_id=2,
        bos_id=-1,
        pad_piece=SPECIAL[0],
        unk_piece=SPECIAL[1],
        eos_piece=SPECIAL[2],
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        character_coverage=1.0,
        minloglevel=2,
        num_threads=1,
    )
    return Subwords(file.getvalue(), lower)


def _lines(texts: Iterable[str] | Iterable[Sequence[str]], lower: bool) -> Iterator[str]:
    for text in texts:
        joined = text if isinstance(text, str) else " ".join(text)
        yield from filter(None, (joined.lower() if lower else joined).split("\n"))
