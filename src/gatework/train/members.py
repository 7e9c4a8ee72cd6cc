"""An ensemble: networks trained one after the other on the same problem with different seeds, resumed as one run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gatework.train.fit import Journal, Keeper, Outcome, fit
from gatework.train.problem import Problem
from gatework.train.randomness import borrowed, seed_all
from gatework.train.settings import Training


def fit_members(
    make: Callable[[int], Problem],
    members: int,
    settings: Training,
    keeper: Keeper | None = None,
    journal: Journal | None = None,
    time_limit: float | None = None,
) -> tuple[list[Problem], list[Outcome]]:
    """Train `members` problems in turn; those that are done when a run is resumed are only loaded.

    Args:
        make: seed -> a fresh problem, its network initialised under that seed (seeded before the call).
        members: networks to train, 1 or more.
        settings: of each; member k trains with seed `settings.seed + k`.
        keeper: holds the exact state of all of them.
        journal: rows carry "member" where there are several.
        time_limit: seconds for all of them, over every process that works on the run; what is left is shared evenly
            among those still to train. None = no limit.

    Returns:
        the problems, each with its best weights in its network, and how each run ended.
    """
    journal = journal or Journal()
    saved = keeper.load() if keeper else None
    shelf = _Shelf(keeper, saved["done"] if saved else [], saved["current"] if saved else None)
    problems: list[Problem] = []
    outcomes: list[Outcome] = []
    for member in range(members):
        own = settings.model_copy(update={"seed": settings.seed + member})
        with borrowed(settings.deterministic):
            seed_all(own.seed)
            problem = make(own.seed)
        if member < len(shelf.done):
            problem.net.load_state_dict(shelf.done[member]["net"])
            outcome = Outcome(**shelf.done[member]["outcome"])
        else:
            spent = sum(outcome.seconds for outcome in outcomes)
            limit = None if time_limit is None else max(time_limit - spent, 0.0) / (members - member)
            earlier = [row for done in outcomes for row in done.history]
            outcome = fit(problem, own, shelf, _labelled(journal, member, members, earlier), limit)
            shelf.finish({"net": problem.net.state_dict(), "outcome": dict(vars(outcome))})
        problems.append(problem)
        outcomes.append(outcome)
    return problems, outcomes


def _labelled(journal: Journal, member: int, members: int, earlier: list[dict[str, Any]]) -> Journal:
    labels = {"member": member + 1} if members > 1 else {}
    return Journal(
        journal.append, lambda rows: journal.rewrite([*earlier, *rows]), journal.log, journal.resume_command, labels
    )


class _Shelf:
    """Keeps the finished members beside the state of the one in training."""

    def __init__(self, keeper: Keeper | None, done: list[dict[str, Any]], current: dict[str, Any] | None) -> None:
        self._keeper = keeper
        self._current = current
        self.done = done

    def load(self) -> dict[str, Any] | None:
        current, self._current = self._current, None
        return current

    def save(self, state: dict[str, Any] | None) -> None:
        if self._keeper is not None:
            self._keeper.save({"done": self.done, "current": state})

    def finish(self, member: dict[str, Any]) -> None:
        self.done.append(member)
        self.save(None)
