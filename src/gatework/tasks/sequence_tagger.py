"""Sequence tagging: parts of speech, entities, slots, or a label for each letter of a sequence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from gatework.errors import InputError
from gatework.say import say
from gatework.tasks.base import Task, TaskConfig
from gatework.tasks.tagging.settings import PERCENT, TagSettings
from gatework.tasks.text.idle import TAGGER
from gatework.tasks.text.network import TwoWayNetwork
from gatework.tasks.text.transfer import Transfer
from gatework.train.settings import Training

if TYPE_CHECKING:
    from torch import nn

    from gatework.data.text import Tagged
    from gatework.tasks.evaluation import Evaluation
    from gatework.tasks.tagging.lexicon import Lexicon
    from gatework.tasks.tagging.tagged_set import TaggedSet
    from gatework.train.jobs import Job
    from gatework.train.problem import Problem

_MOST_WAYS = 100


class TaggerNetwork(TwoWayNetwork):
    """The network's shape."""

    hidden_size: int = Field(default=128, ge=1, le=8192, description="units of a recurrent layer and direction")
    embedding_size: int = Field(default=100, ge=1, le=8192, description="numbers of a token's vector")
    input_dropout: float | None = Field(  # type: ignore[assignment]
        default=None, ge=0, lt=1, description="share of values dropped before the first layer; none = chosen"
    )
    word_dropout: float | None = Field(  # type: ignore[assignment]
        default=None, ge=0, lt=1, description="share of the vocabulary dropped from each batch; none = chosen"
    )
    output_dropout: float = Field(default=0.5, ge=0, lt=1, description="share of values dropped after the last layer")
    character_filters: int = Field(
        default=20, ge=0, le=4096, description="numbers read from each word's spelling, for each width; 0 = none"
    )
    character_size: int = Field(default=24, ge=1, le=1024, description="numbers of a character's vector")
    character_widths: tuple[Annotated[int, Field(ge=1, le=32)], ...] = Field(
        default=(2, 3, 4),
        description="characters that a filter sees at once",
        json_schema_extra={"unit": "characters"},
    )
    mark_size: int | None = Field(
        default=None,
        ge=0,
        le=1024,
        description="numbers of a vector for each mark of a word: its shape (XX-d), its first and last 2, 3 and 4 "
        "letters; 0 = not read, none = chosen",
    )


class TaggerTransfer(Transfer):
    """Language models whose outputs at each word stand beside its vector."""

    direction: Literal["forward", "backward", "both"] = Field(
        default="both", description="how the language models read; both = one of each, side by side"
    )


class SequenceTaggerConfig(TaskConfig):
    """Settings of the sequence tagger."""

    crf: bool | Literal["auto"] = Field(
        default="auto", description="learn how tags follow each other (CRF); auto = where tags spell entities"
    )
    unknown: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="probability that training reads a word seen once as an unknown one; none = chosen",
    )
    lower: bool | Literal["auto"] = Field(
        default="auto",
        description="read words in small letters, their spelling as it is; auto = where spelling is read",
    )
    zeros: bool = Field(default=False, description="read the digits of words as 0; their spelling stays as it is")
    least: int = Field(default=1, ge=1, description="times a word must occur to have a vector of its own")
    holdout: int | None = Field(
        default=None,
        ge=0,
        le=50,
        description="sentences held out to stop early and to score, where no validation data are given; none = 10",
        json_schema_extra={"unit": "%"},
    )
    tags: TagSettings = TagSettings()
    model: TaggerNetwork = TaggerNetwork()
    transfer: TaggerTransfer = TaggerTransfer()
    training: Training = Training()


class SequenceTagger(Task):
    """Tags every token of a sequence: parts of speech, entities, slots, letters of a protein.

    model = SequenceTagger().fit("train.conll", validation="dev.conll")
    model.predict("new.txt", spans=True)        # sentence, first, last, text, type, confidence
    print(model.evaluate("test.conll"))         # F1 beside the most frequent tag of each word

    Every setting of `SequenceTaggerConfig` is a keyword; `gatework config sequence-tagger` lists them.
    """

    Config = SequenceTaggerConfig
    takes_validation = True
    idle = TAGGER
    sample = ".conll"
    config_: SequenceTaggerConfig
    lexicon_: Lexicon

    def read(self, data: Any, validation: Any = None) -> TaggedSet:
        """Tagged sentences: a CoNLL file, jsonl or table, pairs of tokens and tags; checked, one part held out."""
        from gatework.cells import find
        from gatework.tasks.tagging.tagged_set import TaggedSet

        config = self.config_
        find(config.model.cell)
        percent = PERCENT if config.holdout is None else config.holdout
        dataset = TaggedSet.read(data, validation, config.tags, percent, config.training.seed)
        return replace(dataset, unlabelled=config.transfer.read())

    def decide(self, dataset: TaggedSet) -> SequenceTaggerConfig:
        """The settings that the data decide."""
        from gatework.tasks.tagging.choices import choose, learn

        config = choose(self.config_, dataset)
        self.lexicon_ = learn(config, dataset)
        return config

    def preparations(self, dataset: TaggedSet) -> list[Job]:
        """Language models to begin from, where they are to be trained."""
        origin, held = self.lexicon_.origin, dataset.held
        if origin is None or not self.config_.transfer.pretrain:
            return []
        texts = [] if held is None else [" ".join(words) for words in held.sentences]
        return origin.preparations(dataset.texts, texts, self.config_.training.seed)

    def problem(self, dataset: TaggedSet, seed: int, whole: bool) -> Problem:
        """Sentences of like length in a batch; scored on the held-out part by F1, or accuracy where no entities are."""
        from gatework.tasks.tagging.problem import tagging_problem

        held = None if whole else dataset.held
        return tagging_problem(self.config_, self.lexicon_, dataset.part(whole), held, seed, self.prepared_)

    def conclude(self, dataset: TaggedSet) -> Evaluation | None:
        """Score the held-out part."""
        if dataset.held is None:
            say("nothing is held out (holdout is 0): no score")
            return None
        return self._scored(dataset.held, "held-out part: ")

    def predict(self, data: Any, spans: bool = False, nbest: int = 1) -> Any:
        """Tag sentences.

        Args:
            data: sentences without tags, or with some that are not looked at: CoNLL file, jsonl, table, raw text (a
                sentence a line, cut into words), a list of texts or of lists of tokens.
            spans: answer with a row for each entity instead of each token.
            nbest: ways to tag each sentence, the most probable first, 1 to 100; from 2 on with a column `rank`.

        Returns:
            A frame of the kind of `data` (pandas for a path or a list): sentence (from 1), token, tag, confidence; or
            with `spans` sentence, first and last token (from 1), text, type, confidence. A confidence is the
            probability of this tag or entity over all ways to tag the sentence.

        Raises:
            InputError: the data cannot be read, `nbest` is out of range, or `spans` of tags that spell no entities.
        """
        from gatework.tasks.tagging.answers import entity_columns, token_columns
        from gatework.tasks.tagging.decoding import sequences
        from gatework.tasks.text.answers import frame

        self.check_trained()
        if isinstance(nbest, bool) or not isinstance(nbest, int) or not 1 <= nbest <= _MOST_WAYS:
            raise InputError(f"nbest is {nbest!r}; expected a whole number from 1 to {_MOST_WAYS}.")
        if spans and self.config_.tags.scheme == "plain":
            raise InputError("spans=True, but the tags of this run spell no entities; leave it out.")
        sentences = self.config_.tags.read(data, labelled=False).sentences
        read = self.lexicon_.encode(sentences)
        read.say_unknown()
        found = sequences(list(self.nets_), self.lexicon_, read, nbest)
        columns = (entity_columns if spans else token_columns)(sentences, found, nbest > 1)
        return frame(columns, data)

    def evaluate(self, data: Any) -> Evaluation:
        """Score the tags of sentences.

        Args:
            data: tagged sentences, as for `fit`. Tags that the training data lack count as wrong, and are said.

        Returns:
            F1, precision and recall of entities as conlleval and seqeval count them, or accuracy where tags spell none,
            beside the most frequent tag of each word; also saved, with plots and tables of every kind, of the worst
            sentences and of all predictions, in the run's evaluations/.
        """
        from gatework.tasks.tagging.tagged_set import checked, filled, say_unknown

        self.check_trained()
        tags = self.config_.tags
        tagged = checked(filled(tags.read(data)), tags.scheme, tags.repair)
        say_unknown(tagged, self.lexicon_.tags, tags.scheme, "the data")
        return self.record_evaluation(self._scored(tagged))

    def _scored(self, tagged: Tagged, name: str = "") -> Evaluation:
        from gatework.data.wording import counted
        from gatework.tasks.tagging.decoding import best_tags
        from gatework.tasks.tagging.report import Tagging

        lexicon = self.lexicon_
        found = best_tags(list(self.nets_), lexicon, lexicon.encode(tagged.sentences))
        simple, known = lexicon.usual(tagged.sentences), frozenset(lexicon.usual.tags)
        truth = tagged.tags or []
        tagging = Tagging(tagged.sentences, truth, found, simple, lexicon.given, known, tagged.places)
        tokens = sum(map(len, truth))
        return tagging.evaluation(f"{name}{counted(len(tagged), 'sentence')}, {counted(tokens, 'token')}")

    def learned(self) -> dict[str, Any]:
        """Words, tags and the baseline."""
        return self.lexicon_.to_json()

    def restore(self, learned: dict[str, Any]) -> Callable[[], nn.Module]:
        """Take them back; the network follows from settings and sizes."""
        from gatework.tasks.tagging.lexicon import Lexicon
        from gatework.tasks.tagging.problem import tagger

        self.lexicon_ = Lexicon.from_json(learned, self.config_.model)
        return lambda: tagger(self.config_, self.lexicon_)

    @classmethod
    def synthesise(cls, seed: int = 0) -> Any:
        """Sentences with people and places, as a pandas frame of sentence, token and tag."""
        import pandas as pd

        from gatework.data.text import synthetic_tagged

        tagged = synthetic_tagged(seed)
        rows = [
            (number, token, tag)
            for number, (words, tags) in enumerate(zip(tagged.sentences, tagged.tags or [], strict=True), 1)
            for token, tag in zip(words, tags, strict=True)
        ]
        return pd.DataFrame(rows, columns=["sentence", "token", "tag"])
