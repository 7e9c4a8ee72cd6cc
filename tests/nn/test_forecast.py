"""The forecasting network: anchors, normalisation, covariates, padding, and that it learns."""

import math

import pytest
import torch

from gatework.errors import InputError
from gatework.nn.forecast import ForecastNet, Window, anchors, forecast_loss, segment_length

LEVELS = (0.1, 0.5, 0.9)


def batch_of(past: torch.Tensor, horizon: int, widths: tuple[int, int, int] = (0, 0, 0)) -> dict[str, torch.Tensor]:
    """A batch with everything observed and random covariates of `widths` (past, future, static)."""
    B, C = past.shape
    generator = torch.Generator().manual_seed(1)
    shapes = {
        "past_covariates": (B, C, widths[0]),
        "future_covariates": (B, C + horizon, widths[1]),
        "static": (B, widths[2]),
    }
    return {
        "past": past,
        "past_observed": torch.ones(B, C, dtype=torch.bool),
        "target": past[:, -1:].repeat(1, horizon),
        "target_observed": torch.ones(B, horizon, dtype=torch.bool),
        **{name: torch.randn(*shape, generator=generator) for name, shape in shapes.items()},
    }


def small(context: int = 24, horizon: int = 7, **options: object) -> ForecastNet:
    torch.manual_seed(0)
    return ForecastNet(context, horizon, LEVELS, hidden_size=8, **options).eval()


def seen(values: torch.Tensor) -> Window:
    return Window.of(values, torch.ones_like(values, dtype=torch.bool), values.shape[1])


def seen_of(values: list[float], rows: int) -> Window:
    return Window.of(torch.tensor([values]), torch.ones(1, len(values), dtype=torch.bool), rows)


def in_units(window: Window, forecast: torch.Tensor) -> torch.Tensor:
    return forecast * window.scale + window.centre


def test_seasonal_anchor_repeats_the_season():
    season = torch.tensor([3.0, 1.0, 4.0, 1.0, 5.0])
    window = seen(season.repeat(4)[None])
    naive = in_units(window, anchors(window, (5,), 12)[..., 1])
    torch.testing.assert_close(naive, season.repeat(3)[None, :12])


def test_drift_anchors_continue_a_season_with_trend():
    steps = torch.arange(40.0, dtype=torch.float64)
    series = (0.5 * steps + torch.tensor([2.0, -1.0, 0.0, 3.0], dtype=torch.float64).repeat(10))[None]
    window = seen(series[:, :32])
    columns = anchors(window, (4,), 4)
    for column in (2, 3):  # over a season, over its last quarter
        torch.testing.assert_close(in_units(window, columns[..., column]), series[:, 32:36])


def test_profile_anchor_averages_the_noise_of_earlier_cycles():
    cycle = torch.tensor([0.0, 2.0, 0.0, -2.0])
    noise = torch.tensor([1.0, -1.0, 1.0, -1.0])  # keeps each cycle's level
    window = seen(torch.cat([cycle + noise, cycle - noise, cycle + noise, cycle - noise])[None])
    torch.testing.assert_close(in_units(window, anchors(window, (4,), 4)[..., 4]), cycle[None])


def test_anchors_count_seasons():
    assert anchors(seen(torch.randn(2, 24)), (4, 12), 5).shape == (2, 5, 9)
    assert anchors(seen(torch.randn(2, 24)), (), 5).shape == (2, 5, 1)


def test_last_anchor_is_the_last_observed_value():
    observed = torch.tensor([[True, True, True, False, False], [True, False, True, True, True]])
    window = Window.of(torch.tensor([[1.0, 2.0, 5.0, 0.0, 0.0], [1.0, 0.0, 3.0, 4.0, 7.0]]), observed, 1)
    torch.testing.assert_close(in_units(window, anchors(window, (), 1)[..., 0]), torch.tensor([[5.0], [7.0]]))


@pytest.mark.parametrize(("rows", "centre"), [(1, 8.0), (2, 6.0), (4, 5.0)])
def test_window_is_centred_on_its_last_rows(rows, centre):
    assert seen_of([2.0, 6.0, 4.0, 8.0], rows).centre.item() == centre


def test_centre_of_a_gap_is_the_last_observed_value():
    observed = torch.tensor([[True, True, False, False]])
    assert Window.of(torch.tensor([[2.0, 6.0, 0.0, 0.0]]), observed, 2).centre.item() == 6


def test_season_as_long_as_the_window_has_no_drift():
    columns = anchors(seen(torch.randn(2, 6)), (6,), 3)
    torch.testing.assert_close(columns[..., 1], columns[..., 2])


@pytest.mark.parametrize(
    ("context", "horizon", "seasons", "length"),
    [(336, 48, (24, 168), 24), (104, 13, (52,), 13), (36, 12, (12,), 12), (60, 30, (5,), 10), (60, 30, (), 30)],
)
def test_segment_length(context, horizon, seasons, length):
    assert segment_length(context, horizon, seasons) == length


@pytest.mark.parametrize("cell", ["lstm", "gru", "peephole-lstm", "janet"])
@pytest.mark.parametrize("horizon", [1, 7, 30])
def test_shape_for_any_cell_and_horizon(cell, horizon):
    net = small(horizon=horizon, cell=cell, seasons=(6,), num_layers=2)
    assert net(batch_of(torch.randn(3, 24), horizon)).shape == (3, horizon, 3)


@pytest.mark.parametrize("log", [False, True])
def test_forecasts_follow_the_units_of_the_data(log):
    net = small(seasons=(6,), log=log).double()
    past = torch.rand(4, 24, dtype=torch.float64) + 1
    first = net(batch_of(past, 7))
    torch.testing.assert_close(net(batch_of(1000 * past, 7)), 1000 * first, rtol=1e-4, atol=0.0)
    if not log:
        torch.testing.assert_close(net(batch_of(past + 5, 7)), first + 5, rtol=1e-4, atol=1e-4)


def test_logarithms_refuse_what_has_none():
    batch = batch_of(torch.rand(2, 24) + 1, 7)
    batch["past"][1, 3] = -0.5
    with pytest.raises(InputError, match=r"least -0\.5"):
        small(log=True)(batch)
    batch["past_observed"][1, 3] = False
    assert small(log=True)(batch).isfinite().all()


def test_what_was_not_observed_changes_nothing():
    net, batch = small(seasons=(6,)), batch_of(torch.randn(3, 24), 7)
    batch["past_observed"][:, :9] = False
    batch["past_observed"][1, 15] = False
    first = net(batch)
    batch["past"] = torch.where(batch["past_observed"], batch["past"], 1e6)
    assert torch.equal(net(batch), first)


@pytest.mark.parametrize("centre", ["season", "mean", "last"])
def test_flat_and_empty_windows_stay_finite(centre):
    net, batch = small(seasons=(6,), centre=centre).train(), batch_of(torch.full((3, 24), 7.0), 7)
    batch["past"][1] = 0.0
    batch["past_observed"][2] = False
    loss = forecast_loss(net, batch)
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())
    net.eval()
    torch.testing.assert_close(net(batch)[0], torch.full((7, 3), 7.0), atol=1e-2, rtol=0.0)


def test_row_does_not_depend_on_its_batch():
    net, batch = small(seasons=(6,), past_width=1, future_width=2, static_width=1), None
    batch = batch_of(torch.randn(5, 24), 7, (1, 2, 1))
    together = net(batch)
    alone = torch.cat([net({name: part[k : k + 1] for name, part in batch.items()}) for k in range(5)])
    torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["past_covariates", "future_covariates", "static"])
def test_covariates_are_used(name):
    net = small(past_width=1, future_width=2, static_width=1)
    batch = batch_of(torch.randn(2, 24), 7, (1, 2, 1))
    first = net(batch)
    batch[name] = batch[name] + 1
    assert not torch.allclose(net(batch), first)


def test_future_covariate_acts_on_its_own_step():
    net = small(horizon=14, future_width=1, segment=7)
    batch = batch_of(torch.randn(2, 24), 14, (0, 1, 0))
    first = net(batch)
    batch["future_covariates"][:, -1] += 1  # the second segment
    changed = (net(batch) - first).abs().amax((0, 2))
    assert changed[:7].max() == 0
    assert changed[7:].min() > 0


def test_loss_is_the_quantile_loss_of_the_forecast():
    net, batch = small(seasons=(6,)).double(), batch_of(torch.randn(4, 24, dtype=torch.float64), 7)
    batch["target"] = torch.randn(4, 7, dtype=torch.float64)
    batch["target_observed"][0, :3] = False
    error = (batch["target"][..., None] - net(batch)) / Window.of(batch["past"], batch["past_observed"], 6).scale[
        ..., None
    ]
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    loss = 2 * torch.maximum(levels * error, (levels - 1) * error).mean(-1)[batch["target_observed"]].mean()
    torch.testing.assert_close(forecast_loss(net, batch), loss, rtol=1e-6, atol=0.0)


def test_loss_in_units_of_the_series():
    """Two windows of one series, one ten times as lively: its errors, ten times as large, count ten times."""
    net, past = small(), torch.randn(1, 24)
    batch = batch_of(past, 7)
    quiet = forecast_loss(net, batch)
    lively = {**batch_of(10 * past, 7), "scale": torch.tensor([5.0])}
    unit = Window.of(past, batch["past_observed"], 1).scale.item()
    torch.testing.assert_close(forecast_loss(net, lively), quiet * 10 * unit / 5, rtol=1e-4, atol=0.0)


def test_loss_without_any_target_is_zero():
    net, batch = small(), batch_of(torch.randn(2, 24), 7)
    batch["target_observed"][:] = False
    assert forecast_loss(net, batch).item() == 0


def test_learns_what_no_anchor_holds():
    """A damped swing whose next value is linear in the last two: the anchors alone are far off."""
    torch.manual_seed(0)
    phase = 6.28 * torch.rand(512, 1)
    wave = torch.sin(0.9 * torch.arange(31.0) + phase)
    net = ForecastNet(24, 7, LEVELS, hidden_size=32, dropout=0.0)
    optimiser = torch.optim.AdamW(net.parameters(), lr=5e-3)
    batch = {**batch_of(wave[:, :24], 7), "target": wave[:, 24:]}
    for _ in range(150):
        optimiser.zero_grad()
        forecast_loss(net, batch).backward()
        optimiser.step()
    net.eval()
    quantiles = net(batch)
    assert (quantiles[..., 1] - batch["target"]).abs().mean() < 0.1  # the last value is off by 0.8
    assert (quantiles[..., 0] <= quantiles[..., 2]).float().mean() > 0.9


@pytest.mark.parametrize(("context", "horizon", "seasons"), [(0, 5, ()), (5, 0, ()), (12, 3, (24,))])
def test_sizes_that_do_not_fit(context, horizon, seasons):
    with pytest.raises(InputError, match=r"expected|longer than"):
        ForecastNet(context, horizon, LEVELS, seasons)


def test_short_context_without_season():
    assert small(context=1, horizon=3)(batch_of(torch.randn(2, 1), 3)).isfinite().all()
    assert math.isfinite(forecast_loss(small(context=1, horizon=3), batch_of(torch.randn(2, 1), 3)).item())
