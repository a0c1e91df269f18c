"""Data files of an Iceberg table: which of them hold some keys, and how new ones are written."""

import contextlib
import io
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.io.pyarrow import ArrowScan, parquet_file_to_data_file
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.table import FileScanTask, Table

from geo_assets.model.chip_table import GEO, KEY, PREFIX, SORTED

_ROWS, _GROUP_ROWS = 250_000, 20_000  # of a file, and of what a reader can leave out of it


@dataclass(frozen=True)
class Change:
    """Files that are replaced, and the rows that come in their place."""

    replaced: Sequence[FileScanTask]
    rows: pa.Table

    @property
    def nothing(self) -> bool:
        """Whether it changes nothing."""
        return not self.replaced and not self.rows.num_rows


@dataclass(frozen=True)
class Touched:
    """A file that holds some keys.

    Attributes:
        task: The file.
        hits: Its rows with one of the keys.
        others: Its other rows.
    """

    task: FileScanTask
    hits: pa.Table
    others: pa.Table


def schema_of(columns: pa.Schema, *, key: Sequence[str]) -> Schema:
    """Iceberg's schema of some columns, with numbers of its own."""
    from pyiceberg.io.pyarrow import _pyarrow_to_schema_without_ids

    made = assign_fresh_schema_ids(_pyarrow_to_schema_without_ids(columns))
    return Schema(*made.fields, identifier_field_ids=[made.find_field(name).field_id for name in key])


def rows_of(table: Table, tasks: Sequence[FileScanTask]) -> pa.Table:
    """All rows of some files, with the columns that the table has now."""
    scan = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue())
    return plain(scan.to_table(tasks))


def holding(table: Table, keys: pa.Table, near: BooleanExpression) -> list[Touched]:
    """Files that hold rows of some keys."""
    wanted = keys.select(list(KEY))
    found = []
    for task in table.scan(row_filter=near).plan_files():
        rows = rows_of(table, [task])
        places = rows.select(list(KEY)).append_column("place", pa.array(range(rows.num_rows), pa.int64()))
        hits = places.join(wanted, keys=list(KEY), join_type="left semi")["place"]
        if len(hits):
            mask = pc.is_in(places["place"], value_set=hits.combine_chunks())
            found.append(Touched(task, rows.filter(mask), rows.filter(pc.invert(mask))))
    return found


def joined(table: Table, parts: Sequence[pa.Table]) -> pa.Table:
    """Some rows as one table."""
    return pa.concat_tables(parts) if parts else plain(table.schema().as_arrow().empty_table())


def completed(table: Table, rows: pa.Table) -> pa.Table:
    """Rows with all columns of the table, in its order; null where they have none."""
    schema = _plain_schema(table.schema().as_arrow())
    columns = [
        rows[f.name].cast(f.type) if f.name in rows.column_names else pa.nulls(rows.num_rows, f.type) for f in schema
    ]
    return pa.table(columns, schema=schema)


def alike(a: pa.Table, b: pa.Table) -> bool:
    """Whether two tables hold the same rows, in whatever order."""
    by = [(name, "ascending") for name in KEY]
    return bool(a.sort_by(by).combine_chunks().equals(b.sort_by(by).combine_chunks()))


def write(table: Table, rows: pa.Table) -> list[DataFile]:
    """Write rows as files, each of one part of the table and sorted; nothing names them yet."""
    made: list[DataFile] = []
    try:
        for prefix, month, part in _parts(rows):
            for start in range(0, part.num_rows, _ROWS):
                name = f"{table.location()}/data/{prefix}/{month}/{uuid.uuid4().hex}.parquet"
                made.append(_written(table, name, part.slice(start, _ROWS)))
    except BaseException:
        discard(table, made)
        raise
    return made


def _parts(rows: pa.Table) -> Iterable[tuple[str, str, pa.Table]]:
    prefix = pc.utf8_slice_codeunits(rows["geohash"], 0, PREFIX)
    month = pc.strftime(rows["datetime"], "%Y-%m")
    marked = rows.append_column("_prefix", prefix).append_column("_month", month)
    for part in marked.select(["_prefix", "_month"]).group_by(["_prefix", "_month"]).aggregate([]).to_pylist():
        mask = pc.and_(pc.equal(prefix, part["_prefix"]), pc.equal(month, part["_month"]))
        yield part["_prefix"], part["_month"], rows.filter(mask).sort_by([(n, "ascending") for n in SORTED])


def _written(table: Table, name: str, rows: pa.Table) -> DataFile:
    schema = table.schema().as_arrow()
    typed = pa.table([rows[f.name].cast(f.type) for f in schema], schema=schema.with_metadata({"geo": GEO}))
    buffer = io.BytesIO()
    pq.write_table(typed, buffer, compression="zstd", row_group_size=_GROUP_ROWS)
    with table.io.new_output(name).create() as file:
        file.write(buffer.getvalue())
    return parquet_file_to_data_file(table.io, table.metadata, name)


def discard(table: Table, made: Sequence[DataFile]) -> None:
    """Delete files that no state will name; what cannot be deleted is found by the next upkeep."""
    for file in made:
        with contextlib.suppress(OSError):
            table.io.delete(file.file_path)


def plain(rows: pa.Table) -> pa.Table:
    """Rows without pyiceberg's large types and numbers of fields."""
    return rows.cast(_plain_schema(rows.schema))


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(f.name, _plain_type(f.type), f.nullable) for f in schema])


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, _plain_type(f.type), f.nullable) for f in kind])
    return kind
