"""``geo-assets plan``: what a run would read, take and cost, before anything is spent."""

import re
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from geo_assets.assets.context import Workspace
from geo_assets.eo.scenes import scenes_of
from geo_assets.errors import ConfigError
from geo_assets.model.band import Band
from geo_assets.model.geometry import PixelGrid, Region
from geo_assets.model.period import Period
from geo_assets.model.project import Product
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.project import LoadedProject, parse_loaded, parse_yaml
from geo_assets.tasks import cells as cell_task
from geo_assets.tasks import composite
from geo_assets.tasks import search as search_task
from geo_assets.tasks.layout import cube_id
from geo_assets.tasks.partition import PRODUCT, PartitionPlan, plan_partition
from geo_assets.tasks.previous import read_previous
from geo_assets.tasks.pyramid_partition import PRODUCT as PYRAMID
from geo_assets.tasks.pyramid_partition import plan_pyramid

# Without a receipt to learn from: deflated Sentinel-2 bands (measured on L2A COGs) and one core of a laptop
_STORED_SHARE = 0.6
_TILE_PX, _HEADER_BYTES = 512, 32_768
_BYTES_PER_S = 25e6
_CELLS_PER_S = 200_000.0
# What a run takes beside its pixels, measured on two shared cores: a strip is one Dagster run
_STRIP_S, _SEARCH_S, _PARTITION_S = 0.45, 1.0, 0.07
_S_PER_VALUE = 2.5e-8  # of a pyramid: reading, halving and writing one pixel of one array


@dataclass(frozen=True)
class ProductPlan:
    """What one product needs; ``bytes`` and ``usd`` are estimates for what is not fresh yet, ``seconds`` for the whole run."""

    product: str
    cells: int
    blocks: int
    regions: int
    months: int
    partitions: int
    scenes: int
    bytes: int
    seconds: float
    usd: float


def plan_project(
    workspace: Workspace, periods: Sequence[Period], regions: Sequence[str], products: Sequence[Product]
) -> list[ProductPlan]:
    """Plan the products of a selection; searches the catalog where no scene table is stored, reads no pixel.

    Raises:
        CatalogError: The search failed.
        ConfigError: The areas do not fit the grid or the cube.
    """
    wanted = {r: workspace.cut.of_region(r) for r in regions}
    cells = len({c for table in wanted.values() for c in table["cell_id"]})
    base = ProductPlan("", cells, 0, len(regions), len(periods), len(regions) * len(periods), 0, 0, 0.0, 0.0)
    plans = []
    estimate = _Estimate(workspace)
    for region, table in wanted.items():
        estimate.add(region, table, periods)
    for band, ids in estimate.lacking.items():
        warnings.warn(
            f"{len(ids)} of {len(estimate.items)} scenes, such as {min(ids)}, have no asset for {band}: blocks that they reach will fail; "
            "leave out the band, or name those items in sensors.exclude",
            stacklevel=2,
        )
    for product in products:
        if product == "cells":
            plans.append(
                ProductPlan(
                    "cells",
                    cells,
                    0,
                    len(regions),
                    0,
                    len(regions),
                    0,
                    0,
                    round(_STRIP_S + cells / _CELLS_PER_S, 1),
                    0.0,
                )
            )
        elif product == "scenes":
            plans += [
                ProductPlan(
                    **asdict(base)
                    | {
                        "product": f"scenes/{s.sensor}",
                        "scenes": len(estimate.items),
                        "seconds": round(len(regions) * (_STRIP_S + _SEARCH_S) + base.partitions * _PARTITION_S, 1),
                    }
                )
                for s in workspace.project.sensors
            ]
        elif product == "pyramid":
            figures = {"product": product, "blocks": estimate.blocks, **estimate.pyramid.figures(base.partitions)}
            plans.append(ProductPlan(**asdict(base) | figures))
        else:
            pixels_s = estimate.seconds / workspace.project.compute.workers
            seconds = round(pixels_s + base.partitions * _PARTITION_S, 1)
            figures = {
                "product": product,
                "blocks": estimate.blocks,
                "scenes": len(estimate.items),
                "bytes": estimate.bytes,
                "seconds": seconds,
            }
            plans.append(ProductPlan(**asdict(base) | figures))
    return plans


def refuse_unmakeable(workspace: Workspace, periods: Sequence[Period], regions: Sequence[str]) -> None:
    """Refuses partitions that could not be made anew, whatever is stored; searches the catalog, reads no pixel.

    Raises:
        CatalogError: The search failed.
        ConfigError: The scenes lack a band, or a block does not fit into its memory.
    """
    project = workspace.project
    for region in regions:
        grid, key = workspace.grid(region), Region.parse(region)
        tables = search_task.search(
            key, grid, periods, catalog=project.catalog, sensor=project.sensor(project.cube.sensor), mask=project.mask
        )
        for month, table in tables.items():
            plan_partition(
                project, workspace.loaded.sensor, region=region, month=month, grid=grid, blocks=workspace.planned(region), table=table,
                previous=None,
            )  # fmt: skip


class _Estimate:
    """Sums over partitions; learns bytes and seconds a pixel and scene from the receipts of this storage."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.blocks = self.bytes = 0
        self.items: set[tuple[str, str]] = set()
        self.lacking: dict[str, set[str]] = {}
        self.seconds = 0.0
        self._cube = cube_id(workspace.loaded.cube)
        self._bytes_per_px, self._s_per_byte = _learned(list(workspace.storage.receipts(PRODUCT)))
        self.pyramid = _Pyramid(workspace)

    def add(self, region: str, cells: Any, periods: Sequence[Period]) -> None:
        workspace, project = self._workspace, self._workspace.project
        grid, key = workspace.grid(region), Region.parse(region)
        blocks = cell_task.plan_blocks(cells, key, grid)
        self.blocks += len(blocks)
        tables = search_task.search(
            key, grid, periods, catalog=project.catalog, sensor=project.sensor(project.cube.sensor), mask=project.mask
        )  # fmt: skip
        for period in periods:
            table = tables[period.key]
            used = table[table["kept"].astype(bool)]
            self.items |= set(zip(used["collection"].astype(str), used["id"].astype(str), strict=True))
            self._lacking(used)
            known = read_previous(workspace.storage, PRODUCT, region, period.key, grid)
            plan = plan_partition(
                project, workspace.loaded.sensor, region=region, month=period.key, grid=grid, blocks=blocks, table=table, previous=known.receipt, cube=self._cube,
                fault=known.fault,
            )  # fmt: skip
            self.pyramid.add(plan)
            for todo in plan.todo:
                pixels, reads = len(todo.chunks) * grid.chunk_px**2, self._reads(todo.plan, todo.scenes, grid)
                each = pixels * self._bytes_per_px if self._bytes_per_px else self._formula(todo.chunks, grid)
                volume = each * reads
                self.bytes += int(volume)
                self.seconds += volume * self._s_per_byte

    def _lacking(self, used: Any) -> None:
        """Note scenes without an asset for a band: their blocks would fail."""
        sensor, project = self._workspace.loaded.sensor, self._workspace.project
        wanted = search_task.read_bands(sensor, project.cube.bands, project.mask)
        for band, ids in search_task.lacking(scenes_of(used, wanted), wanted).items():
            self.lacking.setdefault(band, set()).update(ids)

    def _reads(self, plan: cell_task.BlockPlan, scenes: Any, grid: PixelGrid) -> float:
        """Scenes a pixel, by the share of the block that each footprint covers."""
        return composite.Footprints(scenes, grid.crs).mean_cover(grid.block_geobox(plan.block))

    def _formula(self, chunks: Sequence[tuple[int, int]], grid: PixelGrid) -> float:
        """Stored bytes that all bands of one scene take under some chunks of a block."""
        sensor, project = self._workspace.loaded.sensor, self._workspace.project
        bands = search_task.read_bands(sensor, project.cube.bands, project.mask)
        sides = [(max(at) + 1 - min(at)) * grid.chunk_px * grid.pixel_m for at in zip(*chunks, strict=True)]
        return sum(_bytes_of(sensor.bands[band], sides, grid) for band in bands)


class _Pyramid:
    """What the levels read of the cube, and how long that takes; learns from the receipts of this storage."""

    def __init__(self, workspace: Workspace) -> None:
        self._storage, self._project = workspace.storage, workspace.project
        made = [r for r in self._storage.receipts(PYRAMID) if r.figures.get("pixels_read")]
        learned = [r.wall_s / float(r.figures["pixels_read"]) for r in made]
        self._s_per_px = statistics.median(learned) if learned else (len(self._project.cube.bands) + 1) * _S_PER_VALUE
        self._pixels = 0

    def add(self, plan: PartitionPlan) -> None:
        """Count the pixels of blocks that are to be made, and of those over which the levels are not as they should be."""
        size = plan.grid.chunk_px**2
        self._pixels += sum(len(t.plan.chunks) * size for t in plan.todo)
        if plan.previous is not None:
            known = read_previous(self._storage, PYRAMID, plan.region, plan.month, plan.grid)
            levels = plan_pyramid(plan.previous, plan.grid, known.receipt, fault=known.fault)
            again = {t.plan.block for t in plan.todo}
            self._pixels += sum(len(t.source.chunks) * size for t in levels.todo if t.block not in again)

    def figures(self, partitions: int) -> dict[str, Any]:
        """Bytes and seconds."""
        values = self._pixels * (len(self._project.cube.bands) + 1)
        pixels_s = self._pixels * self._s_per_px
        return {"bytes": int(values * 2 * _STORED_SHARE), "seconds": round(pixels_s + partitions * _PARTITION_S, 1)}


def _bytes_of(band: Band, sides_m: Sequence[float], grid: PixelGrid) -> float:
    """Bytes of one band of one scene under a window: whole tiles are fetched, and the file's first bytes."""
    size = 1 if band.dtype in ("uint8", "int8") else 2 if "16" in band.dtype else 4
    finest = max(band.gsd_m, grid.pixel_m)  # coarser pixels are read from overviews
    rows, cols = (side / finest + _TILE_PX for side in sides_m)  # half a tile more at each end, on average
    return rows * cols * size * _STORED_SHARE + _HEADER_BYTES


def _learned(receipts: list[PartitionReceipt]) -> tuple[float | None, float]:
    """Median bytes a pixel and scene, and seconds a byte, of the blocks that were made here."""
    blocks = [b for r in receipts for b in r.blocks if b.status == "ok" and b.bytes_read and b.pixels and b.scene_ids]
    if not blocks:
        return None, 1 / _BYTES_PER_S
    bytes_per_px = statistics.median(b.bytes_read / (b.pixels * len(b.scene_ids)) for b in blocks)
    return bytes_per_px, statistics.median(b.wall_s / b.bytes_read for b in blocks)


def sweep_values(text: str) -> list[str]:
    """Values of a sweep: parted by commas, but not by those within brackets."""
    return [v.strip() for v in re.split(r",(?![^\[{]*[\]}])", text) if v.strip()]


def sweep(loaded: LoadedProject, key: str, values: Sequence[str]) -> list[tuple[str, LoadedProject]]:
    """The project with one setting at several values.

    Args:
        loaded: The project.
        key: Dotted name in the project file, such as ``mask.max_cloud_cover``.
        values: Values as they would stand in the file.

    Raises:
        ConfigError: Unknown key, or a value that does not fit it.
    """
    variants = []
    for value in values:
        data = parse_yaml(loaded.file.read_text(encoding="utf-8"), str(loaded.file))
        place = data
        *parents, last = key.split(".")
        for name in parents:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise ConfigError(f"--sweep {key}: {name} holds no settings")
        place[last] = parse_yaml(value, f"--sweep {key}")
        variants.append((value, parse_loaded(data, loaded.file)))
    return variants
