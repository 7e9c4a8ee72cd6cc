"""Text classification: sentiment, topics, emotions, stars; with transfer from unlabelled text where that is wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from gatework.say import say
from gatework.tasks.base import Task, TaskConfig
from gatework.tasks.classification.settings import ClassifierNetwork, ClassifierTraining, LabelledText, Tokenising
from gatework.tasks.text.idle import CLASSIFIER
from gatework.tasks.text.transfer import Transfer

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from gatework.tasks.classification.baselines import Baselines
    from gatework.tasks.classification.fitted import FittedClassifier
    from gatework.tasks.classification.parts import Parts
    from gatework.tasks.evaluation import Evaluation
    from gatework.tasks.text.transfer import Origin
    from gatework.train.jobs import Job
    from gatework.train.problem import Problem


class TextClassifierConfig(TaskConfig):
    """Settings of the text classifier."""

    kind: Literal["auto", "binary", "multi-class", "multi-label", "ordinal"] = Field(
        default="auto",
        description="one class a text, several labels, or ranks such as stars; auto = from the labels, never ranks",
    )
    classes: tuple[str, ...] = Field(
        default=(), description="all classes, ranks from the lowest up; none = those in the data"
    )
    class_weights: Literal["none", "balanced"] = Field(
        default="none", description="balanced = rare classes weigh as much as frequent ones in training"
    )
    calibrate: bool = Field(
        default=True, description="fit a temperature, and the thresholds of labels, on the held-out part"
    )
    holdout: int | None = Field(
        default=None,
        ge=0,
        le=50,
        description="of every class, to stop early, calibrate and score, where no validation data are given; none = 10",
        json_schema_extra={"unit": "%"},
    )
    columns: LabelledText = LabelledText()
    words: Tokenising = Tokenising()
    model: ClassifierNetwork = ClassifierNetwork()
    transfer: Transfer = Transfer()
    training: ClassifierTraining = ClassifierTraining()


class TextClassifier(Task):
    """Sorts texts into classes, several labels or ranks, with calibrated probabilities.

    model = TextClassifier().fit("reviews.csv")
    model.predict(["A quiet, lovely film."])               # label, confidence, a probability for each class
    print(model.evaluate("test.csv"))                      # beside TF-IDF + logistic regression
    model.predict("new.csv", highlights="words.html")      # which words decided

    `TextClassifier(pretrain="more.txt")` trains a language model on unlabelled text first and goes on from it. Every
    setting of `TextClassifierConfig` is a keyword; `gatework config text-classifier` lists them.
    """

    Config = TextClassifierConfig
    takes_validation = True
    idle = CLASSIFIER
    config_: TextClassifierConfig
    fitted_: FittedClassifier
    origin_: Origin | None
    baselines_: Baselines

    def read(self, data: Any, validation: Any = None) -> Parts:
        """Labelled texts, a part held out, and the unlabelled texts of a pre-training."""
        from gatework.cells import find
        from gatework.tasks.classification.choices import PERCENT
        from gatework.tasks.classification.parts import Parts

        config = self.config_
        find(config.model.cell)
        documents, unlabelled = config.columns.read(data), config.transfer.read()
        held = None if validation is None else config.columns.read(validation, documents, argument="validation")
        percent = PERCENT if config.holdout is None else config.holdout
        return Parts.of(documents, held, unlabelled, percent, config.training.seed)

    def decide(self, dataset: Parts) -> TextClassifierConfig:
        """Classes, vocabulary and the settings that the data decide; the baselines, before anything is trained."""
        from gatework.tasks.classification.baselines import Baselines
        from gatework.tasks.classification.choices import choose
        from gatework.tasks.classification.classes import Classes

        config = self.config_
        classes = Classes.of(dataset.given, config.kind, config.classes, config.columns.label_separator)
        self.fitted_, self.origin_ = choose(config, dataset, classes)
        self.baselines_ = Baselines.of(dataset.train, classes, config.training.seed)
        return self.fitted_.config

    def preparations(self, dataset: Parts) -> list[Job]:
        """The trainings of the language models to begin from."""
        if self.origin_ is None or not self.config_.transfer.pretrain:
            return []
        held = [] if dataset.held is None else dataset.held.texts
        return self.origin_.preparations(dataset.every_text, held, self.config_.training.seed)

    def problem(self, dataset: Parts, seed: int, whole: bool) -> Problem:
        """Texts of like length in a batch; validated by the log loss of the held-out part."""
        from gatework.tasks.classification.problem import classifier_problem

        train, held = (dataset.whole, None) if whole else (dataset.train, dataset.held)
        return classifier_problem(self.fitted_, train, held, seed, self.origin_, self.prepared_)

    def conclude(self, dataset: Parts) -> Evaluation | None:
        """Calibrate on the held-out texts, score them, and show what decided the worst mistakes."""
        from gatework.data.wording import counted
        from gatework.tasks.classification.report import evaluation

        self.baselines_.save(self.run_)
        held, fitted = dataset.held, self.fitted_
        if held is None:
            say("nothing is held out: there is no score, and the probabilities are not calibrated")
            return None
        fitted.calibrate(list(self.nets_), held)
        title = f"held-out part: {counted(len(held), 'text')} (also used to stop early and to calibrate)"
        return evaluation(fitted, list(self.nets_), held, self.baselines_, title)

    def predict(self, data: Any, highlights: str | Path | None = None) -> Any:
        """The class of every text, and the probability of each class.

        Args:
            data: a frame or file with the column of texts that the fit had, a text a line (.txt), texts, or one text.
            highlights: an HTML file to write, which shows what each word does to the prediction (50 texts at most).

        Returns:
            A frame of the kind of `data` (pandas for a path or a list), a row a text in the order of `data`: `label`
            (several are joined by the separator), `confidence` (the probability of the most probable class), and
            `p_<class>` for each class. All are calibrated; of one class a text they sum to 1.

        Raises:
            InputError: the column of texts is missing, a text is empty, a file cannot be read.
        """
        from gatework.run import write_text
        from gatework.tasks.classification.report import answers, words_page
        from gatework.tasks.text.answers import frame

        self.check_trained()
        fitted = self.fitted_
        documents = self.config_.columns.read(data, fitted.columns, labelled=False)
        columns = answers(fitted, list(self.nets_), documents)
        if highlights is not None:
            write_text(highlights, words_page(fitted, list(self.nets_), documents))
        return frame(columns, data)

    def evaluate(self, data: Any) -> Evaluation:
        """Scores on labelled texts.

        Args:
            data: as for `fit`.

        Returns:
            Accuracy, macro F1, log loss and calibration error (of labels also micro F1 and subset accuracy, of ranks
            the error in ranks and quadratic kappa) beside the most frequent class and TF-IDF + logistic regression;
            also saved, with plots and the worst mistakes, in the run's evaluations/.

        Raises:
            InputError: a label that the fit did not have, a column that is missing, a text that is empty.
        """
        from gatework.data.wording import counted
        from gatework.tasks.classification.baselines import Baselines
        from gatework.tasks.classification.report import evaluation

        self.check_trained()
        fitted = self.fitted_
        documents = self.config_.columns.read(data, fitted.columns)
        if documents.data_hash() == fitted.seen:
            say("these are the data of the training: the scores are those of a model that has seen them")
        baselines = Baselines.load(self.run_, fitted.classes)
        title = counted(len(documents), "text")
        return self.record_evaluation(evaluation(fitted, list(self.nets_), documents, baselines, title))

    def learned(self) -> dict[str, Any]:
        """Vocabulary, classes, columns and calibration."""
        return self.fitted_.to_json()

    def restore(self, learned: dict[str, Any]) -> Callable[[], nn.Module]:
        """Take them back; the networks follow from settings and sizes, one member after the other."""
        import itertools

        from gatework.tasks.classification.fitted import FittedClassifier

        self.fitted_ = FittedClassifier.from_json(learned, self.config_)
        members = itertools.count()
        return lambda: self.fitted_.network(next(members))

    @classmethod
    def synthesise(cls, seed: int = 0) -> Any:
        """Reviews, good and bad, as a pandas frame of text and label."""
        from gatework.data.text import synthetic_reviews

        return synthetic_reviews(seed)
