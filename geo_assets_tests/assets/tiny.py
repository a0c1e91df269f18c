"""A project of two regions and three periods, the last one without scenes: small enough to be made in seconds.

Blocks are 64 px, regions two blocks and cells one chunk wide. The western tile covers both regions of the area, the
eastern one only the second and what lies east of it.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import geopandas as gpd
import shapely
import xarray as xr
import yaml

import geo_assets
from geo_assets.assets.partitions import cube_key
from geo_assets.doors.home import home_of
from geo_assets.doors.instance import Runner
from geo_assets.doors.run import run_project
from geo_assets.doors.run_options import RunOptions
from geo_assets.doors.tally import Summary
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.project import LoadedProject, load_project
from geo_assets.testing.world import SampleWorld

SENSOR = "sentinel-2-l2a"
SCENES = f"scenes/{SENSOR}"
WEST, MIDDLE, EAST = (f"utm33n_r4088_c{col}" for col in (399, 400, 401))
MONTHS = ["2024-03", "2024-04", "2024-05"]
WORLD = SampleWorld(
    months=("2024-03", "2024-04"), center=(512_640.0, 5_233_280.0), size_px=(128, 384), overlap_px=64, days=2, internal_px=128,
    with_broken=False,
)  # fmt: skip
AREA = (510_800, 5_233_000, 512_500, 5_233_500)


def write_area(file: Path, *boxes: tuple[float, float, float, float]) -> Path:
    """Boxes in EPSG:32633 as a vector file."""
    gpd.GeoDataFrame(geometry=[shapely.MultiPolygon([shapely.box(*b) for b in boxes])], crs=WORLD.crs).to_file(file)
    return file


class Tiny:
    """A project folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "geo_assets.yaml"

    @classmethod
    def create(cls, folder: Path, world: Path, **settings: Any) -> "Tiny":
        """A new project on a world."""
        folder.mkdir(parents=True, exist_ok=True)
        write_area(folder / "area.gpkg", AREA)
        tiny = cls(folder)
        document = {
            "name": "tiny", "aois": {"strip": "area.gpkg"}, "months": {"start": MONTHS[0], "end": MONTHS[-1]},
            "catalog": {"kind": "static", "path": str(world / "catalog.json")}, "grid": {"kind": "square", "size_m": 320, "crs": "EPSG:32633"},
            "cube": {"block_px": 64, "chunk_px": 32, "region_blocks": 2}, "storage": "./data",
        }  # fmt: skip
        tiny.file.write_text(yaml.safe_dump(document | settings, sort_keys=False))
        return tiny

    def copy(self, folder: Path) -> "Tiny":
        """The project with everything it made and its instance."""
        shutil.copytree(self.folder, folder)
        return Tiny(folder)

    def change(self, **settings: Any) -> None:
        """Change sections of the project file."""
        document = yaml.safe_load(self.file.read_text())
        for key, value in settings.items():
            old = document.get(key)
            document[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
        self.file.write_text(yaml.safe_dump(document, sort_keys=False))

    @property
    def loaded(self) -> LoadedProject:
        """The project as its file is now."""
        return load_project(self.file)

    def run(self, **options: Any) -> Summary:
        """What ``geo-assets run`` does."""
        return run_project(self.loaded, RunOptions(**options))

    def run_aside(self) -> Summary:
        """The same, for a fixture that outlives a test: the environment is as before, and no home of Dagster's counts."""
        before = dict(os.environ)
        os.environ.pop("DAGSTER_HOME", None)
        try:
            summary = self.run()
        finally:
            os.environ.clear()
            os.environ.update(before)
        assert summary.complete, summary.failures
        return summary

    def runner(self) -> Runner:
        """Runs of any selection."""
        return Runner(self.loaded)

    def instance(self) -> dg.DagsterInstance:
        """The project's instance."""
        return dg.DagsterInstance.from_config(str(home_of(self.loaded)))

    def receipts(self, product: str = "composite") -> dict[tuple[str, str | None], PartitionReceipt]:
        """Receipts by region and month."""
        return {(r.region, r.month): r for r in self.loaded.storage.receipts(product)}

    def cube(self) -> xr.Dataset:
        """The whole cube, in memory."""
        return geo_assets.open(self.folder / "data").cube().load()

    def commits(self) -> list[str]:
        """Messages of the cube's commits, newest first."""
        return [c["message"] for c in self.loaded.cube.history()]


def link_world(source: Path, folder: Path) -> Path:
    """A copy of a world whose images are hard links; JSON may be changed."""

    def place(a: str, b: str) -> None:
        if a.endswith(".json"):
            shutil.copyfile(a, b)
        else:
            os.link(a, b)

    shutil.copytree(source, folder, copy_function=place)
    return folder


def leave_out(world: Path, item_id: str) -> None:
    """Take an item out of a catalog."""
    _change_links(world, item_id, lambda links: [link for link in links if f"{item_id}.json" not in link["href"]])


def put_back(world: Path, item_id: str) -> None:
    """Undo ``leave_out``."""
    link = {"rel": "item", "href": f"./{item_id}/{item_id}.json", "type": "application/geo+json"}
    _change_links(world, item_id, lambda links: [*links, link])


def _change_links(world: Path, item_id: str, change: Any) -> None:
    file = next(world.glob(f"*/{item_id}")).with_name("collection.json")
    document = json.loads(file.read_text())
    document["links"] = change(document["links"])
    file.write_text(json.dumps(document))


def truncate(world: Path, item_id: str, band: str) -> Path:
    """Cut an image off after its header; returns the file."""
    file = next(world.glob(f"*/{item_id}/{band}.tif"))
    content = file.read_bytes()
    file.unlink()  # it may be a hard link
    file.write_bytes(content[: len(content) // 2])
    return file


def key(region: str, month: str) -> str:
    """Partition key text."""
    return str(cube_key(region, month))


def materializations(instance: dg.DagsterInstance, asset: str) -> list[dg.AssetMaterialization]:
    """All materialization events of an asset, newest first."""
    records = instance.fetch_materializations(dg.AssetKey(asset.split("/")), limit=1_000).records
    return [r.asset_materialization for r in records if r.asset_materialization]


def events(instance: dg.DagsterInstance, run_id: str) -> Iterator[dg.DagsterEvent]:
    """Dagster's events of a run."""
    for entry in instance.all_logs(run_id):
        if entry.is_dagster_event:
            yield entry.get_dagster_event()


def counts(instance: dg.DagsterInstance, run_id: str) -> Counter[str]:
    """Number of log entries of a run by type; plain lines count as LOG."""
    entries = instance.all_logs(run_id)
    return Counter(e.get_dagster_event().event_type_value if e.is_dagster_event else "LOG" for e in entries)
