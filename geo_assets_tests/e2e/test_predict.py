"""From scenes to a cube to a map: a model's windows over a cube as `geo_assets.open` gives it, whole and block by block."""

import numpy as np
import pytest
import shapely
import yaml

import geo_assets
from geo_assets.eo.windows import Windows
from geo_assets.project import load_project
from geo_assets.tasks.predict import DatasetRaster, OpenModel, predicted
from geo_assets.testing.model_files import CLASSES, item_for, weights
from geo_assets.testing.plain_run import run_plain
from geo_assets.testing.world import SampleWorld

MONTHS = ("2024-05", "2024-06")


class Smooth:
    """Scores of a pixel and its neighbours, so that windows matter."""

    def run(self, batch):
        scores = np.einsum("ctb,ntbyx->ncyx", weights(), batch)
        return (sum(np.roll(scores, n, -1) for n in (-2, -1, 0, 1, 2)) / 5).astype(np.float32)


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    world = SampleWorld(
        months=MONTHS, size_px=(256, 384), overlap_px=64, days=3, with_broken=False, with_duplicate=False
    )
    world.write(folder / "world")
    (folder / "area.geojson").write_text(shapely.to_geojson(world.aoi))
    settings = {
        "name": "small", "aois": {"area": "area.geojson"}, "months": {"start": MONTHS[0], "end": MONTHS[-1]},
        "catalog": {"kind": "static", "path": "world/catalog.json"}, "storage": "./data",
        "grid": {"kind": "square", "size_m": 640, "crs": world.crs}, "cube": {"block_px": 128, "chunk_px": 64},
    }  # fmt: skip
    (folder / "project.yaml").write_text(yaml.safe_dump(settings))
    run_plain(load_project(folder / "project.yaml"))
    return geo_assets.open(str(folder / "data")).cube()


@pytest.mark.heavy
def test_cube_when_a_model_is_run_block_by_block_then_the_map_is_that_of_the_whole(cube):
    model = OpenModel(item_for(b"x", "torch.export.save", window=32, months=(5, 6)), Smooth(), Windows(32, 4), 8)
    raster = DatasetRaster(cube, model.item, origin=(1280, 640))
    made = np.argwhere(np.isfinite(cube["red"].values).any(0))
    (top, left), (bottom, right) = made.min(0), made.max(0) + 1
    whole = predicted(model, raster, (slice(top, bottom), slice(left, right)))
    observed = np.all([np.isfinite(cube[b].values).all(0) for b in ("red", "green", "nir")], axis=0)[
        top:bottom, left:right
    ]
    assert 0.1 < observed.mean() < 1
    assert np.array_equal(whole.labels != 255, observed)
    assert set(np.unique(whole.labels)) <= {255, *(10 * n for n in range(CLASSES))}
    for row in range(top // 128 * 128, bottom, 128):
        for col in range(left // 128 * 128, right, 128):
            rows, cols = slice(max(row, top), min(row + 128, bottom)), slice(max(col, left), min(col + 128, right))
            part = predicted(model, raster, (rows, cols))
            where = slice(rows.start - top, rows.stop - top), slice(cols.start - left, cols.stop - left)
            assert np.nanmax(np.abs(part.scores - whole.scores[:, *where]), initial=0) <= 1e-6
            assert np.array_equal(part.labels, whole.labels[where])
