"""Networks run over windows: all steps at once, or block after block on their own forecasts; members averaged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gatework.data import Windows

Ints = NDArray[np.int64]


@torch.no_grad()
def forecast(
    nets: Iterable[nn.Module],
    windows: Windows,
    series: Ints,
    origins: Ints,
    horizon: int,
    levels: Sequence[float],
    batch_size: int = 1024,
) -> NDArray[np.float64]:
    """Quantile forecasts [W, horizon, Q], in the target's units, sorted by level.

    Args:
        nets: in evaluation mode; level by level, their sorted quantiles are averaged.
        windows: of the panel; its own horizon may be shorter, then each block goes on from the medians of the last.
        series: int64 [W], of each forecast.
        origins: int64 [W], position of its first step in the series.
        horizon: steps.
        levels: of the networks' quantiles, increasing, 0.5 among them.
        batch_size: windows at a time; the result does not depend on it.
    """
    nets, median = list(nets), list(levels).index(0.5)
    results = []
    for start in range(0, len(series), batch_size):
        part = slice(start, start + batch_size)
        place = torch.from_numpy(series[part]), torch.from_numpy(origins[part])
        members = [_roll(net, windows, place, horizon, median) for net in nets]
        results.append(torch.stack(members).double().mean(0))
    return torch.cat(results).numpy()


def _roll(net: nn.Module, windows: Windows, place: tuple[Tensor, Tensor], horizon: int, median: int) -> Tensor:
    """One network over one batch [B, horizon, Q]."""
    series, origins = place
    rolled = torch.empty(0)
    known = 0
    while known < horizon:
        start = min(known, horizon - windows.horizon)  # the last block may overlap the one before
        batch = windows.batch(series, origins + start)
        if start:
            # what lies between the origin and this block is forecast, whatever the table says there
            shown = min(start, windows.context)
            own = rolled[:, start - shown : start, median]
            batch["past"] = torch.cat([batch["past"][:, :-shown], own], 1)
            batch["past_observed"] = batch["past_observed"].clone()
            batch["past_observed"][:, -shown:] = True
            covariates = batch["past_covariates"].clone()
            covariates[:, -shown:] = covariates[:, max(windows.context - shown - 1, 0), None]
            batch["past_covariates"] = covariates
        block = net(batch).sort(-1).values[:, known - start :]
        rolled = block if known == 0 else torch.cat([rolled, block], 1)
        known = start + windows.horizon
    return rolled
