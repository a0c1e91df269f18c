"""The rows of a partition of chips in the project's table, which is one for all regions and months."""

import pyarrow as pa

from geo_assets.model.chip_table import KEY, ChipTable, Tables, Where, best
from geo_assets.model.project import Project
from geo_assets.registry import load

FILES = "geoparquet"  # tables.kind: the files of the partitions alone


def table_kind(project: Project) -> str:
    """Where rows of chips are kept, for receipts."""
    tables = project.tables
    return tables.kind if tables.kind == FILES else f"{tables.kind}: {tables.catalog}"


def open_table(project: Project, root: str, name: str) -> ChipTable:
    """The project's table of a product.

    Raises:
        ConfigError: The settings do not say where its catalog is.
        StoreError: It cannot be reached.
    """
    kind: Tables = load("tables", project.tables.kind)
    return kind.open(project.tables, root, name)


def project_table(project: Project, root: str, product: str) -> ChipTable | None:
    """The project's table of a product, or None where the files of its partitions are enough; see ``open_table``."""
    return None if project.tables.kind == FILES else open_table(project, root, product)


def publish(table: ChipTable, region: str, month: str, rows: pa.Table) -> None:
    """Put a partition's rows into the project's table in place of those that it has of it.

    Raises:
        StoreError: It was not committed.
    """
    rows = best(rows)
    table.upsert(rows)
    there = table.read(Where(regions=[region], months=[month]), columns=list(KEY))
    gone = there.join(rows.select(list(KEY)), keys=list(KEY), join_type="left anti")
    table.remove(gone)
