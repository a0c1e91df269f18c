"""Upkeep of an Iceberg table: small files put together, old states forgotten, and what no state names removed."""

import datetime as dt
from collections import defaultdict
from typing import Any

import fsspec
from pyiceberg.table import FileScanTask, Table

from geo_assets.tables._iceberg_files import Change, joined, rows_of

_SMALL_BYTES = 32 * 2**20
_FEW = 4  # small files that a part may have


def compact(table: Table) -> Change:
    """The first part of the table that has too many small files, as one."""
    by_part: dict[Any, list[FileScanTask]] = defaultdict(list)
    for task in table.scan().plan_files():
        if task.file.file_size_in_bytes < _SMALL_BYTES:
            by_part[str(task.file.partition)].append(task)
    crowded = next((tasks for _, tasks in sorted(by_part.items()) if len(tasks) > _FEW), [])
    return Change(crowded, rows_of(table, crowded) if crowded else joined(table, []))


def expire(table: Table, before: dt.datetime) -> int:
    """Forget states that are older, but for the newest one; returns how many."""
    current = table.current_snapshot()
    old = [
        s.snapshot_id
        for s in table.snapshots()
        if s.timestamp_ms < before.timestamp() * 1000 and (current is None or s.snapshot_id != current.snapshot_id)
    ]
    if old:
        table.maintenance.expire_snapshots().by_ids(old).commit()
    return len(old)


def remove_orphans(table: Table, before: dt.datetime) -> int:
    """Delete objects below the table that no state names and that are older; returns how many."""
    named = {_bare(name) for name in _named(table)}
    files, base = fsspec.core.url_to_fs(table.location(), use_listings_cache=False)
    gone = [
        name
        for name, facts in files.find(base, detail=True).items()
        if _bare(name) not in named and _changed(facts) < before
    ]
    for name in gone:
        files.rm_file(name)
    return len(gone)


def _named(table: Table) -> set[str]:
    names = {table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)}
    for snapshot in table.snapshots():
        names.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            names.add(manifest.manifest_path)
            names |= {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io)}
    return names


def _bare(name: str) -> str:
    """A name without its scheme: file systems list without it."""
    return name.partition("://")[2] or name


def _changed(facts: dict[str, Any]) -> dt.datetime:
    time = facts.get("LastModified") or facts.get("mtime")
    return time if isinstance(time, dt.datetime) else dt.datetime.fromtimestamp(float(time or 0), dt.UTC)
