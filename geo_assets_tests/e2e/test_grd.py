"""Ground range layers from the command line: made, fresh, stale once their heights are others, and made again."""

import shutil
from pathlib import Path

import pytest
import yaml

import geo_assets
from geo_assets.model.crs import transformer
from geo_assets.testing.steep_world import CRS, DEM, GEOID_M, GRD, MONTH, SteepWorld
from geo_assets_tests.e2e.tools import cli

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")]
PRODUCT = f"ard/{GRD}"


@pytest.mark.heavy
def test_ground_range_layers_from_plan_to_another_height_model(tmp_path: Path) -> None:
    world = SteepWorld()
    world.write(tmp_path / "world")
    to_degrees = transformer(CRS, "EPSG:4326").transform
    x, y = world.middle
    (west, south), (east, north) = to_degrees(x - 400, y - 400), to_degrees(x + 400, y + 400)
    document = {
        "name": "steep", "storage": "./data", "products": ["ard"], "months": {"start": MONTH, "end": MONTH},
        "aois": {"a": {"bbox": [west, south, east, north]}}, "sensors": [GRD, "dem"], "catalog": {"kind": "static", "path": "world/catalog.json"},
        "grid": {"kind": "square", "size_m": 640, "crs": CRS}, "cube": {"sensor": GRD, "bands": ["vv"], "resolution": 10},
        "ard": {"sensors": [GRD], "geoid_m": GEOID_M},
    }  # fmt: skip
    (tmp_path / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    planned = cli(tmp_path, "plan")["products"]
    assert list(planned) == ["cells", f"scenes/{GRD}", "scenes/dem", PRODUCT]
    assert planned[PRODUCT]["bytes"] > 0

    made = cli(tmp_path, "run")
    assert made["partitions"] == {"total": 1, "ok": 1, "partial": 0, "failed": 0, "skipped": 0}
    assert cli(tmp_path, "status")["products"][PRODUCT]["fresh"] == 1
    layers = geo_assets.open(tmp_path / "data").ard(GRD, month=MONTH)
    assert {i for ids in layers["item_ids"] for i in ids if "_DEM" in i} == {
        f"Copernicus_DSM_COG_10_{side}_2021_DEM" for side in "WE"
    }
    again = cli(tmp_path, "run")
    assert (again["partitions"]["skipped"], again["bytes_read"]) == (1, 0)

    shutil.rmtree(tmp_path / "world" / DEM)
    world.write_heights(tmp_path / "world", version="2024")
    cli(tmp_path, "run", "--products", "scenes")
    states = cli(tmp_path, "status")
    assert states["products"][PRODUCT]["stale"] == 1
    assert [s["reason"] for s in states["partitions"] if s["product"] == PRODUCT] == [
        "2 new scenes of heights, 2 withdrawn scenes of heights"
    ]
    assert cli(tmp_path, "run")["partitions"]["ok"] == 1
    layers = geo_assets.open(tmp_path / "data").ard(GRD, month=MONTH)
    assert {i[-8:-4] for ids in layers["item_ids"] for i in ids if "_DEM" in i} == {"2024"}
