"""What a classifier knows beside its weights: words, classes, calibration; and how to run its networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from gatework.data.text import Documents, Tokens
from gatework.data.text.encoding import UNKNOWN
from gatework.data.wording import counted
from gatework.say import say
from gatework.tasks.classification.calibration import Calibration, best_temperature, warmed
from gatework.tasks.classification.classes import Classes
from gatework.tasks.classification.highlights import Highlight, group, hide, occlude
from gatework.tasks.classification.network import ClassifierNet, attention, probabilities
from gatework.tasks.classification.scores import Array, Truth, accuracy, log_loss
from gatework.tasks.classification.settings import Found
from gatework.tasks.text.inputs import Encoded, Inputs
from gatework.tasks.text.network import backbone, start_vectors

if TYPE_CHECKING:
    from gatework.tasks.text_classifier import TextClassifierConfig

METRIC = "log_loss"
_BEGINNING = 0.25  # of a text that is cut, what is kept of its beginning; the rest is its end


@dataclass
class FittedClassifier:
    """Everything that a classifier's networks need around them.

    Attributes:
        config: with nothing left open.
        classes: what there is to tell apart.
        inputs: how texts become numbers.
        calibration: of the probabilities.
        last_size: units of the last recurrent layer where a language model decided it.
        columns: names of the columns of texts and labels, where there are any.
        seen: hash of the labelled texts of the fit.
    """

    config: TextClassifierConfig
    classes: Classes
    inputs: Inputs
    calibration: Calibration
    last_size: int | None
    columns: Found
    seen: str

    def network(self, member: int, fresh: bool = False) -> ClassifierNet:
        """The untrained network of a member, counted from 0.

        With transfer, members read in the directions of the language models in turn. `fresh` starts from the file of
        word vectors, where the settings name one.
        """
        config = self.config
        directions = config.transfer.directions if config.transfer.asked else ()
        vectors = start_vectors(config.model, self.inputs.words.tokens) if fresh and not directions else None
        reader = backbone(
            config.model,
            *self.inputs.sizes(),
            bidirectional=False if directions else None,
            reverse=bool(directions) and directions[member % len(directions)] == "backward",
            last_size=self.last_size,
            vectors=vectors,
            transformer=self.inputs.transformer,
        )
        model = config.model
        pooling = "attention" if model.pooling == "auto" else model.pooling
        return ClassifierNet(
            reader, pooling, self.classes, model.head_size, model.head_dropout, opening=bool(directions)
        )

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Texts as numbers; of one that is longer than `longest` the beginning and the end."""
        ids, most = self.inputs.words.encode_all(texts), self.config.words.longest
        ids = shortened(ids, most)
        if self.inputs.characters is None and self.inputs.transformer is None:
            return Encoded(ids, ids)
        words = [[piece.strip() for piece in self.inputs.words.pieces(text)] for text in texts]
        return self.inputs.encode([ends(own, most) for own in words], ids)

    def say_unknown(self, texts: Encoded) -> None:
        """Say how many texts hold no word that the fit had: their answer is a guess."""
        known = torch.zeros(len(texts.lengths), dtype=torch.long)
        known.index_add_(0, torch.repeat_interleave(texts.lengths), (texts.ids.flat != UNKNOWN).long())
        empty = int((known == 0).sum())
        if empty:
            say(f"{counted(empty, 'text')} of {len(known)} without a single known word: the answer is a guess there")

    def raw(self, nets: Sequence[nn.Module], texts: Encoded) -> Array:
        """Probabilities [N, K] as the networks give them, averaged."""
        return probabilities(nets, texts, self.classes.several)

    def probabilities(self, nets: Sequence[nn.Module], texts: Encoded) -> Array:
        """Calibrated probabilities [N, K]."""
        return self.calibration.apply(self.raw(nets, texts), self.classes.several)

    def calibrate(self, nets: Sequence[nn.Module], held: Documents) -> None:
        """Fit the calibration on held-out texts, where the settings want one; what becomes of it is said."""
        if not self.config.calibrate:
            return
        self.calibration = Calibration.of(self.classes.targets(held), self.raw(nets, self.encode(held.texts)))
        if not self.calibration.samples:
            say("too few held-out texts to calibrate the probabilities")
            return
        thresholds = ", and a threshold for each label" if self.classes.several else ""
        say(
            f"probabilities calibrated on the held-out part: temperature {self.calibration.temperature:.2f}{thresholds}"
        )

    def validation(self, net: nn.Module, texts: Encoded, truth: Truth) -> dict[str, float]:
        """Scores of one network in training: the log loss at the best temperature, and the accuracy.

        An overconfident network is mended afterwards, so its confidence shall not decide which weights are kept.
        """
        raw = self.raw([net], texts)
        several = self.classes.several
        warm = warmed(raw, best_temperature(truth, raw), several)
        chosen = Calibration.none(len(self.classes) if several else 0).choose(warm)
        return {METRIC: log_loss(truth, warm), "accuracy": accuracy(truth, chosen)}

    def highlights(self, nets: Sequence[nn.Module], texts: Sequence[str], notes: Sequence[str]) -> list[Highlight]:
        """What each word of each text does to the most probable class; `notes` go into the headings."""
        return [
            self._highlight(nets, text, f"{number}. {note}")
            for number, (text, note) in enumerate(zip(texts, notes, strict=True), 1)
        ]

    def _highlight(self, nets: Sequence[nn.Module], text: str, note: str) -> Highlight:
        encoded = self.encode([text])
        pieces = ends(self.inputs.words.pieces(text), self.config.words.longest)
        found = self.probabilities(nets, encoded)[0]
        column = int(found.argmax())
        words = [[place] for place in range(len(pieces))] if self.inputs.words.kind == "word" else group(pieces)

        def changed(hidden: Sequence[Sequence[int]]) -> Array:
            return self.probabilities(nets, hide(encoded, hidden))

        effects = occlude(words, column, changed)
        weights = attention(nets, encoded, 0)
        return Highlight(
            f"{note}: {self.classes.names[column]} ({100 * found[column]:.0f} %)",
            tuple("".join(pieces[place] for place in places) for places in words),
            effects,
            () if weights is None else tuple(float(weights[places].sum()) for places in words),
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON; the settings are kept elsewhere."""
        return {
            "classes": self.classes.to_json(),
            "inputs": self.inputs.to_json(),
            "calibration": self.calibration.to_json(),
            "last_size": self.last_size,
            "columns": list(self.columns),
            "seen": self.seen,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], config: TextClassifierConfig) -> FittedClassifier:
        """What `to_json` gave; ValueError, KeyError or TypeError when it is not that."""
        last = value["last_size"]
        return cls(
            config,
            Classes.from_json(value["classes"]),
            Inputs.from_json(value["inputs"], config.model),
            Calibration.from_json(value["calibration"]),
            None if last is None else int(last),
            Found(*value["columns"]),
            str(value["seen"]),
        )


def shortened(tokens: Tokens, most: int) -> Tokens:
    """Lists of `most` ids at most: of a longer one its first quarter's worth and then its end."""
    lengths = tokens.lengths
    kept = lengths.clamp(max=most)
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), kept.cumsum(0)])
    columns = torch.arange(int(offsets[-1])) - torch.repeat_interleave(offsets[:-1], kept)
    skipped = torch.repeat_interleave(lengths - kept, kept) * (columns >= _beginning(most))
    return Tokens(tokens.flat[torch.repeat_interleave(tokens.offsets[:-1], kept) + columns + skipped], offsets)


def ends(pieces: Sequence[str], most: int) -> list[str]:
    """As `shortened`, of one list of pieces."""
    first = _beginning(most)
    return list(pieces) if len(pieces) <= most else [*pieces[:first], *pieces[len(pieces) - most + first :]]


def _beginning(most: int) -> int:
    return int(_BEGINNING * most)
