"""Writing with trained networks: prompts to ids, options to an order, ids back to text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from gatework.data.text.encoding import END, PAD, UNKNOWN
from gatework.errors import InputError
from gatework.say import say
from gatework.tasks.language.beam import beam_search
from gatework.tasks.language.generation import Generated, Order, Prompt, generate, pieces
from gatework.tasks.language.reading import Reader
from gatework.tasks.language.sampling import Sampling, whole_number

if TYPE_CHECKING:
    from gatework.data.text import Vocabulary
    from gatework.tasks.language.corpus import Direction
    from gatework.tasks.language.network import LanguageNet

_DRAW = [field.name for field in fields(Sampling)]
_MOST_BEAMS = 1000
_SHOWN = 10  # unknown characters or words of a prompt that are named


class Writer:
    """Writes text with trained networks.

    Args:
        nets: networks whose probabilities are averaged.
        vocabulary: of their tokens.
        direction: "backward" networks cannot write.

    Raises InputError for backward networks.
    """

    def __init__(self, nets: Sequence[LanguageNet], vocabulary: Vocabulary, direction: Direction) -> None:
        if direction == "backward":
            raise InputError(
                "this model reads from the end (direction=backward): it scores text, but cannot go on with a prompt. "
                "Train one with direction=forward."
            )
        self._reader, self._vocabulary = Reader(nets), vocabulary

    def generate(
        self, prompt: str | Sequence[str], samples: int | None, beams: int, length_power: float, **options: Any
    ) -> Generated | list[Generated]:
        """See `LanguageModel.generate`."""
        one = isinstance(prompt, str)
        prompts = list(prompt) if isinstance(prompt, list | tuple) else [prompt]
        order = self._order(**options)
        if samples is not None:
            whole_number("samples", samples, 1)
        whole_number("beams", beams, 0, _MOST_BEAMS)
        if isinstance(length_power, bool) or not isinstance(length_power, int | float) or not 0 <= length_power <= 10:
            raise InputError(f"length_power is {length_power!r}; expected a number, 0 to 10.")
        read = [self._read(text) for text in prompts]
        count = samples or 1
        if beams and count > beams:
            raise InputError(
                f"samples is {count}, but a beam search of {beams} ends with {beams} texts; take more beams."
            )
        if beams:
            best = [beam_search(self._reader, self._vocabulary, own, beams, order, length_power) for own in read]
            found = [text for texts in best for text in texts[:count]]
        else:
            wanted = [own._replace(sample=number) for own in read for number in range(count)]
            found = generate(self._reader, self._vocabulary, wanted, order)
        return found[0] if one and samples is None else found

    def stream(self, prompt: str, **options: Any) -> Iterator[str]:
        """See `LanguageModel.stream`; what is wrong is told at once, not with the first piece."""
        known = {*_DRAW, "limit", "stop", "seed"}
        if unknown := [name for name in options if name not in known]:
            raise InputError(f"stream() does not take {', '.join(unknown)}; it takes {', '.join(sorted(known))}.")
        found = pieces(self._reader, self._vocabulary, [self._read(prompt)], self._order(**options))
        return (piece.text for piece in found if piece.text)

    def _order(
        self, limit: int = 200, stop: Sequence[str] = (), seed: int = 0, alternatives: int = 0, **draw: Any
    ) -> Order:
        stops = (stop,) if isinstance(stop, str) else tuple(stop)
        ends = frozenset({END} if self._vocabulary.kind == "char" else ())  # elsewhere it is a line break
        return Order(limit, Sampling(**draw), stops, ends, (PAD, UNKNOWN), alternatives, seed)

    def _read(self, prompt: object) -> Prompt:
        if not isinstance(prompt, str):
            raise InputError(f"prompt is {type(prompt).__name__}; expected a string, or several in a list.")
        text = prompt if self._vocabulary.kind == "char" else prompt.rstrip(" ")  # elsewhere a space begins a token
        ids = self._vocabulary.encode(text)
        if UNKNOWN in ids:
            read = zip(self._vocabulary.pieces(text), ids, strict=True)
            unknown = list(dict.fromkeys(piece.strip() or piece for piece, number in read if number == UNKNOWN))
            more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
            say(f"the prompt has what the model never saw: {', '.join(map(repr, unknown[:_SHOWN]))}{more}")
        return Prompt([END, *ids], spaced=text != prompt)
