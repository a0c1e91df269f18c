"""What every kind of table must do: inherit ``TableConformance`` and give the fixture ``opened``."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pytest
import shapely

from geo_assets.errors import ConfigError
from geo_assets.model.chip_table import COLUMNS, KEY, ChipTable, Where
from geo_assets.model.geohash import geohash_at

UTC = dt.UTC
NEVER = dt.timedelta(days=36_500)


def chips(
    numbers: Sequence[int], *, day: dt.date = dt.date(2024, 3, 5), sensor: str = "sentinel-2-l2a", clear: float = 0.5, **more: Any
) -> pa.Table:  # fmt: skip
    """Rows of chips that lie side by side from 15 degrees east, a tenth of a degree each; ``more`` are further columns."""
    rows = []
    for n in numbers:
        west, south = 15.0 + 0.1 * n, 47.0
        outline = shapely.box(west, south, west + 0.03, south + 0.03)
        rows.append(
            {
                "chip_id": f"c{n}_0_0", "sensor": sensor, "datetime": dt.datetime.combine(day, dt.time(10), UTC), "cell_id": f"c{n}", "region": "utm33n_r51_c5",
                "month": f"{day:%Y-%m}", "geohash": str(geohash_at(outline.centroid.x, outline.centroid.y, 8)), "href": "chips/a.zarr", "index": n,
                "scene_ids": [f"S2_{day:%Y%m%d}"], "valid_fraction": 1.0, "clear_fraction": clear, "fill_fraction": None, "max_age_days": None, "crs": "EPSG:32633",
                "transform": [10.0, 0.0, 500_000.0, 0.0, -10.0, 5_200_000.0], "bbox": dict(zip(("xmin", "ymin", "xmax", "ymax"), outline.bounds, strict=True)),
                **dict(zip(("west", "south", "east", "north"), outline.bounds, strict=True)),
                "geometry": shapely.to_wkb(outline),
            }
        )  # fmt: skip
    made = pa.Table.from_pylist(rows, schema=COLUMNS)
    for name, value in more.items():
        made = made.append_column(name, pa.array([value] * made.num_rows))
    return made


def ids(found: pa.Table) -> list[str]:
    """Chips of some rows."""
    return sorted(found["chip_id"].to_pylist())


class TableConformance:
    """Behaviour of a table, through its public methods."""

    @pytest.fixture
    def opened(self) -> Callable[[], ChipTable]:
        """Opens one and the same table, empty at first."""
        raise NotImplementedError

    def test_upsert_when_rows_are_new_then_they_are_read_as_they_were(self, opened: Callable[[], ChipTable]) -> None:
        """Every value of every column."""
        given = chips([0, 1, 2])
        assert opened().upsert(given)
        found = opened().read()
        by = [(name, "ascending") for name in KEY]
        assert found.select(COLUMNS.names).sort_by(by).to_pylist() == given.sort_by(by).to_pylist()

    def test_upsert_when_keys_are_there_then_their_rows_are_replaced(self, opened: Callable[[], ChipTable]) -> None:
        """And no row is there twice."""
        table = opened()
        table.upsert(chips([0, 1, 2], clear=0.1))
        assert table.upsert(chips([1, 2, 3], clear=0.9))
        found = {r["chip_id"]: r["clear_fraction"] for r in table.read().to_pylist()}
        assert found == {"c0_0_0": 0.1, "c1_0_0": 0.9, "c2_0_0": 0.9, "c3_0_0": 0.9}
        assert table.read().num_rows == 4

    def test_upsert_when_all_is_there_already_then_nothing_is_committed(self, opened: Callable[[], ChipTable]) -> None:
        """A rerun leaves no trace."""
        table = opened()
        table.upsert(chips([0, 1]))
        before = table.versions()
        assert not table.upsert(chips([1, 0]))
        assert not table.upsert(chips([]))
        assert table.versions() == before

    def test_upsert_when_time_or_sensor_differ_then_all_rows_stay(self, opened: Callable[[], ChipTable]) -> None:
        """A key is chip, sensor and time."""
        table = opened()
        for day, sensor in ((5, "sentinel-2-l2a"), (8, "sentinel-2-l2a"), (5, "landsat-c2-l2")):
            table.upsert(chips([0, 1], day=dt.date(2024, 3, day), sensor=sensor))
        assert table.read().num_rows == 6

    def test_upsert_when_a_key_is_given_twice_then_it_is_refused(self, opened: Callable[[], ChipTable]) -> None:
        """Which of the two is meant, nobody knows."""
        table = opened()
        with pytest.raises(ConfigError, match=r"c0_0_0 of sentinel-2-l2a at 2024-03-05T10:00:00Z is given 2 times"):
            table.upsert(chips([0, 1, 0]))
        assert table.read().num_rows == 0

    def test_upsert_when_a_column_lacks_then_it_is_refused(self, opened: Callable[[], ChipTable]) -> None:
        """The message names it."""
        with pytest.raises(ConfigError, match="lack href"):
            opened().upsert(chips([0]).drop_columns(["href"]))

    def test_upsert_when_a_column_is_new_then_older_states_are_read_as_before(
        self, opened: Callable[[], ChipTable]
    ) -> None:
        """And rows that do not have it have null."""
        table = opened()
        table.upsert(chips([0, 1]))
        (old,) = table.versions()[-1:]
        table.upsert(chips([1, 2], snow_fraction=0.25))
        found = {r["chip_id"]: r["snow_fraction"] for r in opened().read().to_pylist()}
        assert found == {"c0_0_0": None, "c1_0_0": 0.25, "c2_0_0": 0.25}
        assert ids(table.read(version=old.id)) == ["c0_0_0", "c1_0_0"]
        assert table.upsert(chips([0], clear=0.75))  # rows without the column may still come
        assert table.read(Where(chips=["c0_0_0"]))["clear_fraction"].to_pylist() == [0.75]

    def test_remove_when_keys_are_named_then_these_rows_go(self, opened: Callable[[], ChipTable]) -> None:
        """Keys that are not there count for nothing."""
        table = opened()
        table.upsert(chips([0, 1, 2]))
        assert table.remove(chips([1, 7]).select(list(KEY))) == 1
        assert ids(table.read()) == ["c0_0_0", "c2_0_0"]
        assert table.remove(chips([1]).select(list(KEY))) == 0

    def test_read_when_asked_for_a_part_then_only_that(self, opened: Callable[[], ChipTable]) -> None:
        """By place, time, sensor and quality."""
        table = opened()
        table.upsert(chips([0, 1, 2, 3], clear=0.2))
        table.upsert(chips([2, 3], day=dt.date(2024, 4, 2), clear=0.8))
        table.upsert(chips([3], sensor="landsat-c2-l2"))
        assert ids(table.read(Where(bounds=(15.05, 46.9, 15.15, 47.1)))) == ["c1_0_0"]
        assert ids(table.read(Where(bounds=(179.0, 46.9, 15.05, 47.1)))) == ["c0_0_0"]  # over the antimeridian
        assert table.read(Where(months=["2024-04"])).num_rows == 2
        assert table.read(Where(after=dt.datetime(2024, 4, 1, tzinfo=UTC))).num_rows == 2
        assert table.read(Where(before=dt.datetime(2024, 4, 1, tzinfo=UTC))).num_rows == 5
        assert table.read(Where(sensors=["landsat-c2-l2"])).num_rows == 1
        assert table.read(Where(min_clear=0.8)).num_rows == 2
        assert ids(table.read(Where(chips=["c0_0_0", "c9_0_0"]))) == ["c0_0_0"]
        assert table.read(columns=["chip_id"]).column_names == ["chip_id"]
        with pytest.raises(ConfigError, match="no column cloud; there are chip_id"):
            table.read(columns=["cloud"])

    def test_read_when_a_state_is_named_then_it_is_as_it_was(self, opened: Callable[[], ChipTable]) -> None:
        """By id and by time."""
        table = opened()
        table.upsert(chips([0]))
        first = table.versions()[-1]
        table.upsert(chips([0, 1], clear=0.9))
        last = table.versions()[-1]
        assert ids(table.read(version=first.id)) == ids(table.read(version=first.time)) == ["c0_0_0"]
        assert table.read(version=first.id)["clear_fraction"].to_pylist() == [0.5]
        assert (first.rows, last.rows) == (1, 2)
        with pytest.raises(ConfigError, match="has no state 1; the newest are"):
            table.read(version=1)

    def test_versions_when_read_each_then_none_lacks_rows_that_no_change_took(
        self, opened: Callable[[], ChipTable]
    ) -> None:
        """A change is one state: there is none in which old rows are gone and new ones not there yet."""
        table = opened()
        for n in range(1, 5):
            table.upsert(chips(range(n), clear=n / 10))
        assert [table.read(version=v.id).num_rows for v in table.versions()] == [1, 2, 3, 4]

    def test_tidy_when_files_are_many_then_fewer_and_rows_stay(self, opened: Callable[[], ChipTable]) -> None:
        """Old states go, and what only they named."""
        table = opened()
        for n in range(8):
            table.upsert(chips([0], day=dt.date(2024, 3, 1 + n)))
        before = table.read().to_pylist()
        kept = table.tidy(keep=NEVER, orphans=NEVER)
        assert kept.files_before > kept.files_after
        assert (kept.versions, kept.removed) == (0, 0)
        done = opened().tidy(keep=dt.timedelta(0), orphans=dt.timedelta(0))
        assert done.versions >= 8
        assert done.removed >= 8
        assert len(opened().versions()) == 1
        assert sorted(opened().read().to_pylist(), key=str) == sorted(before, key=str)
