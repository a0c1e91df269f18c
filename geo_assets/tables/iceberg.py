"""Tables in Apache Iceberg: every change is one commit, and every earlier state can be read.

Data files are written here and not by pyiceberg, so that they are GeoParquet; and a change is one snapshot, not one that
removes rows before one that adds them.
"""

import datetime as dt
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import pyarrow as pa
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.table import Table
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import MonthTransform, TruncateTransform

from geo_assets.errors import ConfigError, ConflictError, GeoAssetsError, StoreError
from geo_assets.model.chip_table import COLUMNS, KEY, PREFIX, SORTED, Upkeep, Version, Where, checked
from geo_assets.model.recipe import TablesRecipe
from geo_assets.model.text import told
from geo_assets.tables import _iceberg_files as files
from geo_assets.tables._iceberg_upkeep import compact, expire, remove_orphans
from geo_assets.tables._iceberg_where import expression, near

T = TypeVar("T")
NAMESPACE = "geo_assets"
_PATIENCE_S, _LONGEST_WAIT_S = 300.0, 2.0
_OURS = "geo-assets.change"
# Retries are ours: a change is worked out anew from what is there by then
_PROPERTIES = {"commit.retry.num-retries": "0", "write.metadata.delete-after-commit.enabled": "true", "write.metadata.previous-versions-max": "50"}  # fmt: skip


class IcebergTable:
    """A table of chips.

    Args:
        catalog: That knows which metadata is the newest.
        identifier: Namespace and name.
    """

    def __init__(self, catalog: Catalog, identifier: tuple[str, str]) -> None:
        self._catalog, self._identifier = catalog, identifier

    def upsert(self, rows: pa.Table) -> bool:
        """See ``ChipTable``."""
        rows = checked(rows)
        if not rows.num_rows:
            return False
        with _errors(self._identifier):
            self._evolve(rows.schema)
            return self._committed(lambda table: self._put(table, rows), "upsert")

    def remove(self, keys: pa.Table) -> int:
        """See ``ChipTable``."""
        found = 0

        def change(table: Table) -> files.Change:
            nonlocal found
            touched = files.holding(table, keys, near(keys))
            found = sum(t.hits.num_rows for t in touched)
            return files.Change([t.task for t in touched], files.joined(table, [t.others for t in touched]))

        if keys.num_rows:
            with _errors(self._identifier):
                self._committed(change, "remove")
        return found

    def read(
        self, where: Where | None = None, *, columns: Sequence[str] | None = None, version: int | dt.datetime | None = None
    ) -> pa.Table:  # fmt: skip
        """See ``ChipTable``."""
        with _errors(self._identifier):
            table = self._load()
            snapshot = self._snapshot(table, version)
            if unknown := [c for c in columns or () if c not in table.schema().column_names]:
                raise ConfigError(f"no column {', '.join(unknown)}; there are {', '.join(table.schema().column_names)}")
            scan = table.scan(
                row_filter=expression(where or Where()), selected_fields=tuple(columns or ("*",)), snapshot_id=snapshot
            )
            return files.plain(scan.to_arrow())

    def versions(self) -> list[Version]:
        """See ``ChipTable``."""
        with _errors(self._identifier):
            return [
                Version(s.snapshot_id, _time(s.timestamp_ms), int((s.summary and s.summary["total-records"]) or 0))
                for s in self._load().snapshots()
            ]

    def tidy(self, *, keep: dt.timedelta, orphans: dt.timedelta) -> Upkeep:
        """See ``ChipTable``."""
        now = dt.datetime.now(dt.UTC)
        with _errors(self._identifier):
            before = len(list(self._load().scan().plan_files()))
            while self._committed(compact, "compact"):  # one part at a time: others commit meanwhile
                pass
            after = len(list(self._load().scan().plan_files()))
            expired = self._retried(lambda table: expire(table, now - keep), "expire")
            return Upkeep(expired, before, after, remove_orphans(self._load(), now - orphans))

    def _put(self, table: Table, rows: pa.Table) -> files.Change:
        """What an upsert changes now: nothing, if all of it is there already."""
        touched = files.holding(table, rows, near(rows))
        rows = files.completed(table, rows)
        old = files.joined(table, [t.hits for t in touched])
        if old.num_rows == rows.num_rows and files.alike(old, rows):
            return files.Change([], rows.slice(0, 0))
        return files.Change([t.task for t in touched], pa.concat_tables([*(t.others for t in touched), rows]))

    def _evolve(self, schema: pa.Schema) -> None:
        """Add columns that the table does not have."""

        def add(table: Table) -> int:
            known = table.schema().column_names
            if new := [f for f in schema if f.name not in known]:
                with table.update_schema() as update:
                    update.union_by_name(pa.schema([pa.field(f.name, f.type) for f in new]))
            return len(new)

        if any(name not in self._load().schema().column_names for name in schema.names):
            self._retried(add, "add columns")

    def _committed(self, change: Callable[[Table], files.Change], what: str) -> bool:
        """Commit what a function makes of the newest state; again from the start where another commit came first.

        Raises:
            ConflictError: Others were faster for a long time.
        """

        def attempt(table: Table) -> bool:
            found = change(table)
            if found.nothing:
                return False
            made = files.write(table, found.rows)
            try:
                with (
                    table.transaction() as transaction,
                    transaction.update_snapshot({_OURS: f"{what} {uuid.uuid4().hex}"}).overwrite() as snapshot,
                ):
                    for task in found.replaced:
                        snapshot.delete_data_file(task.file)
                    for file in made:
                        snapshot.append_data_file(file)
            except CommitFailedException:
                files.discard(table, made)
                raise
            return True

        return self._retried(attempt, what)

    def _retried(self, attempt: Callable[[Table], T], what: str) -> T:
        began, wait_s = time.monotonic(), 0.05
        while True:
            try:
                return attempt(self._load())
            except CommitFailedException as e:
                if time.monotonic() - began > _PATIENCE_S:
                    raise ConflictError(
                        f"table {'.'.join(self._identifier)}: {what}: others committed first for {_PATIENCE_S:.0f} s: {told(e)}; try again"
                    ) from e
            except Exception as e:
                if not _busy(e) or time.monotonic() - began > _PATIENCE_S:
                    raise
            time.sleep(random.uniform(0.3, 1.0) * wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _load(self) -> Table:
        return self._catalog.load_table(self._identifier)

    def _snapshot(self, table: Table, version: int | dt.datetime | None) -> int | None:
        if version is None:
            return None
        if isinstance(version, dt.datetime):
            found = table.snapshot_as_of_timestamp(int(version.timestamp() * 1000))
        else:
            found = table.snapshot_by_id(version)
        if found is None:
            known = ", ".join(
                f"{s.snapshot_id} ({_time(s.timestamp_ms):%Y-%m-%d %H:%M:%S})" for s in table.snapshots()[-5:]
            )
            raise ConfigError(f"table {'.'.join(self._identifier)} has no state {version}; the newest are: {known}")
        return found.snapshot_id


class Iceberg:
    """Tables below the storage root, known to a catalog: SQLite on this machine, AWS Glue, or a REST service."""

    def open(self, recipe: TablesRecipe, root: str, name: str) -> IcebergTable:
        """See ``Tables``."""
        base = root.rstrip("/") if "://" in root else os.path.abspath(root)
        identifier = (NAMESPACE, name)
        with _errors(identifier):
            catalog = load_catalog(NAMESPACE, **_settings(recipe, base))
            location = f"{base if '://' in base else f'file://{base}'}/tables/{name}"
            try:
                catalog.load_table(identifier)
            except NoSuchTableError:
                _create(catalog, identifier, location)
        return IcebergTable(catalog, identifier)


def _settings(recipe: TablesRecipe, base: str) -> dict[str, str]:
    """What pyiceberg needs to know; secrets come from the environment, as its docs say.

    Raises:
        ConfigError: SQLite for a storage that is not on this machine.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    shared = {"py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO", **({"s3.endpoint": endpoint} if endpoint else {})}
    if recipe.catalog == "sqlite":
        if "://" in base:
            raise ConfigError(
                f"tables.catalog: sqlite is a file on this machine, and the storage is {base}: use glue or rest"
            )
        os.makedirs(f"{base}/tables", exist_ok=True)
        return {
            **shared,
            "type": "sql",
            "uri": f"sqlite:///{base}/tables/catalog.db?timeout=60",
            "init_catalog_tables": "true",
            **recipe.config,
        }
    return {**shared, "type": recipe.catalog, **recipe.config}


def _create(catalog: Catalog, identifier: tuple[str, str], location: str) -> None:
    catalog.create_namespace_if_not_exists(identifier[0])
    schema = files.schema_of(COLUMNS, key=KEY)
    ids = {f.name: f.field_id for f in schema.fields}
    parts = PartitionSpec(
        PartitionField(ids["geohash"], 1000, TruncateTransform(PREFIX), f"geohash_{PREFIX}"),
        PartitionField(ids["datetime"], 1001, MonthTransform(), "datetime_month"),
    )
    order = SortOrder(*(SortField(ids[name]) for name in SORTED))
    try:
        catalog.create_table(
            identifier, schema, location=location, partition_spec=parts, sort_order=order, properties=_PROPERTIES
        )
    except TableAlreadyExistsError:
        return  # by another process, since


@contextmanager
def _errors(identifier: tuple[str, str]) -> Iterator[None]:
    """Whatever pyiceberg, its catalogs or a disk raise is an error of the store; their texts may hold secrets."""
    try:
        yield
    except GeoAssetsError:
        raise
    except Exception as e:
        raise StoreError(f"table {'.'.join(identifier)}: {told(e)}") from e


def _busy(error: Exception) -> bool:
    """Whether SQLite says that another process writes."""
    return "database is locked" in str(error)


def _time(ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC)


PLUGIN = Iceberg()
