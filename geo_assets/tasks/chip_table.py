"""The chips of one region and period as GeoParquet: what they are, where they lie, how good they are."""

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from geo_assets.errors import SourceError
from geo_assets.model import path
from geo_assets.model.chip_table import COLUMNS, GEO, SORTED, checked
from geo_assets.storage import Storage


def read_rows(storage: Storage, region: str, month: str) -> pa.Table | None:
    """Rows of a partition, one a scene and chip, with at least ``COLUMNS``; None where there is no table.

    Those of scenes with one time may share a key: ``chip_table.best`` gives one of them.

    Raises:
        SourceError: It is damaged.
    """
    name = path.chips(region, month)
    content = storage.read(name)
    if content is None:
        return None
    try:
        return checked(pq.read_table(io.BytesIO(content)), unique=False)
    except (pa.ArrowException, OSError, ValueError) as e:
        line = " ".join(str(e).split())[:200]
        raise SourceError(f"{storage.uri(name)}: no table of chips: {line}; run the partition with --overwrite") from e


def write_rows(
    storage: Storage, region: str, month: str, rows: Sequence[dict[str, Any]], kept: pa.Table | None
) -> pa.Table:
    """Write the table of a partition anew: rows that were made now, and those of before that still hold.

    Returns:
        The table, sorted.
    """
    parts = [kept] if kept is not None and kept.num_rows else []
    if rows:
        names = [*COLUMNS.names, *sorted({k for row in rows for k in row} - {*COLUMNS.names})]
        parts.append(checked(_typed(rows, names), unique=False))
    table = pa.concat_tables(parts, promote_options="permissive") if parts else COLUMNS.empty_table()
    table = table.sort_by([(name, "ascending") for name in SORTED])
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"geo": GEO}), buffer, compression="zstd")
    storage.write(path.chips(region, month), buffer.getvalue())
    return table


def _typed(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> pa.Table:
    """Rows as columns; shares of which all are unknown are numbers all the same."""
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        known = COLUMNS.field(name).type if name in COLUMNS.names else None
        columns[name] = pa.array(values, known or (pa.float64() if name.endswith("_fraction") else None))
    return pa.table(columns)
