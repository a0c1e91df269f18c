"""Jobs as CSV: all of them, and those that failed in the form that ``run --tiles`` takes back: partitions, or tiles."""

import csv
import dataclasses
import io
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from geo_assets.eo.tile_request import COLUMNS, Tile
from geo_assets.report.jobs import Job
from geo_assets.report.tiles import StoredTiles

JOBS = tuple(f.name for f in dataclasses.fields(Job))
FAILED = ("product", "region", "month", "block", "cells", "kind", "cause")
# Which a spreadsheet runs; the wide ones are what some of them make of the others
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_SPLIT = ("block", "cells")  # read back as words or numbers: a blank in front is no part of them
_PLAIN = re.compile(r"[\w., -]+")


def jobs_csv(jobs: Iterable[Job]) -> str:
    """A line a job with all that is known of it, by the time of the end."""
    return _csv(JOBS, sorted(jobs, key=lambda j: j.ended_at))


def failed_csv(jobs: Sequence[Job], tiles: StoredTiles | None = None) -> str:
    """A line a job that failed; ``month`` is empty for products that have none.

    Args:
        jobs: Of the run.
        tiles: Where the cells are stored. If they are tiles, there is a line for each cell of a job that failed, which
            begins with the columns of a table of tiles. These are empty where nobody knows the cells: the region is meant.
    """
    failed = [j for j in jobs if j.status != "ok"]
    if tiles is None or not tiles.there(failed):
        return _csv(FAILED, failed)
    rows: list[tuple[Job, Tile | None]] = []
    for job in failed:
        found = tiles.of(job)
        rows += [(replace(job, cells=(cell,)), tile) for cell, tile in found]
        if not found or not {*job.cells} <= {cell for cell, _ in found}:
            rows.append((job, None))
    before = [[repr(getattr(tile, c)) if tile else "" for c in COLUMNS] for _, tile in rows]
    return _csv(FAILED, [job for job, _ in rows], before=before, names=COLUMNS)


def _csv(
    columns: Sequence[str], jobs: Iterable[Job], *, before: Iterable[Sequence[str]] = (), names: Sequence[str] = ()
) -> str:
    """Columns of jobs, and other ones before them."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*names, *columns])
    readers: list[Callable[[Job], str]] = [_reader(c) for c in columns]
    others = before if names else itertools.repeat(())
    writer.writerows([*other, *(read(job) for read in readers)] for other, job in zip(others, jobs, strict=False))
    return buffer.getvalue()


def _reader(column: str) -> Callable[[Job], str]:
    def read(job: Job) -> str:
        value = getattr(job, column)
        if isinstance(value, float):
            return f"{value:.9g}" if column != "ended_at" else f"{value:.3f}"
        if isinstance(value, tuple):
            value = " ".join(value)
        if not isinstance(value, str):
            return "" if value is None else str(value)
        # Readers take a lone return for the end of the line, even where the csv module does not quote it
        return _harmless(value.replace("\r\n", "\n").replace("\r", "\n"), column)

    return read


def _harmless(text: str, column: str) -> str:
    """Text that no spreadsheet takes for a formula; regions, months and ids of cells never look like one."""
    if not text.lstrip(" ").startswith(_FORMULA):
        return text
    return (" " if column in _SPLIT and _PLAIN.fullmatch(text) else "'") + text
