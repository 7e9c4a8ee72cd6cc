"""Networks run over windows: all steps at once, or block after block on their own forecasts; members averaged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gatework.data import Windows

Ints = NDArray[np.int64]


@torch.no_grad()
def forecast(
    nets: Sequence[nn.Module], windows: Windows, series: Ints, origins: Ints, horizon: int, batch_size: int = 1024
) -> NDArray[np.float64]:
    """Quantile forecasts [W, horizon, Q], in the target's units, sorted by level.

    Args:
        nets: in evaluation mode; their quantiles are averaged.
        windows: of the panel; its own horizon may be shorter, then each block goes on from the medians of the last.
        series, origins: [W] of each forecast.
        horizon: steps.
        batch_size: windows at a time; the result does not depend on it.
    """
    results = []
    for start in range(0, len(series), batch_size):
        part = slice(start, start + batch_size)
        place = torch.from_numpy(series[part]), torch.from_numpy(origins[part])
        members = [_roll(net, windows, place, horizon) for net in nets]
        results.append(torch.stack(members).double().mean(0).numpy())
    return np.sort(np.concatenate(results), axis=-1)


def _roll(net: nn.Module, windows: Windows, place: tuple[Tensor, Tensor], horizon: int) -> Tensor:
    """One network over one batch [B, horizon, Q]."""
    series, origins = place
    blocks: list[Tensor] = []
    known = 0
    while known < horizon:
        batch = windows.batch(series, origins + known)
        if known:
            medians = torch.cat([block[..., block.shape[-1] // 2] for block in blocks], 1)
            shown = min(known, windows.context)
            # what lies between the origin and this block is forecast, whatever the table says there
            batch["past"] = torch.cat([batch["past"][:, :-shown], medians[:, -shown:]], 1)
            batch["past_observed"] = batch["past_observed"].clone()
            batch["past_observed"][:, -shown:] = True
            covariates = batch["past_covariates"].clone()
            covariates[:, -shown:] = covariates[:, max(windows.context - shown - 1, 0), None]
            batch["past_covariates"] = covariates
        blocks.append(net(batch))
        known += windows.horizon
    return torch.cat(blocks, 1)[:, :horizon]
