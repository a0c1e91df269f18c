"""A cube with random pixels, made without any scene, whose receipts say what is in it: to go on from."""

import datetime as dt
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
import zarr

from geo_assets.model.geometry import Block, PixelGrid, Region
from geo_assets.model.receipt import BlockReceipt, PartitionReceipt
from geo_assets.model.task import TaskResult
from geo_assets.project import LoadedProject, load_project
from geo_assets.registry import load
from geo_assets.tasks import composite, pyramid_partition
from geo_assets.tasks.layout import cube_id, ensure_layout, ensure_levels
from geo_assets.tasks.previous import read_previous
from geo_assets.tasks.steps import alone

MONTHS = ["2024-01", "2024-02"]
BANDS = ["nir", "red"]
Chunks = list[tuple[int, int]]


@dataclass
class Filled:
    """A project and what was put into its cube.

    Attributes:
        loaded: The project.
        region: Key of the region that is filled.
        ran: Results of the pyramid's tasks, of all runs.
    """

    loaded: LoadedProject
    region: str
    ran: list[TaskResult] = field(default_factory=list)

    @property
    def grid(self) -> PixelGrid:
        """Pixel grid of the region's group."""
        group = Region.parse(self.region).group
        crs = "EPSG:4326" if group == "epsg4326" else f"EPSG:{32600 + int(group[3:5])}"
        return self.loaded.project.cube.pixel_grid(crs)

    @property
    def arrays(self) -> list[str]:
        """Names of the cube's arrays."""
        return [v.name for v in composite.variables(self.loaded.sensor, self.loaded.project.cube)]

    def blocks(self) -> list[Block]:
        """Blocks of the region."""
        return list(self.grid.blocks_of(Region.parse(self.region)))

    def fill(self, blocks: dict[Block, Chunks], *, month: str = MONTHS[0], seed: int = 1, days: int = 2) -> None:
        """Write chunks of some blocks of the composite, and its receipt; other blocks stay. Without days all is 0."""
        loaded, grid, storage = self.loaded, self.grid, self.loaded.storage
        ensure_layout(loaded.cube, loaded.project, loaded.sensor, grid, loaded.periods())
        session = loaded.cube.session(grid.group)
        writer = load("stores", loaded.project.cube.store).writer(session.handle())
        rng = np.random.default_rng(seed)
        for block, chunks in blocks.items():
            rows, cols = grid.array_slices(grid.block_geobox(block))
            for variable in composite.variables(loaded.sensor, loaded.project.cube):
                values = pixels(rng, grid, chunks, len(variable.bands)) * bool(days)
                writer.write(variable.name, loaded.periods().index(month), rows, cols, values)
        snapshot = session.commit([writer.changes()], f"composite {seed}", {})
        had = storage.read_receipt("composite", self.region, month)
        receipts = {(b.row, b.col): b for b in had.blocks} if had else {}
        for block, chunks in blocks.items():
            receipts[block.row, block.col] = BlockReceipt(
                row=block.row, col=block.col, key=f"key {seed}", chunks=[list(c) for c in chunks], days=days, pixels=len(chunks) * grid.chunk_px**2
            )  # fmt: skip
        self.receive(list(receipts.values()), month, version=f"v{seed}", snapshot=snapshot)

    def receive(self, blocks: list[BlockReceipt], month: str = MONTHS[0], **values: Any) -> None:
        """Write a receipt of the composite."""
        values = {"status": "ok", "version": "v", "snapshot": ""} | values
        version = values.pop("version")
        receipt = PartitionReceipt(
            product="composite", region=self.region, month=month, data_version=version, recipe_hash="abc", cube=cube_id(self.loaded.cube) or "",
            made_at=dt.datetime(2024, 3, 1, tzinfo=dt.UTC), blocks=blocks, **values,
        )  # fmt: skip
        self.loaded.storage.write_receipt(receipt)

    def plan(self, month: str = MONTHS[0], *, overwrite: bool = False) -> pyramid_partition.PyramidPlan:
        """What the pyramid needs."""
        storage, there = self.loaded.storage, cube_id(self.loaded.cube)
        source = pyramid_partition.read_composite(storage, self.region, month, self.grid, cube=there)
        known = read_previous(storage, "pyramid", self.region, month, self.grid)
        return pyramid_partition.plan_pyramid(source, self.grid, known.receipt, overwrite=overwrite, fault=known.fault)

    def make(self, month: str = MONTHS[0], *, overwrite: bool = False, run_id: str = "run") -> PartitionReceipt:
        """Make what the pyramid needs."""
        loaded, plan = self.loaded, self.plan(month, overwrite=overwrite)
        ensure_levels(loaded.cube, loaded.project, loaded.sensor, plan.grid, loaded.periods())
        steps = pyramid_partition.make_pyramid(
            plan, loaded.project, loaded.sensor, periods=loaded.periods(), cube=loaded.cube, storage=loaded.storage, run_id=run_id
        )  # fmt: skip
        return alone(steps, self._map)

    def _map(self, fn: Any, tasks: Any) -> Any:
        recipe = self.loaded.project.compute
        with load("compute", recipe.backend).connect(recipe) as engine:
            for result in engine.map(fn, pickle.loads(pickle.dumps(list(tasks))), retries=0):
                self.ran.append(result)
                yield result

    def stored(self, name: str, month: str = MONTHS[0], level: int = 0) -> npt.NDArray[Any]:
        """Stored numbers of the region, dims (y, x) or (y, x, band)."""
        from geo_assets.model.levels import level_path, levels

        grid = (self.grid, *levels(self.grid))[level]
        place = level_path(self.grid.group, level)
        group = zarr.open_group(self.loaded.cube.zarr_store(), path=place, mode="r", zarr_format=3)
        rows, cols = grid.array_slices(grid.region_geobox(Region.parse(self.region)))
        return np.asarray(group[name][self.loaded.periods().index(month), rows, cols])


def pixels(rng: np.random.Generator, grid: PixelGrid, chunks: Chunks, depth: int) -> npt.NDArray[np.uint16]:
    """A block of which some chunks hold random numbers, a third of them 0."""
    shape = (depth,) if depth else ()
    values = np.zeros((grid.block_px, grid.block_px, *shape), "uint16")
    size = grid.chunk_px
    for row, col in chunks:
        part = rng.integers(0, 9_000, (size, size, *shape), "uint16")
        values[row * size : (row + 1) * size, col * size : (col + 1) * size] = np.where(part < 3_000, 0, part)
    return values


def project(folder: Path, region: str, **cube: Any) -> Filled:
    """A project with an empty cube."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "name": "filled", "aois": {"a": {"bbox": [11, 47, 12, 48]}}, "months": {"start": MONTHS[0], "end": MONTHS[-1]},
        "products": ["pyramid"], "cube": {"block_px": 64, "chunk_px": 16, "region_blocks": 4, "bands": BANDS, **cube}, "compute": {"workers": 2},
    }  # fmt: skip
    (folder / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return Filled(load_project(folder / "geo_assets.yaml"), region)
