"""Groups of parameters: which are in none, which are still frozen."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from gatework.train.problem import Group


def partition(net: nn.Module, groups: Sequence[Group] | None) -> list[Group]:
    """`groups` with only the parameters that ask for gradients, and a last one of those that are in none of them.

    Raises:
        ValueError: a rate or a thaw is out of range, a parameter is in two groups or not of `net`, or all groups are
            frozen at the start.
    """
    own = {id(p) for p in net.parameters()}
    placed: dict[int, str] = {}
    result = []
    for group in groups or ():
        if not group.rate > 0 or not 0 <= group.thaw <= 1:
            raise ValueError(
                f"group {group.name!r} has rate {group.rate} and thaw {group.thaw}; expected a rate above 0 and a "
                "thaw of 0 to 1 (a share of the run)"
            )
        for p in group.parameters:
            if id(p) not in own:
                raise ValueError(f"group {group.name!r} holds a parameter {list(p.shape)} that the network has not")
            if placed.setdefault(id(p), group.name) != group.name:
                raise ValueError(f"a parameter {list(p.shape)} is in groups {placed[id(p)]!r} and {group.name!r}")
        asking = [p for p in dict.fromkeys(group.parameters) if p.requires_grad]
        result.append(Group(group.name, asking, group.rate, group.thaw))
    result.append(Group("rest", [p for p in net.parameters() if p.requires_grad and id(p) not in placed]))
    result = [group for group in result if group.parameters]
    if result and all(group.thaw > 0 for group in result):
        names = ", ".join(group.name for group in result)
        raise ValueError(f"every group ({names}) is frozen at the start; expected one with thaw 0")
    return result


class Thawing:
    """Keeps groups frozen until their share of the run is done. A frozen parameter asks for no gradient."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._waiting = [group for group in groups if group.thaw > 0]
        for group in self._waiting:
            _ask(group, False)

    def at(self, progress: float) -> None:
        """Free the groups whose time has come when `progress` (0 to 1) of the run is done."""
        for group in [group for group in self._waiting if group.thaw <= progress]:
            _ask(group, True)
            self._waiting.remove(group)

    def release(self) -> None:
        """Free all: the run is over."""
        self.at(1.0)


def _ask(group: Group, gradients: bool) -> None:
    for p in group.parameters:
        p.requires_grad_(gradients)
        p.grad = None
