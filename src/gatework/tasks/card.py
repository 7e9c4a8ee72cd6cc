"""The model card: a run's README.md, with what it is, how good it is beside the baseline, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gatework.run import Run
    from gatework.tasks.evaluation import Evaluation

_FURTHER = {"generate": "--prompt TEXT", "score": "TEXT -o page.html"}  # verbs that only some applications have


def card(task: type, run: Run, facts: Mapping[str, Any], evaluation: Evaluation | None) -> str:
    """The card as markdown.

    Args:
        task: the application; the first line of its docstring is used, and the further verbs it has are named.
        run: the run folder; its run.json says when, on what and with which data.
        facts: what the finished run adds to that.
        evaluation: scores on the held-out part, None where nothing was held out.
    """
    made = run.facts
    data = made.get("data") or {}
    lines = [
        f"# {run.name}",
        "",
        (task.__doc__ or "").strip().partition("\n")[0],
        "",
        "## Scores",
        "",
        *_scores(evaluation),
        "",
        "## How it was made",
        "",
        f"- trained {made.get('created', '')} in {facts['seconds']:.0f} s, {facts['steps']} steps, "
        f"seed {made.get('seed')}, {facts['parameters']:,} parameters; stopped by: {', '.join(facts['stopped_by'])}",
        f"- data: {data.get('path') or 'a frame in memory'}, hash `{data.get('hash')}`",
        "- versions: " + ", ".join(f"{name} {version}" for name, version in made.get("versions", {}).items()),
        "- every setting: `config.yaml`; what was decided for you:",
        *[f"  - {line}" for line in facts["decisions"]],
        "",
        "## Using it",
        "",
        "```",
        f"gatework predict {run.path} DATA -o predictions.csv",
        f"gatework evaluate {run.path} DATA",
        *[f"gatework {verb} {run.path} {words}" for verb, words in _FURTHER.items() if hasattr(task, verb)],
        f"gatework fit {run.task} DATA --config {run.path}/config.yaml    # the same settings on other data",
        "```",
        "",
    ]
    return "\n".join(lines)


def _scores(evaluation: Evaluation | None) -> list[str]:
    if evaluation is None:
        return ["Nothing was held out, so there is no score: evaluate it on data it has not seen."]
    names = evaluation.header()
    head = [evaluation.title, "", "| " + " | ".join(names) + " |", "|---|" + "---:|" * (len(names) - 1)]
    return head + ["| " + " | ".join(row) + " |" for row in evaluation.rows()]
