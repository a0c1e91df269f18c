"""A project run as the assets run it, but without Dagster: cells, scenes, composite, one partition after the other."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import zarr

from geo_assets.errors import StoreError
from geo_assets.model.compute import Compute
from geo_assets.model.geometry import Region
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.project import LoadedProject
from geo_assets.registry import load
from geo_assets.tasks import areas, cells, search
from geo_assets.tasks.layout import ensure_layout
from geo_assets.tasks.partition import PRODUCT, PartitionPlan, make_partition, plan_partition
from geo_assets.tasks.search_area import search_heights
from geo_assets.tasks.steps import alone

Key = tuple[str, str]
_RUN = "plain"


@dataclass(frozen=True)
class PlainRun:
    """What one run did.

    Attributes:
        loaded: The project.
        cells: Cells of its areas.
        tables: Scene tables by region and month.
        plans: What was to be made, by region and month.
        receipts: What the partitions are now, by region and month.
    """

    loaded: LoadedProject
    cells: cells.CellTable
    tables: dict[Key, gpd.GeoDataFrame] = field(default_factory=dict)
    plans: dict[Key, PartitionPlan] = field(default_factory=dict)
    receipts: dict[Key, PartitionReceipt] = field(default_factory=dict)


def run_plain(
    loaded: LoadedProject,
    *,
    regions: Sequence[str] | None = None,
    months: Sequence[str] | None = None,
    overwrite: bool = False,
) -> PlainRun:
    """Make the partitions of some regions and months, of all if left out; what is fresh stays.

    Returns:
        Tables, plans and receipts. A failed block is in its receipt and raises nothing.

    Raises:
        GeoAssetsError: The project cannot be run.
    """
    table = cells.cut(areas.areas(loaded), loaded.project.grid, loaded.project.cube)
    run = PlainRun(loaded, table)
    for region in table.regions if regions is None else regions:
        cells.store_cells(loaded.storage, loaded.project.grid, region, table.of_region(region), run_id=_RUN)
        _search(run, region, months)
        for key in [k for k in run.tables if k[0] == region]:
            _make(run, *key, overwrite=overwrite)
    return run


def _search(run: PlainRun, region: str, months: Sequence[str] | None) -> None:
    loaded, project = run.loaded, run.loaded.project
    periods = [p for p in loaded.periods() if months is None or p.key in months]
    sensor = project.sensor(project.cube.sensor)
    grid = cells.region_grid(region, project.cube)
    found = search.search(
        Region.parse(region), grid, periods, catalog=project.catalog_of(sensor.sensor), sensor=sensor, mask=project.mask
    )
    for month, table in found.items():
        search.store_scenes(loaded.storage, project, loaded.sensor, region, month, table, run_id=_RUN)
        run.tables[region, month] = table


def _make(run: PlainRun, region: str, month: str, *, overwrite: bool) -> None:
    loaded, project = run.loaded, run.loaded.project
    grid = cells.region_grid(region, project.cube)
    plan = plan_partition(
        project, loaded.sensor, region=region, month=month, grid=grid, table=run.tables[region, month],
        blocks=cells.plan_blocks(run.cells.of_region(region), Region.parse(region), grid),
        previous=loaded.storage.read_receipt(PRODUCT, region, month), overwrite=overwrite,
        heights=search_heights(project, loaded.sensor, region, grid, run.cells.of_region(region)),
    )  # fmt: skip
    run.plans[region, month] = plan
    if plan.done is not None:
        run.receipts[region, month] = plan.done
        return
    cube, periods = loaded.cube, loaded.periods()
    ensure_layout(cube, project, loaded.sensor, grid, periods)
    backend: Compute = load("compute", project.compute.backend)
    with backend.connect(project.compute) as engine:
        run.receipts[region, month] = alone(
            make_partition(plan, project, loaded.sensor, periods=periods, cube=cube, storage=loaded.storage, run_id=_RUN), engine.map
        )  # fmt: skip


@dataclass(frozen=True)
class Pixels:
    """Pixels as a store holds them, found by the coordinates that lie beside them.

    Attributes:
        x: Of the columns' centres.
        y: Of the rows' centres.
        values: By band and ``n_clear``, dims (y, x), uint16.
    """

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    values: dict[str, npt.NDArray[np.uint16]]


def stored_pixels(loaded: LoadedProject, group: str, month: str, bounds: tuple[float, float, float, float]) -> Pixels:
    """What the cube holds of a period within bounds (west, south, east, north in the group's CRS).

    Raises:
        StoreError: There is no such group.
    """
    root = zarr.open_group(loaded.cube.zarr_store(), mode="r", zarr_format=3)
    if group not in root:
        raise StoreError(f"the cube has no group {group!r}")
    arrays: dict[str, Any] = dict(root[group].arrays())  # type: ignore[union-attr]
    x, y = arrays["x"][:], arrays["y"][:]
    cols, rows = ((at > low) & (at < high) for at, low, high in ((x, bounds[0], bounds[2]), (y, bounds[1], bounds[3])))
    window = (loaded.periods().index(month), _span(rows), _span(cols))
    cube = loaded.project.cube
    if cube.layout == "stacked":
        stack = arrays[cube.varname][window]
        values = {b: stack[..., i] for i, b in enumerate(cube.bands)}
    else:
        values = {b: arrays[b][window] for b in cube.bands}
    return Pixels(x[cols], y[rows], values | {"n_clear": arrays["n_clear"][window]})


def _span(chosen: npt.NDArray[np.bool_]) -> slice:
    at = np.flatnonzero(chosen)
    return slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, 0)
