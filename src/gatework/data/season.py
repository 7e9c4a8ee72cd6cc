"""The seasonal period of series that carry no dates, found in their values."""

from __future__ import annotations

import numpy as np

from gatework.data.panel import Panel
from gatework.data.values import Floats

_SERIES = 64  # enough to tell; the longest ones are looked at
_LONGEST = 1024  # rows in a season
_LEAST = 0.3  # autocorrelation of the steps that counts as a season
_SHARE = 0.8  # of the highest peak: a day is preferred to a week whose peak is only a little higher


def find_season(panel: Panel) -> tuple[int, float]:
    """The period in rows and its autocorrelation; (1, 0.0) when none stands out.

    The autocorrelation is that of the steps from row to row, which a trend or a random walk does not raise, averaged
    over the series. A period must be seen at least three times.
    """
    lengths = panel.lengths
    longest = np.argsort(-lengths, kind="stable")[:_SERIES]
    reach = min(int(lengths[longest[0]]) // 3, _LONGEST)
    if reach < 2:
        return 1, 0.0
    curves = [_autocorrelation(panel.series(int(i))[0], reach) for i in longest if lengths[i] >= 3 * reach]
    curve = np.mean(curves, axis=0)
    inner = np.arange(2, reach)
    peaks = inner[(curve[2:reach] > curve[1 : reach - 1]) & (curve[2:reach] >= curve[3 : reach + 1])]
    peaks = peaks[curve[peaks] > _LEAST]
    if len(peaks) == 0:
        return 1, 0.0
    period = int(peaks[curve[peaks] >= _SHARE * curve[peaks].max()][0])
    return period, float(curve[period])


def _autocorrelation(values: Floats, reach: int) -> Floats:
    """Autocorrelation of the steps of `values` at lags 0..reach, by FFT; zeros for a constant series."""
    steps = np.diff(values)
    steps = steps - steps.mean()
    size = 1 << int(2 * len(steps) - 1).bit_length()
    spectrum = np.fft.rfft(steps, size)
    curve = np.fft.irfft(spectrum * np.conj(spectrum), size)[: reach + 1]
    # as many products enter every lag's mean
    curve = curve / (len(steps) - np.arange(reach + 1))
    return np.asarray(curve / curve[0]) if curve[0] > 0 else np.zeros(reach + 1)
