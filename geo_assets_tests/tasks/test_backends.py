"""The same project on every backend: the same pixels to the last bit."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from geo_assets.compute._spark_context import check_java
from geo_assets.errors import ConfigError
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
    "ray": {"workers": 2, "backend": "ray"},
    "lithops": {"workers": 2, "backend": "lithops"},
}
HEAVY = ("lambda", "coiled", "spark", "scheduler")  # take long to start


def project(folder: Path, catalog: Path, compute: dict[str, Any], **settings: Any) -> LoadedProject:
    document = {
        "name": "backends", "storage": "./data", "catalog": {"kind": "static", "path": str(catalog)}, "compute": compute,
        "grid": {"kind": "lonlat", "step": "1/500"},
        "cube": {"crs": "EPSG:32633", "block_px": 64, "chunk_px": 32, "region_blocks": 12, "bands": ["red", "nir"]}, **settings,
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return load_project(folder / "geo_assets.yaml")


def pixels_on(
    name: str, compute: dict[str, Any], tmp_path: Path, catalog: Path, month: str, bounds: Any, **settings: Any
) -> np.ndarray:
    """Bands and n_clear, dims (layer, y, x), as a backend makes them."""
    loaded = project(tmp_path / name, catalog, compute, months={"start": month, "end": month}, **settings)
    run = run_plain(loaded)
    assert {r.status for r in run.receipts.values()} == {"ok"}
    assert sum(len(r.blocks) for r in run.receipts.values()) > 3
    stored = stored_pixels(loaded, "utm33n", month, bounds)
    return np.stack([stored.values[n] for n in ("red", "nir", "n_clear")])


def pixels_on_all(tmp_path: Path, catalog: Path, month: str, bounds: Any, **settings: Any) -> dict[str, np.ndarray]:
    """The same by backend, of those that are quick to start."""
    return {
        name: pixels_on(name, compute, tmp_path, catalog, month, bounds, **settings)
        for name, compute in BACKENDS.items()
    }


@contextlib.contextmanager
def here(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Settings of a slower backend, with what it needs on this machine; skips where that is missing."""
    if name == "lambda":
        pytest.importorskip("lithops", reason="the extra lithops is not installed")
        pytest.importorskip("moto", reason="S3 is played by moto, of the extra `dev`")
        from geo_assets_tests.compute.lambda_world import ONE
        from geo_assets_tests.compute.lambda_world import running as on_lambda

        with on_lambda(folder / "sandboxes") as cloud:
            yield cloud.settings(memory_mb=2048)
            assert cloud.cloud.billed_s(ONE) > 1
            assert cloud.objects() == []
    elif name == "scheduler":
        pytest.importorskip("distributed", reason="the extra dask is not installed")
        from geo_assets_tests.compute.dask_cluster import running

        (folder / "cluster").mkdir()
        with running(folder / "cluster") as tls:
            yield {"backend": "dask", **tls}
    elif name == "spark":
        pytest.importorskip("pyspark", reason="PySpark is not installed: make spark")
        try:
            check_java()
        except ConfigError as e:
            pytest.skip(str(e))
        yield {"workers": 2, "backend": "spark"}
    else:
        pytest.importorskip("coiled", reason="the extra coiled is not installed")
        from geo_assets_tests.compute.coiled_cluster import coiled_here

        with coiled_here() as machines:
            yield {"workers": 2, "backend": "coiled", "regions": {"sentinel-2-l2a": "us-west-2"}}
            assert [c.asked["region"] for c in machines.made] == ["us-west-2"] * len(machines.made)
            assert machines.made


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("world")
    WORLD.write(path)
    return path


@pytest.mark.heavy
def test_composite_of_the_sample_world_is_the_same_on_every_backend(tmp_path, world):
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    pytest.importorskip("ray", reason="the extra ray is not installed")
    pytest.importorskip("lithops", reason="the extra lithops is not installed")
    found = pixels_on_all(
        tmp_path, world / "catalog.json", "2024-06", WORLD.box.bounds, aois={"a": str(world / "aoi.gpkg")}
    )
    assert (found["threads"][2] > 0).sum() == 28_300
    assert {name: np.array_equal(found["threads"], pixels) for name, pixels in found.items()} == dict.fromkeys(
        BACKENDS, True
    )


@pytest.mark.heavy
@pytest.mark.parametrize("name", HEAVY)
def test_composite_of_the_sample_world_is_the_same_on_the_slower_backends(tmp_path, world, name):
    where = (tmp_path, world / "catalog.json", "2024-06", WORLD.box.bounds)
    area = {"aois": {"a": str(world / "aoi.gpkg")}}
    threads = pixels_on("threads", BACKENDS["threads"], *where, **area)
    with here(name, tmp_path) as settings:
        found = pixels_on(name, settings, *where, **area)
    assert (threads[2] > 0).sum() == 28_300
    assert np.array_equal(threads, found)


def real() -> tuple[Path, str, tuple[int, int, int, int]]:
    return real_data("stac", "catalog.json"), "2023-08", (499_980, 5_090_000, 508_000, 5_100_000)


REAL = {
    "aois": {"a": {"bbox": [15.0, 46.0, 15.04, 46.03]}}, "sensors": [{"sensor": "sentinel-2-l2a", "collections": ["s2-l2a-33t"]}],
    "cube": {"crs": "EPSG:32633", "resolution": 60, "block_px": 32, "chunk_px": 32, "region_blocks": 12, "bands": ["red", "nir"]},
}  # fmt: skip


@pytest.mark.heavy
@pytest.mark.realdata
def test_composite_of_real_scenes_is_the_same_on_every_backend(tmp_path):
    for library in ("distributed", "lithops", "ray"):
        pytest.importorskip(library, reason=f"the extra of {library} is not installed")
    found = pixels_on_all(tmp_path, *real(), **REAL)
    assert (found["threads"][2] > 0).sum() == 5_312
    assert {name: np.array_equal(found["threads"], pixels) for name, pixels in found.items()} == dict.fromkeys(
        BACKENDS, True
    )


@pytest.mark.heavy
@pytest.mark.realdata
@pytest.mark.parametrize("name", HEAVY)
def test_composite_of_real_scenes_is_the_same_on_the_slower_backends(tmp_path, name):
    threads = pixels_on("threads", BACKENDS["threads"], tmp_path, *real(), **REAL)
    with here(name, tmp_path) as settings:
        found = pixels_on(name, settings, tmp_path, *real(), **REAL)
    assert (threads[2] > 0).sum() == 5_312
    assert np.array_equal(threads, found)
