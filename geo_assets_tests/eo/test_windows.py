import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_assets.eo.windows import Windows, blended, blended_bytes, mirrored, table, table_bytes
from geo_assets.errors import ConfigError


class Counted:
    """A raster in memory that counts how often each row is read."""

    def __init__(self, values, origin=(0, 0)):
        self.values, self.origin, self.reads = values, origin, np.zeros(values.shape[2], int)

    @property
    def shape(self):
        return self.values.shape[2:]

    def read(self, rows, cols):
        assert 0 <= rows.start < rows.stop <= self.shape[0]
        assert 0 <= cols.start < cols.stop <= self.shape[1]
        self.reads[rows] += 1
        return self.values[:, :, rows, cols]


def identity(batch):
    return batch.reshape(len(batch), -1, *batch.shape[3:])


def made(raster, part, windows, run, **options):
    options.setdefault("layers", raster.values.shape[0] * raster.values.shape[1])
    strips = list(blended(raster, part, windows, run, batch=options.pop("batch", 4), **options))
    rows = [row for done, _ in strips for row in range(done.start, done.stop)]
    assert rows == list(range(part[0].start, part[0].stop))
    return np.concatenate([scores for _, scores in strips], axis=1)


def whole(raster):
    return slice(0, raster.shape[0]), slice(0, raster.shape[1])


def noise(rows, cols, *, steps=1, bands=1, seed=0):
    return np.random.default_rng(seed).normal(size=(steps, bands, rows, cols)).astype(np.float32)


@st.composite
def lattices(draw, most=40):
    size = draw(st.integers(1, most))
    return Windows(size, draw(st.integers(0, size // 4)))


@given(lattices(200), st.integers(0, 500), st.integers(1, 300))
def test_weights_of_the_windows_over_a_pixel_sum_to_one(windows, first, count):
    total = np.zeros(count)
    for start in windows.starts(first, first + count):
        assert start < first + count
        assert start + windows.size_px > first
        for pixel, weight in enumerate(windows.weights().astype(float), start - first):
            if 0 <= pixel < count:
                total[pixel] += weight
    assert np.abs(total - 1).max() < 1e-6


@settings(max_examples=60)
@given(lattices(), st.integers(1, 90), st.integers(1, 90), st.integers(1, 9))
def test_identity_when_windows_are_blended_then_every_pixel_is_as_it_was(windows, rows, cols, batch):
    raster = Counted(noise(rows, cols, steps=2, bands=2))
    found = made(raster, whole(raster), windows, identity, batch=batch)
    wanted = raster.values.reshape(4, rows, cols)
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() <= 4e-7 * np.abs(wanted).max()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 2), (15, 17), (16, 16), (17, 15)])
def test_identity_when_the_raster_is_smaller_than_a_window_then_its_corners_are_as_they_were(shape):
    raster = Counted(noise(*shape))
    found = made(raster, whole(raster), Windows(16, 4), identity)
    assert np.allclose(found[0], raster.values[0, 0], rtol=3e-7, atol=1e-7)


@settings(max_examples=40)
@given(lattices(24), st.data())
def test_part_when_made_by_itself_then_it_is_as_in_the_whole(windows, data):
    def smooth(batch):  # sees its neighbours, and the window's edge
        found = identity(batch)
        return (found + np.roll(found, 1, -1) + np.roll(found, 2, -2)) / 3

    raster = Counted(noise(47, 53))
    rows, cols = (sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in raster.shape)
    if rows[0] == rows[1] or cols[0] == cols[1]:
        return
    part = slice(*rows), slice(*cols)
    found, wanted = made(raster, part, windows, smooth), made(raster, whole(raster), windows, smooth)
    assert np.array_equal(found, wanted[:, part[0], part[1]])


@settings(max_examples=30)
@given(lattices(16), st.integers(0, 60), st.integers(0, 60))
def test_raster_when_it_grows_then_what_is_far_from_its_edges_stays_as_it_was(windows, row, col):
    def placed(batch):  # differs with the place in the window
        return identity(batch) * np.arange(1, windows.size_px + 1, dtype=np.float32)

    large, reach = noise(130, 140), windows.size_px
    wanted = made(Counted(large), (slice(0, 130), slice(0, 140)), windows, placed)
    small = Counted(large[:, :, row : row + 60, col : col + 70], origin=(row, col))
    found = made(small, whole(small), windows, placed)
    inner = slice(reach, 60 - reach), slice(reach, 70 - reach)
    assert np.array_equal(found[:, *inner], wanted[:, row : row + 60, col : col + 70][:, *inner])


def test_seams_when_windows_disagree_then_results_go_over_gently():
    rng, windows = np.random.default_rng(1), Windows(32, 8)

    def stubborn(batch):
        return np.broadcast_to(rng.choice([0.0, 1.0], (len(batch), 1, 1, 1)), (len(batch), 1, 32, 32)).astype(
            np.float32
        )

    raster = Counted(noise(120, 120))
    found = made(raster, whole(raster), windows, stubborn, layers=1)[0]
    steepest = np.pi / 2 / (2 * windows.halo_px)  # of sin^2 over the overlap
    assert np.ptp(found) > 0.9
    assert max(np.abs(np.diff(found, axis=0)).max(), np.abs(np.diff(found, axis=1)).max()) <= steepest + 1e-6


@pytest.mark.parametrize("all_observed", [True, False])
def test_missing_when_some_or_all_values_are_then_the_pixel_has_no_result(all_observed):
    values = noise(40, 40, steps=2, bands=2)
    values[0, 1, 5, 6], values[:, :, 20:30, 10:] = np.nan, np.nan
    values[1, 0, 39, 39] = np.inf
    raster = Counted(values)

    def fill(batch):
        return identity(np.nan_to_num(batch, posinf=0))

    found = made(raster, whole(raster), Windows(12, 2), fill, all_observed=all_observed)
    lost = (~np.isfinite(values)).any((0, 1)) if all_observed else (~np.isfinite(values)).all((0, 1))
    assert np.array_equal(np.isnan(found).all(0), lost)
    assert np.array_equal(np.isnan(found).any(0), lost)


def test_windows_when_nothing_is_observed_in_them_then_the_model_is_not_asked():
    values = np.full((1, 1, 200, 200), np.nan, np.float32)
    values[:, :, 100, 100] = 1
    asked = []

    def run(batch):
        asked.append(len(batch))
        return identity(np.nan_to_num(batch))

    raster = Counted(values)
    found = made(raster, whole(raster), Windows(16, 2), run)
    assert sum(asked) <= 4
    assert np.isfinite(found).sum() == 1


def test_rows_when_a_part_is_made_then_each_is_read_once_and_only_as_far_as_windows_reach():
    raster = Counted(noise(300, 100))
    made(raster, (slice(120, 180), slice(0, 100)), Windows(32, 4), identity)
    assert raster.reads.max() == 1
    assert raster.reads[: 120 - 32].sum() == raster.reads[180 + 32 :].sum() == 0


def test_batch_when_another_is_taken_then_results_are_the_same_bits():
    raster = Counted(noise(70, 61, bands=3))
    found = [made(raster, whole(raster), Windows(16, 3), identity, batch=b) for b in (1, 3, 100)]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def peak(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rows", [200, 800])
@pytest.mark.parametrize(("steps", "layers", "batch"), [(1, 1, 1), (12, 7, 4)])
def test_memory_when_a_raster_is_high_then_it_stays_within_what_was_said(rows, steps, layers, batch):
    windows, raster = Windows(32, 4), Counted(noise(rows, 300, steps=steps, bands=2))

    def run(batch):
        return np.zeros((len(batch), layers, 32, 32), np.float32)

    def consume():
        for _ in blended(raster, whole(raster), windows, run, layers=layers, batch=batch):
            pass

    said = blended_bytes(windows, values=2 * steps, layers=layers, cols=300, batch=batch)
    took = peak(consume)
    assert took <= said
    assert said <= 6 * took  # it says something


@pytest.mark.parametrize("rows", [100, 1500])
def test_memory_of_pixels_when_a_raster_is_high_then_it_stays_within_what_was_said(rows):
    raster = Counted(noise(rows, 200, steps=3, bands=4))

    def run(pixels):
        return np.zeros((len(pixels), 5), np.float32)

    def consume():
        for _ in table(raster, whole(raster), run, layers=5, batch=10_000):
            pass

    took, said = peak(consume), table_bytes(values=12, layers=5, cols=200, batch=10_000)
    assert took <= said
    assert said <= 6 * took


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 300), st.booleans())
def test_pixels_when_they_are_asked_one_by_one_then_each_gets_its_own_result(rows, cols, batch, all_observed):
    values = noise(rows, cols, steps=2, bands=3)
    values[np.random.default_rng(1).random(values.shape) < 0.1] = np.nan
    raster = Counted(values)

    def run(pixels):
        assert pixels.shape[1:] == (2, 3)
        assert len(pixels) <= batch
        return np.nan_to_num(pixels).reshape(len(pixels), 6)

    strips = list(table(raster, whole(raster), run, layers=6, batch=batch, all_observed=all_observed))
    found = np.concatenate([scores for _, scores in strips], axis=1)
    finite = np.isfinite(values)
    seen = finite.all((0, 1)) if all_observed else finite.any((0, 1))
    assert np.array_equal(found[:, seen], np.nan_to_num(values).reshape(6, rows, cols)[:, seen])
    assert np.isnan(found[:, ~seen]).all()


@given(st.integers(1, 30))
def test_mirrored_when_it_goes_far_beyond_an_axis_then_it_turns_back_at_each_edge(size):
    found = mirrored(-70, 70, size)
    assert np.array_equal(found[70 : 70 + size], np.arange(size)[: 140 - 70])
    assert found.min() == 0
    assert found.max() == size - 1
    assert np.abs(np.diff(found)).max() <= 1
    if size > 1:
        assert list(mirrored(-2, 1, size)) == [2 if size > 2 else 0, 1, 0]


@pytest.mark.parametrize(("size", "halo"), [(0, 0), (8, 3), (8, -1), (1, 1)])
def test_lattice_when_three_windows_would_meet_then_it_is_refused(size, halo):
    with pytest.raises(ConfigError, match="halo"):
        Windows(size, halo)


@pytest.mark.parametrize("rows", [slice(-1, 3), slice(0, 41), slice(5, 4), slice(0, 4, 2)])
def test_part_when_it_is_not_in_the_raster_then_it_is_refused(rows):
    raster = Counted(noise(40, 40))
    for strips in (
        blended(raster, (rows, slice(0, 4)), Windows(8, 2), identity, layers=1, batch=1),
        table(raster, (rows, slice(0, 4)), identity, layers=1, batch=1),
    ):
        with pytest.raises(ConfigError, match="no part"):
            next(strips)
