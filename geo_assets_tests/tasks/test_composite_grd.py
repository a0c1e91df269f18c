"""Composites of ground range scenes: real project files over made-up ground whose backscatter and heights are known."""

import errno
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml

from geo_assets.errors import ConfigError
from geo_assets.model.crs import transformer
from geo_assets.project import LoadedProject, load_project
from geo_assets.tasks import partition
from geo_assets.tasks.composite import run
from geo_assets.tasks.partition import PartitionPlan
from geo_assets.testing.plain_ard import run_ard
from geo_assets.testing.plain_run import PlainRun, run_plain, stored_pixels
from geo_assets.testing.steep_world import CRS, DEM, GEOID_M, GRD, MONTH, SteepWorld
from geo_assets.testing.world import SampleWorld
from geo_assets.testing.world_grd import GEOID_M as WORLD_GEOID_M

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
WORLD = SteepWorld()


def project(
    home: Path, *, half_m: float = 400, sensors: Any = (GRD, "dem"), ard: Any = None, cube: Any = None, **settings: Any
) -> LoadedProject:
    to_degrees = transformer(CRS, "EPSG:4326").transform
    x, y = WORLD.middle
    (west, south), (east, north) = to_degrees(x - half_m, y - half_m), to_degrees(x + half_m, y + half_m)
    document = {
        "name": "steep", "storage": "./data", "products": ["composite"], "months": {"start": MONTH, "end": MONTH},
        "aois": {"a": {"bbox": [west, south, east, north]}}, "sensors": list(sensors), "catalog": {"kind": "static", "path": "world/catalog.json"},
        "grid": {"kind": "square", "size_m": 160, "crs": CRS},
        "cube": {"sensor": GRD, "bands": ["vv", "vh"], "resolution": 10, "block_px": 128, "chunk_px": 16, "region_blocks": 20, "store": "zarr", **(cube or {})},
        "ard": {"geoid_m": GEOID_M, **(ard or {})}, "compute": {"backend": "local", "workers": 1}, **settings,
    }  # fmt: skip
    (home / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return load_project(home / "geo_assets.yaml")


def pixels(loaded: LoadedProject) -> Any:
    x, y = WORLD.middle
    return stored_pixels(loaded, "utm32n", MONTH, (x - 2000, y - 2000, x + 2000, y + 2000))


def only(run: PlainRun) -> Any:
    (found,) = run.receipts.values()
    return found


def plan(run: PlainRun) -> PartitionPlan:
    (found,) = run.plans.values()
    return found


def test_composite_when_ground_is_steep_then_gamma0_is_the_truth_in_both_polarisations(home):
    loaded = project(home)
    of = only(run_plain(loaded))
    assert of.status == "ok"
    found = pixels(loaded)
    lon, lat = transformer(CRS, "EPSG:4326").transform(*np.meshgrid(found.x, found.y))
    for name, worst in (("vv", 0.012), ("vh", 0.03)):
        values = found.values[name]
        seen = np.isfinite(values)
        assert (values.dtype, seen.sum() > 5_000) == (np.float32, True)
        assert np.abs(values[seen] / WORLD.radar.truth(lon, lat, name)[seen] - 1).max() < worst
        assert np.array_equal(found.values["n_clear"] == 1, np.isfinite(found.values["vv"]))


def test_composite_when_of_one_scene_then_its_pixels_are_those_of_the_layers(home):
    """Whatever windows, strips and parts they were worked out in."""
    loaded = project(home, products=["ard", "composite"])
    run_plain(loaded)
    found, compared = pixels(loaded), 0
    for table in (t for key, t in run_ard(loaded).tables.items() if key[0] == GRD):
        for row in table.to_dict("records"):
            a, _, c, _, e, f = row["transform"]
            rows, cols = row["shape"]
            left, top = np.searchsorted(found.x, c + a / 2), np.searchsorted(-found.y, -(f + e / 2))
            with rasterio.open(loaded.storage.uri(row["cog"])) as file:
                for name, values in zip(("vv", "vh"), file.read(), strict=True):
                    part = found.values[name][top : top + rows, left : left + cols]
                    np.testing.assert_array_equal(part, values)
                    compared += int(np.isfinite(values).sum())
    assert compared > 10_000


def test_composite_when_cells_are_added_then_only_they_are_made_and_equal_those_made_at_once(home):
    run_plain(project(home, half_m=150))
    more = run_plain(project(home))
    assert {t.reason for t in plan(more).todo if t.adds} == {"new cells"}
    once = project(home, storage="./once")
    run_plain(once)
    found, expected = pixels(project(home)), pixels(once)
    for name in ("vv", "vh", "n_clear"):
        np.testing.assert_array_equal(found.values[name], expected.values[name])


def test_composite_when_nothing_changed_then_fresh_and_names_its_heights(home):
    of = only(run_plain(project(home)))
    used = {"Copernicus_DSM_COG_10_W_2021_DEM", "Copernicus_DSM_COG_10_E_2021_DEM"}
    assert {h.id for h in of.heights} == used
    assert {i for b in of.blocks for i in b.height_ids} == used
    assert plan(run_plain(project(home))).done is not None


def test_plan_when_heights_or_an_option_change_then_stale_and_the_reason_says_so(home):
    run_plain(project(home))
    assert plan(run_plain(project(home, ard={"backscatter": "db"}))).reason == ""  # of layers alone
    assert plan(run_plain(project(home, ard={"denoise": False}))).reason == "recipe changed: ard.denoise True -> False"
    shutil.rmtree(home / "world" / DEM)
    WORLD.write_heights(home / "world", version="2024")
    assert (
        plan(run_plain(project(home, ard={"denoise": False}))).reason
        == "2 new scenes of heights, 2 withdrawn scenes of heights"
    )


def test_composite_when_bands_are_two_and_strips_many_then_files_are_read_once(home):
    cube = {"block_px": 1024, "memory_mb": 192}
    of = only(run_plain(project(home, cube=cube)))
    files = [
        f for name in (GRD, DEM) for f in (home / "world" / name).rglob("*") if f.suffix in (".tiff", ".xml", ".tif")
    ]
    assert len(of.blocks) <= 2  # each of which reads headers and annotations, and the heights around it
    assert of.figures["bytes_read"] < 1.3 * len(of.blocks) * sum(f.stat().st_size for f in files)


def test_composite_when_no_heights_are_known_then_empty_and_the_receipt_says_so(home):
    gone = [f"Copernicus_DSM_COG_10_{e}_2021_DEM" for e in "WE"]
    of = only(run_plain(project(home, sensors=(GRD, {"sensor": "dem", "exclude": gone}))))
    assert (of.status, of.figures["observed_share"]) == ("ok", 0)
    assert any("dem has no heights under 1 of 1 windows of blocks" in note for b in of.blocks for note in b.notes)


def test_composite_when_the_user_judges_pixels_then_what_is_not_clear_is_empty(home, monkeypatch):
    (home / "radar_mask.py").write_text("import numpy as np\n\ndef loud(power):\n    return power > 0.1\n")
    monkeypatch.syspath_prepend(str(home))
    loaded = project(home, mask={"kind": "radar_mask:loud", "band": "vv"})
    run_plain(loaded)
    masked = pixels(loaded)
    plain = project(home, storage="./plain")
    run_plain(plain)
    vv = pixels(plain).values["vv"]
    np.testing.assert_array_equal(masked.values["vv"], np.where(vv > 0.1, vv, np.nan))
    assert 0 < np.isfinite(masked.values["vv"]).sum() < np.isfinite(vv).sum()


def test_composite_when_the_disk_is_full_then_the_block_fails_and_says_where(home, monkeypatch):
    class Full:
        def __enter__(self) -> Any:
            raise OSError(errno.ENOSPC, "No space left on device")

        def __exit__(self, *_: Any) -> None: ...

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    of = only(run_plain(project(home)))
    assert of.status == "failed"
    causes = {b.cause for b in of.blocks}
    assert any("No space left on device" in c and "TMPDIR" in c for c in causes)


def test_composite_when_a_block_and_its_ground_take_too_much_memory_then_refused_before_work(home):
    with pytest.raises(ConfigError, match=r"a block of 4096 x 4096 pixels with the ground .* cube.memory_mb is 384"):
        run_plain(project(home, cube={"block_px": 4096, "chunk_px": 512}))
    assert not list((home / "data").rglob("composite*"))


def test_composite_when_made_then_no_temporary_file_is_left(home, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    run_plain(project(home))
    assert list(folder.iterdir()) == []


def test_composite_when_both_directions_see_the_sample_world_then_a_median_of_two_days(tmp_path):
    world = SampleWorld(
        months=("2024-06",), days=2, size_px=(160, 192), overlap_px=64, internal_px=64, sensors=(GRD, "dem"), with_broken=False, with_duplicate=False,
    )  # fmt: skip
    world.write(tmp_path / "world")
    west, south, east, north = world.box.window(40, 48, 64, 64).lonlat().bounds
    document = {
        "name": "sample", "storage": "./data", "products": ["composite"], "months": {"start": "2024-06", "end": "2024-06"},
        "aois": {"a": {"bbox": [west, south, east, north]}}, "sensors": [GRD, "dem"], "catalog": {"kind": "static", "path": "world/catalog.json"},
        "grid": {"kind": "square", "size_m": 640, "crs": world.crs}, "cube": {"sensor": GRD, "bands": ["vv", "vh"], "resolution": 10, "block_px": 64, "chunk_px": 16, "region_blocks": 8, "store": "zarr"},
        "ard": {"geoid_m": WORLD_GEOID_M},
    }  # fmt: skip
    (tmp_path / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    loaded = load_project(tmp_path / "geo_assets.yaml")
    assert {r.status for r in run_plain(loaded).receipts.values()} == {"ok"}
    (group,) = {r.split("_")[0] for r, _ in run_plain(loaded).plans}
    found = stored_pixels(loaded, group, "2024-06", world.box.bounds)
    twice = found.values["n_clear"] == 2
    assert twice.sum() > 2_000
    rows, cols = (np.flatnonzero(twice.any(axis=axis)) for axis in (1, 0))
    part = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    at = (
        round((float(world.box.top) - found.y[rows[0]]) / 10 - 0.5),
        round((found.x[cols[0]] - float(world.box.left)) / 10 - 0.5),
    )
    for name in ("vv", "vh"):
        values = np.where(twice, found.values[name], np.nan)[part]
        expected = world.truth_backscatter("2024-06", name, world.box.window(*at, *values.shape))
        both = np.isfinite(values) & np.isfinite(expected)
        assert both.sum() > 2_000
        assert abs(values[both].sum() / expected[both].sum() - 1) < 0.005
        assert np.median(np.abs(values[both] / expected[both] - 1)) < 0.01


def test_task_when_sent_away_then_small_and_the_same(home):
    """Nothing of a scene's pixels is in it."""
    loaded = project(home)
    made = run_plain(loaded)
    todo = plan(made).todo[0]
    session = loaded.cube.session(plan(made).grid.group)
    task = partition._task(todo, plan(made), loaded.project, session, loaded.periods())
    sent = pickle.dumps(task)
    assert len(sent) < 20_000
    assert run(pickle.loads(sent)).receipt.key == todo.key


def test_project_when_heights_or_the_geoid_are_missing_then_refused_and_told_what_to_add(home, monkeypatch):
    with pytest.raises(ConfigError, match="sentinel-1-grd is placed by heights of the ground: add dem to sensors"):
        project(home, sensors=[GRD])

    def none(*_: Any) -> Any:
        raise ConfigError("PROJ has no grid of the EGM2008 geoid: run `pyproj sync`, or give it as ard.geoid_m")

    monkeypatch.setattr("geo_assets.project.undulation", none)
    with pytest.raises(ConfigError, match=r"sentinel-1-grd: PROJ has no grid .* ard.geoid_m"):
        project(home, ard={"geoid_m": None}, products=["pyramid"])
