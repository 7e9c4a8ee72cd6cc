"""At predict: tables that do not go with the one of the fit."""

import numpy as np
import pandas as pd
import pytest

from gatework.data import read
from gatework.errors import InputError
from gatework.say import quiet, recording

N = 20
FIT = pd.DataFrame(
    {
        "shop": ["a"] * N + ["b"] * N,
        "day": [*pd.date_range("2024-01-01", periods=N)] * 2,
        "sales": np.arange(2.0 * N),
        "price": np.linspace(1, 2, 2 * N),
        "weather": ["sun", "rain"] * N,
        "size": [1] * N + [2] * N,
    }
)
ROLES = {"id_column": "shop", "time_column": "day", "target": "sales"}
COVARIATES = {"past_covariates": ["weather"], "future_covariates": ["price"], "static_covariates": ["size"]}


@pytest.fixture(scope="module")
def schema():
    with quiet():
        return read(FIT, **ROLES, **COVARIATES).schema


def ahead(days: int, skip: int = 0) -> pd.DataFrame:
    rows = [(s, d, 1.5) for s in "ab" for d in pd.date_range("2024-01-21", periods=days)[skip:]]
    return pd.DataFrame(rows, columns=["shop", "day", "price"])


def error(act) -> str:
    with quiet(), pytest.raises(InputError) as caught:
        act()
    return str(caught.value)


@pytest.mark.parametrize("column", FIT.columns)
def test_a_missing_column(schema, column):
    message = error(lambda: schema.read(FIT.drop(columns=column)))
    assert f"lacks 1 of the columns this model was fitted with: {column!r}" in message
    assert "Expected 'shop', 'day', 'sales'" in message
    assert "Add them, or fit again without them" in message


def test_a_renamed_column_is_suggested(schema):
    assert "Did you mean 'pricee'?" in error(lambda: schema.read(FIT.rename(columns={"price": "pricee"})))


def test_other_order_and_extra_columns_work(schema):
    with recording() as lines, quiet():
        panel = schema.read(FIT[FIT.columns[::-1]].assign(note="x"))
        same = schema.read(FIT)
    assert "columns not used: note" in lines
    assert panel.data_hash() == same.data_hash()


def test_future_covariates_missing_altogether(schema):
    message = error(lambda: schema.read(FIT).extend(3))
    assert "future covariates price are missing in 6 rows to forecast" in message
    assert "a at 2024-01-21; a at 2024-01-22; a at 2024-01-23; b at 2024-01-21 ..." in message
    assert "give them with future=" in message


def test_future_covariates_missing_on_some_dates(schema):
    message = error(lambda: schema.read(FIT, ahead(2)).extend(3))
    assert "missing in 2 rows to forecast: a at 2024-01-23; b at 2024-01-23." in message


def test_a_future_category_that_is_missing():
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=6), "y": [1, 2, 3, 4, np.nan, np.nan],
                          "sky": ["sun", "rain", None, "sun", "rain", None]})  # fmt: skip
    with quiet():
        panel = read(frame, future_covariates=["sky"])
    assert panel.future[2].tolist() == [1, 0]
    assert panel.extend(1).future[4].tolist() == [1, 0]
    assert "missing in 1 row to forecast: y at 2024-01-06" in error(lambda: panel.extend(2))


def test_future_covariates_for_one_series_only(schema):
    rows = ahead(3)
    message = error(lambda: schema.read(FIT, rows[rows["shop"] == "a"]).extend(3))
    assert "3 rows to forecast: b at 2024-01-21" in message


def test_the_future_as_a_frame_or_as_rows_without_target_is_the_same(schema):
    with quiet():
        frame = schema.read(FIT, ahead(5)).extend(3)
        rows = schema.read(pd.concat([FIT, ahead(5)])).extend(3)
    assert frame.data_hash() == rows.data_hash()
    assert list(frame.lengths) == [N, N]


def test_a_future_column_is_missing(schema):
    message = error(lambda: schema.read(FIT, ahead(3).drop(columns="price")))
    assert message.startswith("future lacks 1 of the columns")


def test_rows_of_the_future_that_are_past_or_of_other_series_are_left_out(schema):
    past = FIT[["shop", "day", "price"]].tail(2)
    other = ahead(3).assign(shop="c")
    with recording() as lines, quiet():
        panel = schema.read(FIT, pd.concat([ahead(3), past, other]))
    assert panel.ids == ["a", "b"]
    assert "future= holds 1 series that the data do not: c; left out" in lines
    assert "future= holds 2 rows not after the end of the data; left out" in lines


def test_an_unseen_category_is_said_and_none_of_the_known(schema):
    with recording() as lines, quiet():
        panel = schema.read(FIT.assign(weather=["hail", *FIT["weather"][1:]]))
    assert any("'weather' holds 'hail' in row 1, not seen at fit (known: 'rain', 'sun')" in line for line in lines)
    assert panel.past[0].tolist() == [0, 0]
    assert panel.past[1].tolist() == [1, 0]


def test_an_unseen_series_has_the_code_after_the_last(schema):
    with quiet():
        panel = schema.read(FIT.assign(shop=["b"] * N + ["new"] * N, size=1))
    assert panel.codes.tolist() == [1, 2]


def test_another_frequency(schema):
    message = error(lambda: schema.read(FIT.assign(day=[*pd.date_range("2024-01-01", periods=N, freq="7h")] * 2)))
    assert "off the frequency D" in message
    assert "a at 2024-01-01 07:00:00 (row 2)" in message


def test_integers_where_dates_were(schema):
    message = error(lambda: schema.read(FIT.assign(day=[*range(N)] * 2)))
    assert "has whole numbers as time; the model was fitted on dates" in message
    assert "convert the column 'day'" in message


def test_a_zone_where_there_was_none(schema):
    message = error(lambda: schema.read(FIT.assign(day=FIT["day"].dt.tz_localize("Europe/Berlin"))))
    assert "zone Europe/Berlin; the model was fitted on times in none" in message


def test_text_in_a_numeric_covariate(schema):
    assert "'price' holds the text 'dear' in row 1" in error(
        lambda: schema.read(FIT.assign(price=["dear", *FIT["price"][1:]]))
    )


def test_short_series_are_named_and_can_be_dropped(schema):
    with quiet():
        panel = schema.read(FIT.iloc[: N + 3])
    message = error(lambda: panel.check_length(5, "horizon + 1"))
    assert "1 of 2 series are shorter than 5 rows (horizon + 1): b (3)" in message
    assert "drop_short=True" in message
    with recording() as lines, quiet():
        kept = panel.check_length(5, "horizon + 1", drop_short=True)
    assert kept.ids == ["a"]
    assert kept.codes.tolist() == [0]
    assert lines == ["left out 1 of 2 series, shorter than 5 rows (horizon + 1): b (3)"]


def test_nothing_left_after_dropping_is_an_error(schema):
    with quiet():
        panel = schema.read(FIT)
    message = error(lambda: panel.check_length(50, "horizon + context", drop_short=True))
    assert "2 of 2 series are shorter than 50 rows (horizon + context): a (20), b (20)" in message
    assert "drop_short" not in message


def test_a_series_without_any_target_is_short(schema):
    with quiet():
        panel = schema.read(FIT.assign(sales=[*range(N), *[np.nan] * N]))
    assert panel.lengths.tolist() == [N, 0]
    assert "b (0)" in error(lambda: panel.check_length(1, "a value"))
