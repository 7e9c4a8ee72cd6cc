"""Counts, places and names as messages say them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 row", "3 rows"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def rows_at(positions: Any, limit: int = 5) -> str:
    """Positions (from 0) as "row 3" or "rows 3, 4, 9 and 17 more", counted from 1 below the header."""
    numbers = ", ".join(str(int(position) + 1) for position in positions[:limit])
    more = f" and {len(positions) - limit} more" if len(positions) > limit else ""
    return f"row{'s' if len(positions) > 1 else ''} {numbers}{more}"


def listed(names: Sequence[str], limit: int = 8) -> str:
    """The first few names, and that there are more."""
    return ", ".join(names[:limit]) + (" ..." if len(names) > limit else "")


def quoted(names: Iterable[str], limit: int = 12) -> str:
    """As `listed`, each name in quotes."""
    return listed([repr(name) for name in names], limit)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The question "Did you mean 'load'?", after a space, when one of `known` is near `name`; else nothing."""
    lower = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(name.casefold(), list(lower), n=1, cutoff=0.6)
    return f" Did you mean {lower[near[0]]!r}?" if near else ""
