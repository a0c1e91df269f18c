from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.model.cell import CellBox
from geo_assets.model.chip import chips_of, place_of
from geo_assets.model.chip_table import COLUMNS
from geo_assets.model.geometry import GeoBox


def cell(rows: int, cols: int, *, crs: str = "EPSG:32633", left: int = 500_000, top: int = 5_200_000) -> CellBox:
    box = GeoBox(crs, Fraction(10), Fraction(left), Fraction(top), (rows, cols))
    return CellBox("435U_120L", box, shapely.to_wkb(box.lonlat()))


def offset(of: CellBox, chip: CellBox) -> tuple[Fraction, Fraction]:
    res = of.box.resolution
    return (of.box.top - chip.box.top) / res, (chip.box.left - of.box.left) / res


@given(st.integers(1, 900), st.integers(1, 900), st.integers(8, 300))
def test_chips_of_when_put_together_then_they_cover_the_cell_once_but_for_the_slack(rows, cols, size):
    of = cell(rows, cols)
    made = chips_of(of, size)
    slack = int(0.05 * size)
    low, high = np.array([rows, cols]), np.array([0, 0])
    seen = set()
    for chip in made:
        assert chip.box.shape == (size, size)
        row, col = offset(of, chip)
        assert row.denominator == col.denominator == 1  # on the cell's own pixels
        seen.add((int(row), int(col)))
        low, high = np.minimum(low, (row, col)), np.maximum(high, (row + size, col + size))
    assert len(seen) == len({c.id for c in made}) == len(made)
    assert {r % size for r, _ in seen} == {low[0] % size}  # side by side
    assert {c % size for _, c in seen} == {low[1] % size}
    for side, first, last in zip((rows, cols), low, high, strict=True):
        assert first <= slack
        assert side - last <= slack
        assert last - first - side < size  # no window too many
        assert abs((first + last) - side) <= 1  # in the middle


def test_chips_of_when_the_cell_is_a_pixel_larger_then_one_chip():
    assert [c.id for c in chips_of(cell(257, 256), 256)] == ["435U_120L_0_0"]
    assert len(chips_of(cell(512, 512), 256)) == 4
    assert [c.id for c in chips_of(cell(512, 256), 256)] == ["435U_120L_0_0", "435U_120L_1_0"]


def test_chips_of_when_rows_are_counted_then_from_the_north():
    upper, lower = chips_of(cell(512, 256), 256)
    assert upper.box.top > lower.box.top
    assert shapely.from_wkb(upper.outline).centroid.y > shapely.from_wkb(lower.outline).centroid.y


def test_place_of_when_given_to_the_table_then_its_columns_fit():
    (chip,) = chips_of(cell(256, 256), 256)
    place = place_of(chip)
    assert len(place["geohash"]) == 8
    west, south, east, north = shapely.from_wkb(place["geometry"]).bounds
    assert (place["west"], place["south"], place["east"], place["north"]) == (west, south, east, north)
    schema = pa.schema([COLUMNS.field(name) for name in place])
    assert pa.Table.from_pylist([place], schema=schema).num_rows == 1


def test_place_of_when_across_the_antimeridian_then_the_whole_circle_and_a_centroid_on_one_side():
    (chip,) = chips_of(cell(256, 256, crs="EPSG:32601", left=164_000, top=5_000), 256)  # the zone begins at 180 degrees
    place = place_of(chip)
    assert (place["west"], place["east"]) == pytest.approx((-180.0, 180.0))
    assert place["geohash"][0] in "8x"  # cells at the antimeridian
