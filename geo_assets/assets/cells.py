"""Asset ``cells``: the cells of a region."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from geo_assets.assets.context import Workspace
from geo_assets.assets.partitions import REGIONS
from geo_assets.assets.ports import Store
from geo_assets.assets.strip import Made, run_strip
from geo_assets.model import path
from geo_assets.project import LoadedProject
from geo_assets.tasks import cells as task


def build(loaded: LoadedProject) -> dg.AssetsDefinition:
    """The asset for a project."""

    @dg.asset(
        name="cells", group_name="area", kinds={"geoparquet", "table"}, owners=["team:geo-assets"], code_version=task.CODE_VERSION,
        partitions_def=REGIONS, backfill_policy=dg.BackfillPolicy.single_run(),
        description="Cells of the registered areas that touch a region: id, owner region, all regions, CRS and outline.",
    )  # fmt: skip
    def cells(context: dg.AssetExecutionContext, storage: dg.ResourceParam[Store]) -> Iterator[Any]:
        workspace = Workspace.of(loaded, storage=storage)
        yield from run_strip(
            context, lambda region: make(workspace, region, context.run.run_id), storage=workspace.storage
        )

    return cells


def make(workspace: Workspace, region: str, run_id: str) -> Made:
    """Write a region's cells, unless they are as they should be."""
    grid, storage = workspace.project.grid, workspace.storage
    receipt, written = task.store_cells(storage, grid, region, workspace.cut.of_region(region), run_id=run_id)
    status = "made" if written else "skipped: same areas, grid and code"
    table = dg.MetadataValue.path(storage.uri(path.cells(region)))
    return Made(receipt.data_version, {"status": status, **receipt.figures, "table": table})
