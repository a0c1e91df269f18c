"""Assets ``scenes/<sensor>``: the only catalog search of a region and month."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import geopandas as gpd
import shapely

from geo_assets.assets.context import Workspace
from geo_assets.assets.figures import reasons
from geo_assets.assets.partitions import REGIONS, cube_partitions, split_key
from geo_assets.assets.ports import Catalog, Store
from geo_assets.assets.strip import Made, run_strip
from geo_assets.errors import CatalogError
from geo_assets.model import path
from geo_assets.model.geometry import Region
from geo_assets.model.period import Periods
from geo_assets.project import LoadedProject
from geo_assets.registry import sensor_of
from geo_assets.tasks import search as task
from geo_assets.tasks.search_area import search_area

_MOST_MISSES = 2  # months in a row whose search fails, before the catalog counts as down for the rest of the region


def build(loaded: LoadedProject, sensor: str, periods: Periods) -> dg.AssetsDefinition:
    """The asset of a sensor for a project; of one whose scenes have no date a partition is a region."""
    static = sensor_of(loaded.project.sensor(sensor)).static
    what = "a region, whenever they were made" if static else "a region in a month"

    @dg.asset(
        key=["scenes", sensor], group_name="catalog", kinds={"stac", "geoparquet"}, owners=["team:geo-assets"], code_version=task.CODE_VERSION,
        partitions_def=REGIONS if static else cube_partitions(periods), backfill_policy=dg.BackfillPolicy.single_run(),
        description=f"Scenes of {sensor} that overlap {what}: STAC items with our decisions (kept, duplicate of, offset, reason).",
    )  # fmt: skip
    def scenes(
        context: dg.AssetExecutionContext, storage: dg.ResourceParam[Store], catalog: dg.ResourceParam[Catalog]
    ) -> Iterator[Any]:
        workspace = Workspace.of(loaded, storage=storage, catalog=catalog)
        run_id = context.run.run_id
        if static:
            yield from run_strip(
                context, lambda region: _make_static(workspace, sensor, region, run_id), storage=workspace.storage
            )
            return
        search = _Search(workspace, sensor, periods, [split_key(k) for k in context.partition_keys])
        yield from run_strip(
            context, lambda key: search.make(*split_key(key), run_id=run_id), storage=workspace.storage
        )

    return scenes


def _make_static(workspace: Workspace, sensor: str, region: str, run_id: str) -> Made:
    project = workspace.project
    table = task.search_static(
        Region.parse(region), workspace.grid(region), catalog=project.catalog_of(sensor), sensor=project.sensor(sensor), mask=project.mask,
        area=_area(workspace, sensor, region),
    )  # fmt: skip
    return _stored(workspace, sensor, region, None, table, run_id)


def _area(workspace: Workspace, sensor: str, region: str) -> shapely.Geometry:
    """Where scenes are looked for."""
    project = workspace.project
    facts = sensor_of(project.sensor(sensor))
    return search_area(project, facts, region, workspace.grid(region), workspace.cut.of_region(region))


def _stored(
    workspace: Workspace, sensor: str, region: str, month: str | None, table: gpd.GeoDataFrame, run_id: str
) -> Made:
    """Write a partition's scene table and receipt."""
    facts = sensor_of(workspace.project.sensor(sensor))
    receipt, changed = task.store_scenes(
        workspace.storage, workspace.project, facts, region, month, table, run_id=run_id
    )
    shown = {
        "status": "made" if changed else "unchanged: same items and decisions",
        **receipt.figures,
        "not_used": dg.MetadataValue.json(reasons(receipt.dropped[:100])),
        "table": dg.MetadataValue.path(workspace.storage.uri(path.scenes(sensor, region, month))),
    }
    return Made(receipt.data_version, shown)


class _Search:
    """One search a region for all months of the run; if it fails, one a month, so that one bad month is one bad month."""

    def __init__(self, workspace: Workspace, sensor: str, periods: Periods, keys: list[tuple[str, str]]) -> None:
        self._workspace, self._sensor, self._periods, self._keys = workspace, sensor, periods, keys
        self._region = ""
        self._tables: dict[str, gpd.GeoDataFrame] = {}  # of the region at hand, by month
        self._failed: CatalogError | None = None
        self._misses = 0

    def _table(self, region: str, month: str) -> gpd.GeoDataFrame:
        if region != self._region:
            self._region, self._tables, self._failed, self._misses = region, {}, None, 0
            months = [m for r, m in self._keys if r == region]
            try:
                self._tables = self._search(region, months)
            except CatalogError as e:
                self._failed, self._misses = e, _MOST_MISSES if len(months) == 1 else 0
        if month not in self._tables:
            if self._failed and self._misses >= _MOST_MISSES:
                raise self._failed  # as it is, since it knows whether a retry can help
            try:
                self._tables |= self._search(region, [month])
                self._misses = 0
            except CatalogError as e:
                self._failed, self._misses = e, self._misses + 1
                raise
        return self._tables[month]

    def _search(self, region: str, months: list[str]) -> dict[str, gpd.GeoDataFrame]:
        project = self._workspace.project
        return task.search(
            Region.parse(region), self._workspace.grid(region), [self._periods.at(self._periods.index(m)) for m in months],
            catalog=project.catalog_of(self._sensor), sensor=project.sensor(self._sensor), mask=project.mask,
            area=_area(self._workspace, self._sensor, region),
        )  # fmt: skip

    def make(self, region: str, month: str, *, run_id: str) -> Made:
        """Write a partition's scene table and receipt."""
        return _stored(self._workspace, self._sensor, region, month, self._table(region, month), run_id)
