"""The same project on every backend: the same pixels to the last bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from geo_assets.project import LoadedProject, load_project
from geo_assets.testing.plain_run import run_plain, stored_pixels
from geo_assets.testing.world import SampleWorld
from geo_assets_tests.realdata import real_data

WORLD = SampleWorld(
    months=("2024-06",), size_px=(128, 256), overlap_px=64, days=3, internal_px=128, with_broken=False, with_duplicate=False
)  # fmt: skip
BACKENDS = {
    "threads": {"workers": 2},
    "processes": {"workers": 2, "isolation": "process"},
    "dask": {"workers": 2, "backend": "dask"},
    "lithops": {"workers": 2, "backend": "lithops"},
}


def project(folder: Path, catalog: Path, compute: dict[str, Any], **settings: Any) -> LoadedProject:
    document = {
        "name": "backends", "storage": "./data", "catalog": {"kind": "static", "path": str(catalog)}, "compute": compute,
        "grid": {"kind": "lonlat", "step": "1/500"},
        "cube": {"crs": "EPSG:32633", "block_px": 64, "chunk_px": 32, "region_blocks": 12, "bands": ["red", "nir"]}, **settings,
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return load_project(folder / "geo_assets.yaml")


def pixels_on_all(
    tmp_path: Path, catalog: Path, month: str, bounds: Any, backends: dict[str, dict[str, Any]] = BACKENDS, **settings: Any
) -> dict[str, np.ndarray]:  # fmt: skip
    """Bands and n_clear by backend, dims (layer, y, x)."""
    found = {}
    for name, compute in backends.items():
        loaded = project(tmp_path / name, catalog, compute, months={"start": month, "end": month}, **settings)
        run = run_plain(loaded)
        assert {r.status for r in run.receipts.values()} == {"ok"}
        assert sum(len(r.blocks) for r in run.receipts.values()) > 3
        stored = stored_pixels(loaded, "utm33n", month, bounds)
        found[name] = np.stack([stored.values[n] for n in ("red", "nir", "n_clear")])
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("world")
    WORLD.write(path)
    return path


def test_composite_of_the_sample_world_is_the_same_on_every_backend(tmp_path, world):
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    pytest.importorskip("lithops", reason="the extra lithops is not installed")
    found = pixels_on_all(
        tmp_path, world / "catalog.json", "2024-06", WORLD.box.bounds, aois={"a": str(world / "aoi.gpkg")}
    )
    assert (found["threads"][2] > 0).sum() == 28_300
    assert np.array_equal(found["threads"], found["processes"])
    assert np.array_equal(found["threads"], found["dask"])
    assert np.array_equal(found["threads"], found["lithops"])


@pytest.mark.heavy
def test_composite_on_aws_lambda_is_the_same(tmp_path, world):
    pytest.importorskip("lithops", reason="the extra lithops is not installed")
    pytest.importorskip("moto", reason="S3 is played by moto, of the extra `dev`")
    from geo_assets_tests.compute.lambda_world import ONE, running

    with running(tmp_path / "sandboxes") as cloud:
        backends = {"threads": BACKENDS["threads"], "lambda": cloud.settings(memory_mb=2048)}
        found = pixels_on_all(
            tmp_path, world / "catalog.json", "2024-06", WORLD.box.bounds, backends, aois={"a": str(world / "aoi.gpkg")}
        )
        assert cloud.cloud.billed_s(ONE) > 1
        assert cloud.objects() == []
    assert (found["threads"][2] > 0).sum() == 28_300
    assert np.array_equal(found["threads"], found["lambda"])


@pytest.mark.realdata
def test_composite_of_real_scenes_is_the_same_on_every_backend(tmp_path):
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    pytest.importorskip("lithops", reason="the extra lithops is not installed")
    found = pixels_on_all(
        tmp_path, real_data("stac", "catalog.json"), "2023-08", (499_980, 5_090_000, 508_000, 5_100_000),
        aois={"a": {"bbox": [15.0, 46.0, 15.04, 46.03]}}, sensors=[{"sensor": "sentinel-2-l2a", "collections": ["s2-l2a-33t"]}],
        cube={"crs": "EPSG:32633", "resolution": 60, "block_px": 32, "chunk_px": 32, "region_blocks": 12, "bands": ["red", "nir"]},
    )  # fmt: skip
    assert (found["threads"][2] > 0).sum() == 5_312
    assert np.array_equal(found["threads"], found["processes"])
    assert np.array_equal(found["threads"], found["dask"])
    assert np.array_equal(found["threads"], found["lithops"])
