"""Temporal merge against a pixel-by-pixel computation that shares nothing with it."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.eo.merge import NO_AGE, NO_SOURCE, ChipDay, merge_chips, merge_pixels, mosaic
from geo_assets.errors import ConfigError

DAY = dt.date(2024, 3, 1)
NODATA = (0.0, float("nan"))
SHAPE = (3, 4)


def chip_day(days: int, clear: np.ndarray, number: int, scenes: int = 2) -> ChipDay:
    """A day whose values tell which day and pixel they are from; the second band is float."""
    values = 1000 * (number + 1) + np.arange(clear.size).reshape(clear.shape)
    source = (np.arange(clear.size).reshape(clear.shape) % scenes).astype(np.int16)
    bands = (np.where(clear, values, 0).astype(np.uint16), np.where(clear, values / 7, np.nan).astype(np.float32))
    names = tuple(f"d{number}s{n}" for n in range(scenes))
    return ChipDay(DAY + dt.timedelta(days=days), bands, clear, np.where(clear, source, NO_SOURCE).astype(np.int16), names)  # fmt: skip


@st.composite
def series(draw):
    """The day that is filled first; no two on one day."""
    offsets = draw(st.lists(st.integers(-40, 40), min_size=1, max_size=7, unique=True))
    masks = [np.array(draw(st.lists(st.booleans(), min_size=12, max_size=12))).reshape(SHAPE) for _ in offsets]
    return [chip_day(o, m, n) for n, (o, m) in enumerate(zip(offsets, masks, strict=True))]


def by_hand(own, others, lookback, after, row, col):
    """Day that a pixel comes from, by looking at every day."""
    if own.clear[row, col]:
        return own
    best = None
    for other in others:
        days = (own.day - other.day).days
        if not other.clear[row, col] or abs(days) > lookback or days == 0 or (days < 0 and not after):
            continue
        rank = (days < 0, abs(days))
        if best is None or rank < best[0]:
            best = (rank, other)
    return best[1] if best else None


@given(series(), st.integers(0, 45), st.booleans())
def test_merge_pixels_when_compared_with_every_day_of_every_pixel_then_the_same(days, lookback, after):
    own, others = days[0], days[1:]
    found = merge_pixels(own, others, NODATA, lookback_days=lookback, fill_after=after)
    filled, ages = 0, []
    for row, col in np.ndindex(*SHAPE):
        source = by_hand(own, others, lookback, after, row, col)
        if source is None:
            assert found.age[row, col] == NO_AGE
            assert found.source[row, col] == NO_SOURCE
            assert found.values[0][row, col] == 0
            assert np.isnan(found.values[1][row, col])
            continue
        age = (own.day - source.day).days
        ages.append(abs(age))
        filled += age != 0
        assert found.age[row, col] == age
        assert found.scenes[found.source[row, col]] == source.scenes[source.source[row, col]]
        assert [v[row, col] for v in found.values] == [v[row, col] for v in source.values]
    assert found.fill_fraction == pytest.approx(filled / 12)
    assert found.clear_fraction == pytest.approx(own.clear.mean())
    assert found.max_age_days == (max(ages) if ages else None)


@given(series(), st.randoms())
def test_merge_pixels_when_days_come_in_another_order_then_the_same(days, dice):
    mixed = days[1:]
    dice.shuffle(mixed)
    one = merge_pixels(days[0], days[1:], NODATA, lookback_days=30, fill_after=True)
    other = merge_pixels(days[0], mixed, NODATA, lookback_days=30, fill_after=True)
    assert (one.age == other.age).all()
    assert one.scenes == other.scenes
    np.testing.assert_array_equal(one.values[1], other.values[1])


@given(series())
def test_merge_pixels_when_all_is_clear_on_its_own_day_then_nothing_is_filled(days):
    own = chip_day(0, np.ones(SHAPE, bool), 9)
    found = merge_pixels(own, days, NODATA, lookback_days=40, fill_after=True)
    assert (found.age == 0).all()
    assert (found.fill_fraction, found.clear_fraction, found.max_age_days) == (0.0, 1.0, 0)
    assert set(found.scenes) == set(own.scenes)


@given(series(), st.integers(0, 45), st.booleans(), st.sampled_from([0.25, 0.5, 1.0]))
def test_merge_chips_when_compared_with_every_day_then_one_whole_day(days, lookback, after, least):
    own, others = days[0], days[1:]
    found = merge_chips(own, others, NODATA, lookback_days=lookback, fill_after=after, least=least)
    ranked = [
        own,
        *sorted(
            (o for o in others if 0 < abs((own.day - o.day).days) <= lookback and (after or o.day < own.day)),
            key=lambda o: (o.day > own.day, abs((own.day - o.day).days)),
        ),
    ]
    whole = next((d for d in ranked if d.clear.sum() >= least * 12), own)
    assert (found.age[whole.clear] == (own.day - whole.day).days).all()
    assert (found.age[~whole.clear] == NO_AGE).all()
    np.testing.assert_array_equal(found.values[0], whole.values[0])


def test_mosaic_when_scenes_of_a_day_overlap_then_the_first_clear_one_gives_all_bands():
    first, second = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
    first[0], second[:, 3] = True, False
    parts = [
        ("a", (np.full(SHAPE, 1, np.uint16), np.full(SHAPE, 0.1, np.float32)), first),
        ("b", (np.full(SHAPE, 2, np.uint16), np.full(SHAPE, 0.2, np.float32)), second),
    ]
    found = mosaic(DAY, parts, NODATA)
    assert found.values[0].tolist() == [[1, 1, 1, 1], [2, 2, 2, 0], [2, 2, 2, 0]]
    assert found.source.tolist() == [[0, 0, 0, 0], [1, 1, 1, -1], [1, 1, 1, -1]]
    assert np.isnan(found.values[1][1:, 3]).all()
    assert (found.clear == (found.source >= 0)).all()


def test_mosaic_when_there_is_no_scene_then_it_says_so():
    with pytest.raises(ConfigError, match="2024-03-01: no scene"):
        mosaic(DAY, [], NODATA)
