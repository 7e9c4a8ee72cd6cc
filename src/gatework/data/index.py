"""Which windows there are, without making them, and the order in which training draws them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gatework.data.epochs import Epochs
from gatework.data.frequency import Ints
from gatework.data.panel import Panel


class WindowIndex:
    """W windows, numbered; a window is a series and an origin, the position of its first target row in the series.

    Args:
        first: int64 [N], the earliest origin of each series.
        counts: int64 [N], how many windows it has, 0 or more.
        stride: rows between origins.
    """

    def __init__(self, first: Ints, counts: Ints, stride: int = 1) -> None:
        self.counts = torch.from_numpy(np.maximum(counts, 0))
        self._first = torch.from_numpy(np.ascontiguousarray(first))
        self._before = torch.cumsum(self.counts, 0) - self.counts
        self._after = torch.cumsum(self.counts, 0)
        self._stride = stride

    def __len__(self) -> int:
        return int(self._after[-1]) if len(self._after) else 0

    def locate(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Series and origin of each window in `numbers`: two long tensors [B]."""
        series = torch.searchsorted(self._after, numbers, right=True)
        return series, self._first[series] + (numbers - self._before[series]) * self._stride

    def batches(self, size: int) -> Iterator[Tensor]:
        """All window numbers in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield torch.arange(start, min(start + size, len(self)))


@dataclass(frozen=True)
class Split:
    """A split in time: `train` windows end before absolute rows `train_ends`, int64 [N]; `holdout` lies after."""

    train: WindowIndex
    holdout: WindowIndex
    train_ends: Ints


def split(
    panel: Panel,
    horizon: int,
    *,
    windows: int = 1,
    step: int | None = None,
    stride: int = 1,
    least_past: int | Ints = 1,
) -> Split:
    """Training windows, and the last `windows` origins of each series held out for validation.

    No target row of a holdout window is a target row of a training window. A series too short to hold out from is
    trained on whole and takes no part in validation.

    Args:
        panel: the series.
        horizon: target rows of a window.
        windows: holdout windows of a series, 0 for none.
        step: rows between their origins (default: the horizon).
        stride: rows between training windows; the latest one is always among them.
        least_past: rows that must lie before an origin, one number or int64 [N].
    """
    step = horizon if step is None else step
    held = horizon + (windows - 1) * step if windows else 0
    lengths = panel.lengths
    can_hold = lengths - held >= least_past + horizon
    train_lengths = np.where(can_hold, lengths - held, lengths)
    latest = train_lengths - horizon
    counts = np.where(latest >= least_past, (latest - least_past) // stride + 1, 0)
    train = WindowIndex(latest - (counts - 1) * stride, counts, stride)
    holdout = WindowIndex(lengths - held, np.where(can_hold, windows, 0), step)
    return Split(train, holdout, panel.offsets[:-1] + train_lengths)


def rolling(
    panel: Panel, horizon: int, windows: int = 1, step: int | None = None, least_past: int | Ints = 1
) -> WindowIndex:
    """The last `windows` origins of each series, `step` rows apart (default: the horizon), fewer where it is short."""
    step = horizon if step is None else step
    latest = panel.lengths - horizon
    fitting = np.where(latest >= least_past, (latest - least_past) // step + 1, 0)
    counts = np.minimum(fitting, windows)
    return WindowIndex(latest - (counts - 1) * step, counts, step)


def last(panel: Panel) -> WindowIndex:
    """One window for each series, whose targets come after its last row; for a panel from `Panel.extend`."""
    return WindowIndex(panel.lengths, np.ones(len(panel), dtype=np.int64))


class Sampler(Epochs):
    """Window numbers in a seeded random order, a batch at a time; its position can be kept and restored exactly.

        for numbers in sampler:                      # one epoch, or what is left of it
            batch = windows.batch(*index.locate(numbers))

    Args:
        index: the windows.
        batch_size: windows in a batch, 1 or more; the last of an epoch may be smaller.
        windows_per_epoch: windows drawn in an epoch (default: each once); more than there are come again.
        seed: of the order.
        balance: "window" draws every window as often, "series" every series, "root" a series as often as the square
            root of its windows; the last two with repeats.
    """

    def __init__(
        self,
        index: WindowIndex,
        batch_size: int,
        windows_per_epoch: int | None = None,
        seed: int = 0,
        balance: Literal["window", "root", "series"] = "window",
    ) -> None:
        if len(index) == 0:
            raise ValueError("no window to draw from")
        super().__init__(seed)
        self.index, self.batch_size, self.balance = index, batch_size, balance
        self.windows_per_epoch = len(index) if windows_per_epoch is None else windows_per_epoch

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-self.windows_per_epoch // self.batch_size)

    def batches(self, epoch: int) -> tuple[Tensor, ...]:
        """The batches of window numbers, long [batch_size] each."""
        return torch.split(self._order(epoch), self.batch_size)

    def _order(self, epoch: int) -> Tensor:
        generator = self.generator(epoch)
        count, total = self.windows_per_epoch, len(self.index)
        if self.balance != "window":
            counts = self.index.counts.double()
            weights = counts.sqrt() if self.balance == "root" else counts.sign()
            upper = torch.cumsum(weights, 0)
            drawn = torch.rand(count, generator=generator, dtype=torch.float64) * upper[-1]
            series = torch.searchsorted(upper, drawn, right=True)  # never one without windows: its step is empty
            within = torch.rand(count, generator=generator, dtype=torch.float64) * counts[series]
            start = torch.cumsum(self.index.counts, 0) - self.index.counts
            return start[series] + within.long()
        if 8 * count < total:  # repeats are rare, and the order need not be as long as all windows
            return torch.randint(total, (count,), generator=generator)
        rounds = [torch.randperm(total, generator=generator) for _ in range(-(-count // total))]
        return torch.cat(rounds)[:count]
