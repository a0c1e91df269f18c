"""``geo-assets plan``: what a run would read, take and cost, before anything is spent."""

import functools
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from geo_assets.assets.context import Workspace
from geo_assets.doors.plan_ard import ArdEstimate
from geo_assets.doors.plan_chips import ChipEstimate
from geo_assets.doors.plan_prediction import PredictionEstimate, predictor_of
from geo_assets.doors.tiles import Asked
from geo_assets.eo.scenes import scenes_of
from geo_assets.errors import ConfigError
from geo_assets.model.collection import SensorRecipe
from geo_assets.model.compute import Compute
from geo_assets.model.cost import Estimate, Load
from geo_assets.model.geometry import Region
from geo_assets.model.period import Period
from geo_assets.model.project import Product
from geo_assets.project import LoadedProject, parse_loaded, parse_yaml
from geo_assets.registry import load, sensor_of
from geo_assets.tasks import cells as cell_task
from geo_assets.tasks import search as search_task
from geo_assets.tasks.forecast import CompositeForecast, PyramidForecast
from geo_assets.tasks.layout import cube_id
from geo_assets.tasks.pace import MOST, host
from geo_assets.tasks.partition import PRODUCT, PartitionPlan, plan_partition
from geo_assets.tasks.previous import read_previous
from geo_assets.tasks.pyramid_partition import PRODUCT as PYRAMID
from geo_assets.tasks.pyramid_partition import plan_pyramid
from geo_assets.tasks.search_area import search_heights

_CELLS_PER_S = 200_000.0
# What a run takes beside its pixels, measured on two shared cores: a strip is one Dagster run
_STRIP_S, _SEARCH_S, _PARTITION_S = 0.45, 1.0, 0.07


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
    workspace: Workspace, periods: Sequence[Period], regions: Sequence[str], products: Sequence[Product], *, asked: Asked | None = None
) -> list[ProductPlan]:  # fmt: skip
    """Plan the products of a selection; searches the catalog where no scene table is stored, reads no pixel.

    Args:
        workspace: The project.
        periods: That are planned.
        regions: Likewise.
        products: Likewise.
        asked: What a table names of them; None is all.

    Raises:
        CatalogError: The search failed.
        ConfigError: The areas do not fit the grid or the cube.
    """
    keys = asked.partitions if asked else [(r, p.key) for r in regions for p in periods]
    regions = [r for r in regions if asked is None or any(r == k[0] for k in keys)]
    wanted = {r: workspace.cut.of_region(r) for r in regions}
    cells = len({c for table in wanted.values() for c in table["cell_id"]})
    base = ProductPlan(
        "", cells, 0, len(regions), len({m for _, m in keys}) if asked else len(periods), len(keys), 0, 0, 0.0, 0.0
    )
    plans = []
    known = set(keys)
    estimate = _Estimate(
        workspace, products, maps=asked.partitions if asked else None, only=asked.cells if asked else None
    )
    for region, table in wanted.items():
        estimate.add(region, table, [p for p in periods if (region, p.key) in known])
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
            plans += [_scenes(workspace, estimate, base, s) for s in workspace.project.sensors]
        elif product == "ard":
            plans += [ProductPlan(**asdict(base) | estimate.ard.figures(name)) for name in estimate.ard.sensors]
        elif product == "chips":
            plans.append(ProductPlan(**asdict(base) | estimate.chips.figures()))
        elif product == "prediction":
            plans.append(ProductPlan(**asdict(base) | estimate.prediction.figures()))
        elif product == "pyramid":
            figures = {"product": product, "blocks": estimate.blocks, **estimate.pyramid.figures(base.partitions)}
            plans.append(ProductPlan(**asdict(base) | figures))
        else:
            work = estimate.work()
            figures = {
                "product": product,
                "blocks": estimate.blocks,
                "scenes": len(estimate.items),
                "bytes": estimate.bytes,
                "seconds": round(work.seconds + base.partitions * _PARTITION_S, 1),
                "usd": round(work.usd, 6),
            }
            plans.append(ProductPlan(**asdict(base) | figures))
    return plans


def _scenes(workspace: Workspace, estimate: "_Estimate", base: ProductPlan, entry: SensorRecipe) -> ProductPlan:
    """The searches of one sensor."""
    undated = sensor_of(entry).static
    partitions = base.regions if undated else base.partitions
    own = len(estimate.items) if entry.sensor == workspace.project.cube.sensor else 0
    seconds = round(base.regions * (_STRIP_S + _SEARCH_S) + partitions * _PARTITION_S, 1)
    changed = {
        "product": search_task.product(entry.sensor), "partitions": partitions, "months": 0 if undated else base.months,
        "scenes": estimate.ard.scenes(entry.sensor) or own, "seconds": seconds,
    }  # fmt: skip
    return ProductPlan(**asdict(base) | changed)


def refuse_unmakeable(workspace: Workspace, periods: Sequence[Period], regions: Sequence[str]) -> None:
    """Refuses partitions that could not be made anew, whatever is stored; searches the catalog, reads no pixel.

    Raises:
        CatalogError: The search failed.
        ConfigError: The scenes lack a band, or a block does not fit into its memory.
    """
    project = workspace.project
    for region in regions:
        grid = workspace.grid(region)
        tables, heights = _searched(workspace, region, workspace.cut.of_region(region), periods)
        for month, table in tables.items():
            plan_partition(
                project, workspace.loaded.sensor, region=region, month=month, grid=grid, blocks=workspace.planned(region), table=table,
                previous=None, heights=heights,
            )  # fmt: skip


def _searched(workspace: Workspace, region: str, cells: Any, periods: Sequence[Period]) -> tuple[dict[str, Any], Any]:
    """Scene tables of the cube's sensor by period key, and that of heights which place its pixels, where that is needed.

    Raises:
        CatalogError: The search failed.
    """
    project, sensor, grid = workspace.project, workspace.loaded.sensor, workspace.grid(region)
    tables = search_task.search(
        Region.parse(region), grid, periods, catalog=project.catalog_of(sensor.name), sensor=project.sensor(sensor.name), mask=project.mask
    )  # fmt: skip
    return tables, search_heights(project, sensor, region, grid, cells)


def expected(
    workspace: Workspace, keys: Mapping[str, Sequence[Period]], products: Sequence[Product], *, overwrite: bool = False,
    maps: Collection[tuple[str, str]] | None = None, only: frozenset[str] | None = None,
) -> Estimate:  # fmt: skip
    """What the tasks of some partitions take on the project's backend; searches the catalog, reads no pixel.

    Args:
        workspace: The project.
        keys: Periods of each region.
        products: What is to be made.
        overwrite: Whether what is fresh is made again.
        maps: Partitions for which a model is run; None is all.
        only: Cells that are made of what is made cell by cell; None is all.

    Raises:
        CatalogError: The search failed.
        ConfigError: Nobody knows the price, or the areas do not fit the cube.
    """
    estimate = _Estimate(workspace, products, overwrite=overwrite, maps=maps, only=only)
    for region, periods in keys.items():
        estimate.add(region, workspace.cut.of_region(region), periods)
    parts = [estimate.work()] if "composite" in products else []
    parts += [estimate.pyramid.work()] if "pyramid" in products else []
    parts += [estimate.ard.work(name) for name in estimate.ard.sensors]
    parts += [estimate.chips.work()] if "chips" in products else []
    parts += [estimate.prediction.work()] if "prediction" in products else []
    return Estimate(
        sum(p.tasks for p in parts), sum(p.seconds for p in parts), sum(p.billed_s for p in parts), sum(p.usd for p in parts)
    )  # fmt: skip


class _Estimate:
    """Sums over partitions, as the receipts of this storage let expect them."""

    def __init__(
        self, workspace: Workspace, products: Sequence[Product], *, overwrite: bool = False, maps: Collection[tuple[str, str]] | None = None,
        only: frozenset[str] | None = None,
    ) -> None:  # fmt: skip
        self._of_cube = bool({PRODUCT, PYRAMID, "scenes"} & {*products})
        self._workspace, self._overwrite, self._only = workspace, overwrite, only
        self.blocks = self.bytes = 0
        self.items: set[tuple[str, str]] = set()
        self.lacking: dict[str, set[str]] = {}
        self._loads: list[Load] = []
        self._cube = cube_id(workspace.loaded.cube)
        project, sensor = workspace.project, workspace.loaded.sensor
        self._backend: Compute = load("compute", project.compute.backend)
        where = host(project.compute, self._backend.capabilities(project.compute))
        self._forecast = CompositeForecast(project, sensor, workspace.storage.receipts(PRODUCT, most=MOST), where)
        levels = PyramidForecast(project, workspace.storage.receipts(PYRAMID, most=MOST), where)
        self.pyramid = _Pyramid(workspace, levels, self._backend)
        self.ard = ArdEstimate(
            workspace, self._backend, where, wanted="ard" in products, overwrite=overwrite, only=only
        )
        self.chips = ChipEstimate(workspace, self._backend, where, wanted="chips" in products, overwrite=overwrite)
        self._predictor, self._maps = predictor_of(project, workspace.loaded.periods(), products), maps
        self._where = where
        self._remade: set[tuple[str, str]] = set()
        self._added: list[tuple[str, Any, Sequence[Period]]] = []

    @functools.cached_property
    def prediction(self) -> PredictionEstimate:
        """What a model's maps take, once all regions are added: they are made from composites of several."""
        found = PredictionEstimate(
            self._workspace, self._backend, self._where, predictor=self._predictor, wanted=self._maps, only=self._only, overwrite=self._overwrite
        )  # fmt: skip
        for region, cells, periods in self._added:
            found.add(region, cells, periods, self._remade, self.ard.remade)
        return found

    def work(self) -> Estimate:
        """Seconds and USD of the composite's tasks."""
        return self._backend.estimate(self._workspace.project.compute, self._loads)

    def add(self, region: str, cells: Any, periods: Sequence[Period]) -> None:
        workspace, project = self._workspace, self._workspace.project
        grid = workspace.grid(region)
        self.ard.add(region, cells, periods)
        self.chips.add(region, cells, periods)
        self._added.append((region, cells, periods))
        if not self._of_cube:
            return
        blocks = cell_task.plan_blocks(cells, Region.parse(region), grid)
        self.blocks += len(blocks)
        tables, heights = _searched(workspace, region, cells, periods)
        for period in periods:
            table = tables[period.key]
            used = table[table["kept"].astype(bool)]
            self.items |= set(zip(used["collection"].astype(str), used["id"].astype(str), strict=True))
            self._lacking(used)
            known = read_previous(workspace.storage, PRODUCT, region, period.key, grid)
            plan = plan_partition(
                project, workspace.loaded.sensor, region=region, month=period.key, grid=grid, blocks=blocks, table=table, previous=known.receipt, cube=self._cube,
                fault=known.fault, overwrite=self._overwrite, heights=heights,
            )  # fmt: skip
            if plan.done is None:
                self._remade.add((region, period.key))
            self.pyramid.add(plan)
            for todo in plan.todo:
                if not todo.scenes:  # no task: there is nothing to read
                    continue
                volume = self._forecast.bytes_of(todo, grid)
                self.bytes += int(volume)
                self._loads.append(self._forecast.load(todo, grid, volume))

    def _lacking(self, used: Any) -> None:
        """Note scenes without an asset for a band: their blocks would fail."""
        sensor, project = self._workspace.loaded.sensor, self._workspace.project
        wanted = search_task.read_bands(sensor, project.cube.bands, project.mask)
        for band, ids in search_task.lacking(scenes_of(used, wanted), wanted).items():
            self.lacking.setdefault(band, set()).update(ids)


class _Pyramid:
    """What the levels read of the cube, and how long that takes."""

    def __init__(self, workspace: Workspace, forecast: PyramidForecast, backend: Compute) -> None:
        self._storage, self._project = workspace.storage, workspace.project
        self._forecast, self._backend = forecast, backend
        self._pixels: list[int] = []  # of each block

    def add(self, plan: PartitionPlan) -> None:
        """Count the pixels of blocks that are to be made, and of those over which the levels are not as they should be."""
        size = plan.grid.chunk_px**2
        self._pixels += [len(t.plan.chunks) * size for t in plan.todo]
        if plan.previous is not None:
            known = read_previous(self._storage, PYRAMID, plan.region, plan.month, plan.grid)
            levels = plan_pyramid(plan.previous, plan.grid, known.receipt, fault=known.fault)
            again = {t.plan.block for t in plan.todo}
            self._pixels += [len(t.source.chunks) * size for t in levels.todo if t.block not in again]

    def work(self) -> Estimate:
        """Seconds and USD of the tasks."""
        loads = [self._forecast.pace.load(pixels) for pixels in self._pixels]
        return self._backend.estimate(self._project.compute, loads)

    def figures(self, partitions: int) -> dict[str, Any]:
        """Bytes, seconds and USD."""
        work = self.work()
        return {
            "bytes": int(self._forecast.bytes_of(sum(self._pixels))),
            "seconds": round(work.seconds + partitions * _PARTITION_S, 1),
            "usd": round(work.usd, 6),
        }


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
