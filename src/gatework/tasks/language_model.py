"""Language models: characters, words or pieces of words; text is scored, and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import Field

from gatework.tasks.base import Task, TaskConfig
from gatework.tasks.language.settings import LanguageNetwork, LanguageTraining
from gatework.tasks.text.idle import LANGUAGE

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gatework.data.text import Documents, Vocabulary
    from gatework.tasks.evaluation import Evaluation
    from gatework.tasks.language.corpus import Corpus
    from gatework.tasks.language.fitted import FittedLanguage
    from gatework.tasks.language.generation import Generated
    from gatework.tasks.language.network import LanguageNet
    from gatework.tasks.language.surprisal import Surprisal
    from gatework.train.problem import Problem


class LanguageModelConfig(TaskConfig):
    """Settings of the language model."""

    tokens: Literal["auto", "char", "word", "subword"] = Field(
        default="auto", description="what the text is cut into; auto = by its size and look"
    )
    vocabulary_size: int | None = Field(
        default=None, ge=5, le=1_000_000, description="tokens at most, the most frequent; none = all, or chosen"
    )
    preset: Literal["good", "fast", "awd"] = Field(
        default="good", description="recipe for what is left open: good, fast, or the AWD-LSTM's (hours)"
    )
    direction: Literal["forward", "backward"] = Field(
        default="forward", description="backward models read from the end, for transfer and scores"
    )
    text_column: str | None = Field(default=None, description="column of a table that holds the text; none = found")
    softmax: Literal["full", "adaptive"] = Field(
        default="full", description="output layer; adaptive = rare tokens in clusters, for very large vocabularies"
    )
    tie: bool | None = Field(
        default=None, description="output layer and token vectors share their matrix; none = where widths allow"
    )
    holdout: int | None = Field(
        default=None,
        ge=0,
        le=50,
        description="held out: texts drawn at random, or the end where there are few; none = 10",
        json_schema_extra={"unit": "%"},
    )
    model: LanguageNetwork = LanguageNetwork()
    training: LanguageTraining = LanguageTraining()

    @property
    def last_size(self) -> int | None:
        """Units of the last recurrent layer where they are not `hidden_size`: as wide as the vectors it is tied to."""
        return self.model.embedding_size if self.tie and (self.model.num_layers or 1) > 1 else None


class LanguageModel(Task):
    """Learns to tell which character, word or piece of a word comes next: scores text, and writes it.

    model = LanguageModel().fit("corpus.txt")
    print(model.generate("Once upon a time", temperature=0.7))
    print(model.score("An ordinary sentence."))        # bits of every token; .page() is coloured text
    print(model.evaluate("other.txt"))                 # perplexity, bits per character, beside counting models

    Every setting of `LanguageModelConfig` is a keyword; `gatework config language-model` lists them.
    """

    Config = LanguageModelConfig
    takes_validation = True
    idle = LANGUAGE
    sample = ".txt"
    config_: LanguageModelConfig
    vocabulary_: Vocabulary

    def read(self, data: Any, validation: Any = None) -> Corpus:
        """The texts, and those held out."""
        from gatework.cells import find
        from gatework.tasks.language.corpus import Corpus, split

        config = self.config_
        find(config.model.cell)
        texts = self._documents(data).texts
        if validation is not None:
            return Corpus(texts, self._documents(validation).texts)
        return split(texts, 10 if config.holdout is None else config.holdout, config.training.seed)

    def decide(self, dataset: Corpus) -> LanguageModelConfig:
        """Vocabulary, and the settings that the text decides."""
        from gatework.tasks.language.recipe import choose, kind_of, vocabulary_of

        kind = kind_of(dataset) if self.config_.tokens == "auto" else self.config_.tokens
        self.vocabulary_ = vocabulary_of(self.config_, dataset, kind)
        return choose(self.config_, kind, len(self._stream(dataset.train)), bool(dataset.held))

    def problem(self, dataset: Corpus, seed: int, whole: bool) -> Problem:
        """Truncated backpropagation over the stream, validated on the held-out one."""
        from gatework.tasks.language.network import language_problem

        train = self._stream([*dataset.train, *(dataset.held if whole else [])])
        held = self._stream(dataset.held) if dataset.held and not whole else None
        return language_problem(self.config_, self.vocabulary_, train, held, seed)

    def conclude(self, dataset: Corpus) -> Evaluation | None:
        """Count the baselines, and score the held-out texts."""
        from gatework.tasks.language.fitted import COUNTS
        from gatework.tasks.language.ngrams import Trigrams

        counts = Trigrams.of(self._stream(dataset.train).numpy(), len(self.vocabulary_))
        self.run_.write_tensors(COUNTS, counts.to_tensors())
        return self._fitted().evaluation(dataset.held, "held-out text") if dataset.held else None

    def predict(self, data: Any) -> Any:
        """A table with a row for each text: how many tokens it has, and how much each surprises in the mean.

        Args:
            data: as for `fit`; every text is read from a fresh state.
        """
        from gatework.tasks.text.answers import frame

        return frame(self._fitted().columns(self._documents(data)), data)

    def evaluate(
        self,
        data: Any,
        dynamic: float = 0.0,
        pull: float = 0.0,
        cache: int = 0,
        cache_weight: float = 0.1,
        cache_sharpness: float = 0.3,
    ) -> Evaluation:
        """Perplexity and bits per character of the whole stream of `data`, read in one state.

        Args:
            data: as for `fit`.
            dynamic: step of dynamic evaluation, such as 0.001: weights adapt to what was read; 0 = off.
            pull: how far they go back at each step, 0 to 1.
            cache: tokens that a neural cache looks back, such as 500; 0 = off.
            cache_weight: share of the cache in the probabilities, 0 to 1.
            cache_sharpness: how much likeness counts in the cache; 0 = all tokens in it alike.

        Returns:
            scores beside counting models'; also saved, with plots, in evaluations/. The saved model stays as it is.
        """
        from gatework.tasks.language.dynamic import Adaptation

        adaptation = Adaptation(dynamic, pull, cache, cache_weight, cache_sharpness)
        return self.record_evaluation(self._fitted().evaluation(self._documents(data).texts, "the text", adaptation))

    def score(self, text: str) -> Surprisal:
        """The surprisal of every token of `text`, read from a fresh state; its `page()` shows it as coloured text."""
        return self._fitted().surprisal(text)

    def generate(
        self,
        prompt: str | Sequence[str] = "",
        limit: int = 200,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        typical: float = 1.0,
        repetition_penalty: float = 1.0,
        no_repeat: int = 0,
        beams: int = 0,
        length_power: float = 1.0,
        stop: Sequence[str] = (),
        samples: int | None = None,
        alternatives: int = 0,
        seed: int = 0,
    ) -> Generated | list[Generated]:
        """Text that goes on from `prompt`.

        Args:
            prompt: a text, or several, of any length; "" starts a text. What a prompt gives does not depend on others.
            limit: tokens at most.
            temperature: below 1 safer, above 1 wilder; 0 = always the most probable token.
            top_k: draw from so many of the most probable tokens; 0 = all.
            top_p: draw from the most probable tokens that together have this probability; 1 = all.
            min_p: draw from tokens at least so probable, as a share of the most probable one; 0 = all.
            typical: draw from the most typical tokens that together have this probability; 1 = all.
            repetition_penalty: factor on the log-probabilities of the last 1024 tokens; above 1 they become rarer.
            no_repeat: no run of so many tokens comes twice; 0 = off.
            beams: hypotheses of a beam search for the most probable text, instead of drawing; 0 = draw.
            length_power: of a beam search, how far longer texts are favoured; 0 = not at all.
            stop: strings before which the text ends.
            samples: texts for each prompt; none = one.
            alternatives: how many of the most probable tokens to note at each place.
            seed: of all random choices.

        Returns:
            The text without the prompt, a string that knows its tokens and their log-probabilities; a list of them
            where several prompts or samples are asked for.
        """
        options = {name: value for name, value in locals().items() if name not in ("self", "prompt", "samples")}
        return self._fitted().writer(options).generate(prompt, samples, **options)

    def stream(self, prompt: str = "", **options: Any) -> Iterator[str]:
        """The text that `generate` would give, piece by piece as it is written, in memory that does not grow.

        Args:
            prompt: a text.
            options: those of `generate` but for beams, length_power, samples and alternatives.
        """
        return self._fitted().writer(options).stream(prompt, **options)

    def _documents(self, data: Any) -> Documents:
        from gatework.data.text import read_corpus

        return read_corpus(data, text_column=self.config_.text_column)

    def _stream(self, texts: Sequence[str]) -> Tensor:
        from gatework.tasks.language.corpus import stream

        return stream(self.vocabulary_, texts, self.config_.direction)

    def _fitted(self) -> FittedLanguage:
        from gatework.tasks.language.fitted import FittedLanguage

        self.check_trained()
        nets = cast("list[LanguageNet]", list(self.nets_))
        return FittedLanguage(nets, self.vocabulary_, self.config_.direction, self.run_)

    def learned(self) -> dict[str, Any]:
        """The vocabulary."""
        return {"vocabulary": self.vocabulary_.to_json()}

    def restore(self, learned: dict[str, Any]) -> Callable[[], nn.Module]:
        """Take it back; the network follows from settings and its size."""
        from gatework.data.text import Vocabulary
        from gatework.tasks.language.network import language_network

        self.vocabulary_ = Vocabulary.from_json(learned["vocabulary"])
        return lambda: language_network(self.config_, self.vocabulary_)

    @classmethod
    def synthesise(cls, seed: int = 0) -> Any:
        """Sentences of a small grammar, a line each, as a pandas frame."""
        import pandas as pd

        from gatework.data.text import synthetic_corpus

        return pd.DataFrame({"text": synthetic_corpus(seed).splitlines()})
