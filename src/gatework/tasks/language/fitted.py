"""A trained language model, its networks and its vocabulary: what it says of texts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from gatework.data.text.encoding import END, UNKNOWN
from gatework.errors import InputError
from gatework.say import say
from gatework.tasks.evaluation import Evaluation
from gatework.tasks.language import corpus
from gatework.tasks.language.dynamic import Adaptation
from gatework.tasks.language.network import LanguageNet
from gatework.tasks.language.ngrams import Trigrams
from gatework.tasks.language.options import check_options
from gatework.tasks.language.reading import averaged, surprisal_of_each, surprisals_and_ranks
from gatework.tasks.language.scores import by_frequency, check_known, measures
from gatework.tasks.language.surprisal import Surprisal
from gatework.tasks.language.writer import Writer

if TYPE_CHECKING:
    from gatework.data.text import Documents, Vocabulary
    from gatework.run import Run

COUNTS = "model/trigrams.safetensors"


@dataclass(frozen=True)
class FittedLanguage:
    """Everything that texts are scored and written with.

    Attributes:
        nets: networks whose probabilities are averaged.
        vocabulary: of their tokens.
        direction: in which they read.
        run: holds the counts of the training text, for baselines.
    """

    nets: Sequence[LanguageNet]
    vocabulary: Vocabulary
    direction: corpus.Direction
    run: Run

    def evaluation(self, texts: Sequence[str], title: str, adaptation: Adaptation | None = None) -> Evaluation:
        """Scores and baselines of texts, read one after the other in one state.

        Args:
            texts: 1 or more.
            title: what is evaluated.
            adaptation: what the networks learn while they read; None = nothing.

        Raises:
            InputError: hardly a token of the texts is in the vocabulary.
        """
        ids = corpus.stream(self.vocabulary, texts, self.direction)
        check_known(ids, title)
        own = (adaptation or Adaptation()).surprisals
        nats = -averaged([-own(net, ids) for net in self.nets]).double().numpy()
        counts = Trigrams.from_tensors(self.run.read_tensors(COUNTS), len(self.vocabulary))
        found = {"unigram": counts.unigram(ids.numpy()), "trigram": counts.trigram(ids.numpy())}
        tokens = len(nats)
        return Evaluation(
            title=f"{title}: {tokens} tokens, {corpus.length(texts)} characters",
            scores=measures(float(nats.sum()), tokens, texts),
            baselines={name: measures(float(values.sum()), tokens, texts) for name, values in found.items()},
            figures={"surprisal_by_frequency": by_frequency(nats, ids.numpy()[1:], found, counts)},
        )

    def surprisal(self, text: str) -> Surprisal:
        """The surprisal of every token of a text, read from a fresh state.

        Raises:
            InputError: the text is empty, or hardly a token of it is in the vocabulary.
        """
        if not isinstance(text, str) or not text:
            raise InputError(f"text is {text!r}; expected a string of 1 character or more.")
        own = torch.tensor(self.vocabulary.encode(text))
        backward = self.direction == "backward"
        ids = torch.cat([torch.tensor([END]), own.flip(0) if backward else own])
        check_known(ids, "the text")
        nats, ranks = (part.flip(0) if backward else part for part in surprisals_and_ranks(self.nets, ids))
        unknown = (own == UNKNOWN).numpy()
        return Surprisal(text, self.vocabulary.pieces(text), nats.double().numpy(), ranks.numpy(), unknown)

    def columns(self, documents: Documents) -> dict[str, list[Any]]:
        """A table with a row for each text: where it is from, tokens, unknown ones, characters, bits, and means."""
        streams = [corpus.stream(self.vocabulary, [text], self.direction) for text in documents.texts]
        totals = surprisal_of_each(self.nets, streams)
        tokens = [len(ids) - 1 for ids in streams]
        unknown = [int((ids == UNKNOWN).sum()) for ids in streams]
        if any(unknown):
            say(f"{sum(unknown)} of {sum(tokens)} tokens are not in the vocabulary; their spelling is not in the count")
        bits = [total / math.log(2) for total in totals]
        lengths = [corpus.length([text]) for text in documents.texts]
        return {
            "text": list(documents.places),
            "tokens": tokens,
            "unknown": unknown,
            "characters": lengths,
            "bits": bits,
            "bits_per_character": [own / length for own, length in zip(bits, lengths, strict=True)],
            "perplexity": [math.exp(min(total / count, 700.0)) for total, count in zip(totals, tokens, strict=True)],
        }

    def writer(self, options: Mapping[str, Any]) -> Writer:
        """What goes on with prompts; InputError for networks that read backward, ConfigError for idle options."""
        check_options(options)
        return Writer(self.nets, self.vocabulary, self.direction)
