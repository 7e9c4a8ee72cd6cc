"""The recipe: seasons and sizes from data alone."""

import pytest

from gatework.nn.recipe import choose


def test_hours_have_a_day_and_a_week():
    recipe = choose([960] * 10, horizon=48, season=24)
    assert (recipe.context, recipe.seasons) == (336, (24, 168))


def test_context_that_was_set_is_kept_and_bounds_the_seasons():
    recipe = choose([8640] * 7, horizon=96, season=24, context=96)
    assert (recipe.context, recipe.seasons) == (96, (24,))
    assert choose([8640], horizon=4, season=24, context=10).seasons == ()


def test_little_data_means_short_training_of_many():
    little, much = choose([132], 12, 12), choose([960] * 414, 48, 24)
    assert little.steps < much.steps
    assert little.learning_rate < much.learning_rate
    assert little.members > much.members


@pytest.mark.parametrize("season", [1, 4, 7, 12, 24, 52, 365])
@pytest.mark.parametrize("length", [5, 30, 200, 5000])
def test_a_window_always_fits(season, length):
    horizon = min(12, length - 2)
    recipe = choose([length], horizon, season)
    assert 1 <= recipe.context <= length - horizon
    assert all(1 < m <= recipe.context for m in recipe.seasons)


def test_presets_differ_in_effort():
    fast, good, best = (choose([960] * 10, 48, 24, preset=preset) for preset in ("fast", "good", "best"))
    assert fast.steps * fast.members < good.steps * good.members < best.steps * best.members
