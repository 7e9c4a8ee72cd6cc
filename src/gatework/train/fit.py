"""The training loop: one readable loop over Lightning Fabric, resumable bit for bit from any step.

    outcome = fit(Problem(net, loss, sampler, batch, validate), Training(max_epochs=10), run=run)

Everything that decides the next step stands in `Loop.state()`: weights, optimiser, random states, the sampler's place,
the average, the best weights, what early stopping has counted, time spent. It is saved every few seconds and on Ctrl-C.
Only a `time_limit` makes the path depend on the machine's speed, and so not repeatable to the bit.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, NoReturn

import torch
from torch import Tensor

from gatework.say import say
from gatework.train import guard
from gatework.train.average import Average
from gatework.train.best import Best
from gatework.train.finder import find_learning_rate
from gatework.train.groups import Thawing, partition
from gatework.train.interrupt import Interrupt
from gatework.train.journal import Journal, Keeper, Outcome
from gatework.train.optimiser import learning_rate, optimiser, set_learning_rate, usual_rate
from gatework.train.problem import Problem
from gatework.train.progress import Progress
from gatework.train.randomness import borrowed, capture, restore, seed_all
from gatework.train.schedule import Clock, factor, total_steps
from gatework.train.settings import Training
from gatework.train.stretches import Stretches


def fit(
    problem: Problem,
    settings: Training,
    keeper: Keeper | None = None,
    journal: Journal | None = None,
    time_limit: float | None = None,
    scorings: float = 0.0,
) -> Outcome:
    """Train `problem.net` in place and leave in it the best validated weights, or the last (`settings.keep`).

    Args:
        problem: what to train.
        settings: how.
        keeper: holds the exact state; a state found in it is continued. None = nothing is saved.
        journal: takes a row an epoch, lines of log; None = neither.
        time_limit: seconds for this loop, where it is part of a longer `settings.time_limit`; None = that one.
        scorings: how many times the held-out part is scored within that limit when the loop has ended.

    Raises:
        DivergedError: the loss or a gradient is not finite.
        KeyboardInterrupt: Ctrl-C; the state was saved before.
    """
    limit = settings.time_limit if time_limit is None else time_limit
    if settings.steps_per_epoch not in (None, len(problem.sampler)):
        problem = replace(problem, sampler=Stretches(problem.sampler, settings.steps_per_epoch))
    with borrowed(settings.deterministic):
        return Loop(problem, settings, keeper, journal or Journal(), limit, scorings).run()


class Loop:
    """One run of training; `fit` is the way in."""

    def __init__(
        self,
        problem: Problem,
        settings: Training,
        keeper: Keeper | None,
        journal: Journal,
        limit: float | None,
        scorings: float = 0.0,
    ) -> None:
        from lightning_fabric import Fabric

        started = time.monotonic()
        self.problem, self.settings, self.keeper, self.journal = problem, settings, keeper, journal
        self.step = 0
        self.epoch = 0
        self.reason = ""
        self.loss_sum, self.examples, self.in_epoch = 0.0, 0, 0
        self.history: list[dict[str, Any]] = []
        self.finder: list[dict[str, float]] = []
        self.best = Best(problem.goal)
        saved = keeper.load() if keeper else None
        if saved is None:
            seed_all(settings.seed)
        self.learning_rate = saved["learning_rate"] if saved else self._learning_rate()
        self.total_steps = total_steps(settings, len(problem.sampler))
        self.clock = Clock(self.total_steps, limit, saved["seconds"] if saved else 0.0, started, 1 + scorings)
        self.fabric = Fabric(accelerator="cpu", devices=1, precision=settings.precision)
        groups = partition(problem.net, problem.groups)
        self.net, self.optimiser = self.fabric.setup(problem.net, optimiser(settings, groups, self.learning_rate))
        self.thawing = Thawing(groups)
        self.average = Average(problem.net, settings.average) if settings.average else None
        if saved:
            self._load(saved)
        self._first_share = self.clock.progress(self.step)
        self._started, self._saved_at = started, time.monotonic()
        self._epoch_started, self._examples_before = time.monotonic(), self.examples

    def run(self) -> Outcome:
        """Train until the epochs, the steps, the patience or the time are used up."""
        try:
            with (
                Interrupt() as interrupt,
                Progress(self.problem.unit, self.problem.metric, self.journal.log) as progress,
            ):
                while not self.reason:
                    self._epoch(interrupt, progress)
                    self._end_epoch(progress)
                    self.reason = self._finished()
                    self._save()
                    if interrupt.asked:
                        self._stop()
        finally:
            self.thawing.release()
        best, seconds = self.best, self.clock.elapsed()
        if best.weights is not None and (self.settings.keep == "best" or self.reason == "patience"):
            self.problem.net.load_state_dict(best.weights)
        elif self.average:
            self.problem.net.load_state_dict(self._weights())
        return Outcome(
            self.reason,
            self.step,
            seconds,
            best.score,
            best.epoch,
            self.learning_rate,
            self.history,
            self.finder,
            self.clock.slowest,
        )

    def _epoch(self, interrupt: Interrupt, progress: Progress) -> None:
        """The rest of the sampler's pass, or as much of it as the run still holds."""
        self.net.train()
        for numbers in self.problem.sampler:
            self._train_step(numbers)
            self._show(progress)
            if self.clock.progress(self.step) >= 1:
                return
            if self.in_epoch < len(self.problem.sampler):  # after the last step, the epoch's end saves
                if interrupt.asked or time.monotonic() - self._saved_at >= self.settings.checkpoint_seconds:
                    self._save()
                if interrupt.asked:
                    self._stop()

    def _train_step(self, numbers: Tensor) -> None:
        progress = self.clock.progress(self.step)
        set_learning_rate(self.optimiser, self.learning_rate * factor(self.settings.schedule, progress))
        self.thawing.at(progress)
        batch = self.problem.batch(numbers)
        loss = self.problem.loss(self.net, batch)
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        norm = self.fabric.clip_gradients(
            self.net, self.optimiser, max_norm=self.settings.clip_norm, error_if_nonfinite=False
        )
        value = float(loss.detach())
        if not (math.isfinite(value) and math.isfinite(float(norm))):  # type: ignore[arg-type]
            examples = ", ".join(str(int(n)) for n in numbers[:5]) + (" ..." if len(numbers) > 5 else "")
            where = f"step {self.step + 1} (epoch {self.epoch + 1}, {self.problem.unit} {examples})"
            net = self.problem.net
            raise guard.diverged(value, net, lambda: self.problem.loss(net, batch), where)
        self.optimiser.step()
        self.step += 1
        self.in_epoch += 1
        self.loss_sum += value * len(numbers)
        self.examples += len(numbers)
        if self.average:
            self.average.update(self.step)

    def _end_epoch(self, progress: Progress) -> None:
        """Validate, remember the best weights, write the epoch's row."""
        self.epoch += 1
        row: dict[str, Any] = {**self.journal.labels, "epoch": self.epoch, "step": self.step}
        row["loss"] = self.loss_sum / max(self.examples, 1)
        scores = self._validate()
        row |= scores
        row["learning_rate"] = learning_rate(self.optimiser)
        score = scores.get(self.problem.metric)
        if score is not None:
            row["best"] = self.best.take(score, self.epoch, self._weights)
        now = time.monotonic()
        row["per_second"] = (self.examples - self._examples_before) / max(now - self._epoch_started, 1e-9)
        row["seconds"] = self.clock.elapsed()
        self._epoch_started, self._examples_before = now, 0
        self.history.append(row)
        self.journal.append(row)
        progress.epoch(row, self._left())
        self._begin_average(progress)
        self.loss_sum, self.examples, self.in_epoch = 0.0, 0, 0

    def _validate(self) -> dict[str, float]:
        if self.problem.validate is None:
            return {}
        began = time.monotonic()
        self.net.eval()
        with torch.no_grad(), self.average.applied() if self.average else nullcontext():
            scores = self.problem.validate(self.problem.net)
        self.clock.validated(time.monotonic() - began)
        return scores

    def _begin_average(self, progress: Progress) -> None:
        """The moment of NT-ASGD: validation has stalled or, where nothing is held out, half of the run is done."""
        if self.settings.optimiser != "nt-asgd" or self.average:
            return
        if self.best.stalled() if self.problem.validate else self.clock.progress(self.step) >= 0.5:
            self.average = Average(self.problem.net, None, self.step)
            self.best.stale = 0
            progress.line(f"from step {self.step} on the weights are averaged")

    def _weights(self) -> dict[str, Tensor]:
        with self.average.applied() if self.average else nullcontext():
            return {name: value.detach().clone() for name, value in self.problem.net.state_dict().items()}

    def _finished(self) -> str:
        """Why the run is over after this step, or ""."""
        waiting = self.settings.optimiser == "nt-asgd" and self.average is None
        if 0 < self.settings.patience < self.best.stale and not waiting:
            return "patience"
        if self.step >= self.total_steps:
            return "steps" if self.settings.max_steps == self.total_steps else "epochs"
        return "time" if self.clock.progress(self.step) >= 1 else ""

    def _learning_rate(self) -> float:
        if self.settings.learning_rate != "auto":
            return self.settings.learning_rate or usual_rate(self.settings)
        rate, self.finder = find_learning_rate(self.problem, self.settings)
        say(f"learning rate: {rate:.2g}, found by a sweep of {len(self.finder)} steps")
        seed_all(self.settings.seed)
        return rate

    def _show(self, progress: Progress) -> None:
        now = time.monotonic()
        speed = (self.examples - self._examples_before) / max(now - self._epoch_started, 1e-9)
        share = self.clock.progress(self.step)
        progress.step(self.epoch + 1, self.loss_sum / self.examples, speed, share, self._left(), now)

    def _left(self) -> float:
        """Seconds to the end at the pace of this process (not of one before a resume)."""
        share = self.clock.progress(self.step)
        done = max(share - self._first_share, 1e-9)
        return (time.monotonic() - self._started) * max(1 - share, 0.0) / done

    def _stop(self) -> NoReturn:
        command = self.journal.resume_command
        say(f"stopped after step {self.step}" + (f"; the state is saved. Continue with: {command}" if command else ""))
        raise KeyboardInterrupt("saved")

    def _save(self) -> None:
        if self.keeper is not None:
            self.keeper.save(self.state())
        self._saved_at = time.monotonic()

    def state(self) -> dict[str, Any]:
        """Everything that decides what comes next."""
        tensors, values = capture()
        return {
            "net": self.problem.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "sampler": self.problem.sampler.state_dict(),
            "random": {"tensors": tensors, "values": values},
            "carried": self.problem.carried.state_dict() if self.problem.carried else None,
            "average": self.average.state_dict() if self.average else None,
            "best": self.best.state_dict(),
            "reason": self.reason,
            "step": self.step,
            "epoch": self.epoch,
            "in_epoch": self.in_epoch,
            "loss_sum": self.loss_sum,
            "examples": self.examples,
            "learning_rate": self.learning_rate,
            "seconds": self.clock.elapsed(),
            "history": self.history,
            "finder": self.finder,
        }

    def _load(self, saved: dict[str, Any]) -> None:
        self.problem.net.load_state_dict(saved["net"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.problem.sampler.load_state_dict(saved["sampler"])
        if self.problem.carried:
            self.problem.carried.load_state_dict(saved["carried"])
        if saved["average"]:
            self.average = self.average or Average(self.problem.net, None)
            self.average.load_state_dict(saved["average"])
        self.best.load_state_dict(saved["best"])
        self.step, self.epoch = saved["step"], saved["epoch"]
        self.in_epoch, self.loss_sum, self.examples = saved["in_epoch"], saved["loss_sum"], saved["examples"]
        self.history, self.finder, self.reason = saved["history"], saved["finder"], saved["reason"]
        self.journal.rewrite(self.history)
        restore(saved["random"]["tensors"], saved["random"]["values"])
