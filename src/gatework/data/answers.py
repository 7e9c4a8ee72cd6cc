"""Answers back as a frame of the kind that came in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from gatework.data.frequency import DAY, Ints
from gatework.data.panel import Panel

_BACKENDS: dict[str, Any] = {
    "pandas": nw.Implementation.PANDAS,
    "polars": nw.Implementation.POLARS,
    "pyarrow": nw.Implementation.PYARROW,
}


def to_frame(panel: Panel, columns: Mapping[str, NDArray[Any]], series: Ints, origins: Ints) -> Any:
    """A table with one row for each forecast step, in the kind of frame that `panel` was read from.

    Args:
        panel: the series.
        columns: arrays [W, H] by name.
        series: int64 [W], the series of each forecast.
        origins: int64 [W], the position in the series of its first step.

    Returns:
        A pandas, polars or arrow frame with the columns `unique_id`, `ds` and then `columns`; W * H rows. Files and
        arrays are answered in pandas. `ds` holds dates (in the zone of the data), or whole numbers.
    """
    horizon = next(iter(columns.values())).shape[1]
    names: Any = np.array(panel.ids, dtype=object)
    if panel.schema.whole_ids:
        names = names.astype(np.int64)
    times = panel.schema.frequency.at(
        np.repeat(panel.starts[series], horizon), (origins[:, None] + np.arange(horizon)).reshape(-1)
    )
    ids = np.repeat(names[series], horizon)
    data = {"unique_id": ids if panel.schema.whole_ids else ids.tolist(), "ds": _dates(panel, times)}
    data |= {name: np.ascontiguousarray(array).reshape(-1) for name, array in columns.items()}
    frame = nw.from_dict(data, backend=_BACKENDS[panel.backend])
    if panel.schema.zone is not None:
        frame = frame.with_columns(_zoned(panel))
    elif panel.backend != "pandas" and panel.schema.frequency.is_dates and not np.any(times % DAY):
        frame = frame.with_columns(nw.col("ds").cast(nw.Date))
    return frame.to_native()


def _dates(panel: Panel, times: Ints) -> NDArray[Any]:
    return times.astype("datetime64[us]") if panel.schema.frequency.is_dates else times


def _zoned(panel: Panel) -> nw.Expr:
    zone, column = panel.schema.zone, nw.col("ds")
    if panel.schema.wall:
        return column.dt.replace_time_zone(zone)
    return column.dt.replace_time_zone("UTC").dt.convert_time_zone(zone or "UTC")
