"""The files that a run's report is made of, in a folder or below the storage root."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geo_assets.errors import ConfigError
from geo_assets.model import path
from geo_assets.model.text import without_secrets
from geo_assets.report.jobs import Job, with_failures
from geo_assets.report.page import run_page
from geo_assets.report.plots import plots
from geo_assets.report.rows import failed_csv, jobs_csv
from geo_assets.report.summary import summary
from geo_assets.report.text import run_text
from geo_assets.report.tiles import StoredTiles
from geo_assets.report.verdict import advice
from geo_assets.storage import Storage

SUMMARY, JOBS, FAILED, TEXT, PAGE, PLOTS = "summary.json", "jobs.csv", "failed.csv", "report.txt", "report.html", "plots"  # fmt: skip
_RUN_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")


def write_run_report(
    target: Path | Storage, run_id: str, jobs: Sequence[Job], document: Mapping[str, Any], *, title: str, command: str = "geo-assets run",
    beside: str = "", cells: Storage | None = None,
) -> str:  # fmt: skip
    """Write the report of a run.

    Args:
        target: A folder, which gets the files itself, or a storage, which gets them in ``runs/<run_id>/``.
        run_id: Of the run, or of the first of several that make one.
        jobs: Of the run.
        document: What ``run --json`` prints; failures in it that no job tells of are added to the jobs.
        title: Name of the project.
        command: That runs the project, as a shell reads it, without options.
        beside: Name of the project's own report in the same folder, if it is there.
        cells: Where the cells are stored, if the target is a folder: failed.csv names those that are tiles.

    Returns:
        Path or URI of the folder.

    Raises:
        ConfigError: The id of the run is no name of a folder.
        StoreError: A file cannot be written; those before it are, and what the run made stays.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise ConfigError(f"{run_id[:80]!r} is not the id of a run: use letters, digits, '_', '-' and '.'")
    storage = Storage(str(target.absolute())) if isinstance(target, Path) else target
    folder = "" if isinstance(target, Path) else path.run(run_id, "")
    where = storage.uri(folder).rstrip("/")
    stored = cells if isinstance(target, Path) else target
    tiles = StoredTiles(stored) if stored is not None else None
    for name, content in report_files(
        run_id,
        jobs,
        document,
        title=title,
        command=command,
        folder=where,
        beside=beside,
        tiles=tiles,
    ).items():
        storage.write(folder + name, content)
    return where


def report_files(
    run_id: str, jobs: Sequence[Job], document: Mapping[str, Any], *, title: str, command: str, folder: str, beside: str = "",
    tiles: StoredTiles | None = None,
) -> dict[str, bytes]:  # fmt: skip
    """Contents of the report's files by name; see ``write_run_report``.

    Args:
        run_id: Of the run.
        jobs: Of the run.
        document: What ``run --json`` prints.
        title: Name of the project.
        command: That runs the project.
        folder: Where the files will lie.
        beside: Name of the project's own report in the same folder, if it is there.
        tiles: The project's cells, if they are stored.
    """
    failures = [dict(f) | {"cause": without_secrets(str(f.get("cause") or ""))} for f in document.get("failures", ())]
    told = with_failures(jobs, failures)
    next_ = advice(told, command, shlex.quote(f"{folder}/{FAILED}"))
    pictures = {f"{PLOTS}/{name}": content for name, content in plots(told).items()}
    figures = summary(told) | {"plots": list(pictures)}
    whole = {**document, "report": folder, **({"failures": failures} if failures else {}), "jobs": figures}
    texts = {
        JOBS: jobs_csv(told),
        FAILED: failed_csv(told, tiles),
        TEXT: run_text(title, run_id, told, next_, document),
        PAGE: run_page(
            title,
            run_id,
            told,
            next_,
            document.get("partitions") or {},
            beside=beside,
            doubted=document.get("doubted") or (),
        ),
        SUMMARY: json.dumps(whole, indent=1),
    }
    # A lone surrogate in a name has no bytes
    return {**pictures, **{name: text.encode("utf-8", "replace") for name, text in texts.items()}}
