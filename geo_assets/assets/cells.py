"""Asset ``cells``: the cells of a region."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg

from geo_assets.assets.context import Workspace
from geo_assets.assets.partitions import REGIONS
from geo_assets.assets.ports import Store
from geo_assets.assets.strip import Made, run_strip
from geo_assets.model import path
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.project import LoadedProject
from geo_assets.storage import Storage
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
        yield from run_strip(context, lambda region: make(workspace, region, context.run.run_id))

    return cells


def make(workspace: Workspace, region: str, run_id: str) -> Made:
    """Write a region's cells and receipt, unless they are as they should be."""
    table = workspace.cut.of_region(region)
    version = task.cells_version(table)
    storage: Storage = workspace.storage
    previous = storage.read_receipt("cells", region)
    figures: dict[str, Any] = {
        "cells": len(table),
        "areas": sorted(workspace.project.aois),
        "grid": workspace.project.grid.kind,
    }
    if previous and previous.data_version == version and storage.read(path.cells(region)) is not None:
        return Made(version, {"status": "skipped: same areas, grid and code", **figures})
    storage.write(path.cells(region), task.write_cells(table))
    storage.write_receipt(
        PartitionReceipt(
            product="cells",
            region=region,
            status="ok",
            data_version=version,
            code_version=task.CODE_VERSION,
            run_id=run_id,
            recipe_hash=workspace.project.grid.hash,
            made_at=dt.datetime.now(dt.UTC),
            figures=figures,
        )
    )
    return Made(version, {"status": "made", **figures, "table": dg.MetadataValue.path(storage.uri(path.cells(region)))})
