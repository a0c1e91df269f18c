"""A region that cells of its neighbour reach into, and that owns none: nothing is made of whole cells there."""

from pathlib import Path

import pytest

from geo_assets.doors.instance import workspace
from geo_assets.doors.plan import plan_project
from geo_assets.doors.status import status
from geo_assets.tasks.cells import owns_cells
from geo_assets_tests.assets.tiny import MIDDLE, MONTHS, SENSOR, WEST, WORLD, Tiny, write_area

LAYERS = f"ard/{SENSOR}"


def test_status_and_plan_when_a_region_owns_no_cell_then_its_layers_are_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    WORLD.write(tmp_path / "world")
    tiny = Tiny.create(
        tmp_path / "p", tmp_path / "world", products=["ard", "composite"], months={"start": MONTHS[0], "end": MONTHS[0]},
        grid={"kind": "square", "size_m": 480, "crs": "EPSG:32633"},
    )  # fmt: skip
    write_area(tiny.folder / "area.gpkg", (511_000, 5_233_100, 511_990, 5_233_400))  # the last cell ends at 512,160
    place, periods = workspace(tiny.loaded), tiny.loaded.periods()
    assert {r: owns_cells(place.cut.of_region(r), r) for r in place.cut.regions} == {WEST: True, MIDDLE: False}
    states = status(place, periods)
    assert [(s.region, s.state) for s in states if s.product == LAYERS] == [(WEST, "missing")]
    assert {s.region for s in states if s.product == "composite"} == {WEST, MIDDLE}
    plans = plan_project(place, list(periods.between(None, None)), place.cut.regions, ["ard"])
    assert [(p.product, p.partitions) for p in plans] == [(LAYERS, 1)]
    assert tiny.run(products=["ard"]).complete
    states = status(workspace(tiny.loaded), periods)
    assert [(s.region, s.state) for s in states if s.product == LAYERS] == [(WEST, "fresh")]
