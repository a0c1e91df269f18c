"""Runs on other backends that are stopped or killed: nothing of what they started is left."""

import contextlib
import os
import signal
from pathlib import Path

import psutil
import pytest
import yaml

from geo_assets.testing.world import SampleWorld
from geo_assets_tests.e2e.tools import children, cli, start, wait_for

pytestmark = pytest.mark.slow
WORLD = SampleWorld(
    months=("2024-03", "2024-04", "2024-05", "2024-06", "2024-07", "2024-08"), size_px=(256, 512), overlap_px=64, days=4, internal_px=128, with_broken=False, with_duplicate=False
)  # fmt: skip
BACKENDS = {
    "processes": {"backend": "local", "isolation": "process", "workers": 2},
    "dask": {"backend": "dask", "workers": 2},
    "ray": {"backend": "ray", "workers": 2},
    "lithops": {"backend": "lithops", "workers": 2},
}
OFTEN = {("processes", signal.SIGKILL), ("dask", signal.SIGKILL), ("ray", signal.SIGTERM)}
# One end a backend; the other one, and Lithops, which starts a process a task on this machine, take long
ENDS = [
    pytest.param(backend, sent, marks=pytest.mark.heavy if (backend, sent) in OFTEN else pytest.mark.nightly)
    for backend in BACKENDS
    for sent in (signal.SIGTERM, signal.SIGKILL)
]
LIBRARIES = {"dask": "distributed", "ray": "ray", "lithops": "lithops"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("world")
    WORLD.write(path)
    return path


def project(folder: Path, world: Path, compute: dict[str, object]) -> Path:
    document = {
        "name": "stopped", "aois": {"a": str(world / "aoi.gpkg")}, "months": {"start": WORLD.months[0], "end": WORLD.months[-1]}, "storage": "./data",
        "catalog": {"kind": "static", "path": str(world / "catalog.json")}, "grid": {"kind": "square", "size_m": 320, "crs": "EPSG:32633"},
        "cube": {"crs": "EPSG:32633", "block_px": 64, "chunk_px": 32, "region_blocks": 24, "bands": ["red"]}, "compute": compute,
    }  # fmt: skip
    folder.mkdir()
    (folder / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return folder


def made(folder: Path) -> dict[str, str]:
    """Receipts of composites that are there, by place."""
    return {str(f): f.read_text() for f in sorted(folder.glob("data/receipts/composite/*/*.json"))}


@pytest.mark.parametrize(("backend", "sent"), ENDS)
def test_run_when_it_is_ended_half_way_then_no_process_is_left_and_it_goes_on(tmp_path, world, backend, sent):
    if backend in LIBRARIES:
        pytest.importorskip(LIBRARIES[backend], reason=f"the extra {backend} is not installed")
    folder = project(tmp_path / "p", world, BACKENDS[backend])
    process = start(folder, "run", log=tmp_path / "log")
    wait_for(lambda: len(made(folder)) or process.poll() is not None, "the first partition", every_s=0.02)
    family = [psutil.Process(pid) for pid in children(process.pid)]
    assert len(family) > 2
    os.kill(process.pid, sent)
    process.wait(120)
    before = made(folder)
    assert 0 < len(before) < len(WORLD.months)
    _, alive = psutil.wait_procs(family, timeout=60 if backend != "ray" else 240)
    running = [left for left in alive if _runs(left)]
    for left in running:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()
    assert not running
    answer = cli(folder, "run")
    assert answer["partitions"]["failed"] == 0
    assert answer["partitions"]["skipped"] >= len(before)
    assert {k: v for k, v in made(folder).items() if k in before} == before


def _runs(process: psutil.Process) -> bool:
    """Whether it does; one that has ended and that nobody has asked for does not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False
