"""The jobs of a run as an event of its asset, and as files where no command that started it writes them."""

from collections.abc import Iterator

import dagster as dg

from geo_assets.assets.figures import run_metadata
from geo_assets.assets.partitions import region_and_month
from geo_assets.errors import StoreError
from geo_assets.report.jobs import Job, jobs_of
from geo_assets.report.write import write_run_report
from geo_assets.storage import Storage

CALL = "geo_assets/call"  # tag of a run that a command started, which writes one report of all its runs


def report_jobs(context: dg.AssetExecutionContext, storage: Storage, *, title: str) -> None:
    """Log what became of the run's tasks up to now, and write it to ``runs/<run id>/`` unless a command does.

    A report that cannot be made is a line in the log: what the run made is what counts.
    """
    run_id = context.run.run_id
    try:
        keys = [region_and_month(str(key)) for key in context.partition_keys]
        jobs = jobs_of(storage, [run_id], partitions=keys)
        if not jobs:
            return
        metadata = run_metadata(jobs)
        if CALL not in context.run.tags:
            folder = write_run_report(storage, run_id, jobs, _document(run_id, jobs), title=title)
            metadata["report"] = dg.MetadataValue.path(f"{folder}/report.html")
        context.log_event(dg.AssetObservation(context.asset_key, metadata=metadata))
    except StoreError as e:
        context.log.error(f"the report of the run cannot be made: {e}")


def _document(run_id: str, jobs: list[Job]) -> dict[str, object]:
    """What of ``run --json`` is known within a run."""
    return {"run_ids": [run_id], "failures": list(_failures(jobs))}


def _failures(jobs: list[Job]) -> Iterator[dict[str, object]]:
    for job in jobs:
        if job.status != "ok":
            yield {
                "product": job.product, "region": job.region, "month": job.month or None, "block": job.block or None,
                "cells": list(job.cells), "cause": job.cause,
            }  # fmt: skip
