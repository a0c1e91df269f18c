"""Ground range layers and composites from the command line: made, fresh, stale once their heights are others, and made again."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import geo_assets
from geo_assets.model.crs import transformer
from geo_assets.testing.steep_world import CRS, DEM, GEOID_M, GRD, MONTH, SteepWorld
from geo_assets_tests.e2e.tools import cli

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")]
LAYERS = f"ard/{GRD}"


@pytest.mark.heavy
def test_ground_range_layers_from_plan_to_another_height_model(tmp_path: Path) -> None:
    world = SteepWorld()
    world.write(tmp_path / "world")
    to_degrees = transformer(CRS, "EPSG:4326").transform
    x, y = world.middle
    (west, south), (east, north) = to_degrees(x - 400, y - 400), to_degrees(x + 400, y + 400)
    box = [west, south, east, north]
    document = {
        "name": "steep", "storage": "./data", "products": ["ard", "composite"], "months": {"start": MONTH, "end": MONTH},
        "aois": {"a": {"bbox": box}}, "sensors": [GRD, "dem"], "catalog": {"kind": "static", "path": "world/catalog.json"},
        "grid": {"kind": "square", "size_m": 640, "crs": CRS}, "cube": {"sensor": GRD, "bands": ["vv"], "resolution": 10, "block_px": 256, "chunk_px": 64, "region_blocks": 8},
        "ard": {"sensors": [GRD], "geoid_m": GEOID_M},
    }  # fmt: skip
    (tmp_path / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    planned = cli(tmp_path, "plan")["products"]
    assert list(planned) == ["cells", f"scenes/{GRD}", "scenes/dem", LAYERS, "composite"]
    assert all(planned[product]["bytes"] > 0 for product in (LAYERS, "composite"))

    made = cli(tmp_path, "run")
    assert (made["partitions"]["ok"], made["partitions"]["failed"]) == (made["partitions"]["total"], 0)
    everything = made["partitions"]["total"]
    states = cli(tmp_path, "status")["products"]
    assert all(states[product]["stale"] == states[product]["missing"] == 0 for product in (LAYERS, "composite"))
    store = geo_assets.open(tmp_path / "data")
    layers = store.ard(GRD, month=MONTH)
    assert {i for ids in layers["item_ids"] for i in ids if "_DEM" in i} == {
        f"Copernicus_DSM_COG_10_{side}_2021_DEM" for side in "WE"
    }
    vv = store.cube()["vv"].isel(time=0).sel(x=slice(x - 400, x + 400), y=slice(y + 400, y - 400)).to_numpy()
    assert np.isfinite(vv).sum() > 5_000
    again = cli(tmp_path, "run")
    assert (again["partitions"]["skipped"], again["bytes_read"]) == (everything, 0)

    shutil.rmtree(tmp_path / "world" / DEM)
    world.write_heights(tmp_path / "world", version="2024")
    cli(tmp_path, "run", "--products", "scenes")
    states = cli(tmp_path, "status")
    for product in (LAYERS, "composite"):
        assert states["products"][product]["stale"] > 0
        assert {s["reason"] for s in states["partitions"] if s["product"] == product and s["state"] == "stale"} == {
            "2 new scenes of heights, 2 withdrawn scenes of heights"
        }
    assert cli(tmp_path, "run")["partitions"]["failed"] == 0
    layers = geo_assets.open(tmp_path / "data").ard(GRD, month=MONTH)
    assert {i[-8:-4] for ids in layers["item_ids"] for i in ids if "_DEM" in i} == {"2024"}
