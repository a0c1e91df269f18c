"""Jobs of a run: one a task, read from the receipts, and one a partition that failed as a whole, read from its note."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from geo_assets.errors import ComputeError
from geo_assets.model import path
from geo_assets.model.receipt import BlockReceipt, FailureNote
from geo_assets.model.text import without_secrets
from geo_assets.storage import Storage

PRODUCTS = (
    "composite",
    "pyramid",
    "chips",
)  # whose receipts hold tasks; and those of analysis-ready layers and of maps
_INFRASTRUCTURE = ("timeout", "memory", "lost", "backend")
_KINDS = ("error", "payload", *_INFRASTRUCTURE)
_CLOCKS = 1e9, 4e9  # seconds since 1970, from 2001 to 2096: a clock that tells another time is wrong

Status = Literal["ok", "error", "lost"]
Key = tuple[str, str | None]  # region and month of a partition; None: it has no month


@dataclass(frozen=True)
class Job:
    """One task, or one partition that failed before it had any.

    Attributes:
        product: What was to be made.
        region: Of the cube.
        month: "" where the product has none.
        block: "row,col", or "" of a partition that failed as a whole.
        cells: Cells that it is about.
        status: ok; error, its own fault; lost, that of the worker, its memory, its time or the backend.
        cause: Why it failed, without signatures of addresses.
        kind: Of a failure: error or payload; timeout, memory, lost or backend.
        attempts: Tries that were made.
        backend: Compute backend.
        place: Cloud region, or "".
        worker: Host and process, or "".
        queued_s: Seconds that it waited for a worker, and was on the way.
        run_s: Seconds of the last try.
        cpu_s: CPU seconds.
        billed_s: Seconds that are paid for, of all tries.
        usd: What all tries cost.
        usd_predicted: What was expected before it started.
        peak_mb: Most memory of its process, MiB; None where nobody knows.
        ended_at: Seconds since 1970; 0 where nobody knows.
        bytes_read: Of scenes.
        requests: Made for them.
        scenes: How many reached it.
    """

    product: str
    region: str
    month: str = ""
    block: str = ""
    cells: tuple[str, ...] = ()
    status: Status = "ok"
    cause: str = ""
    kind: str = ""
    attempts: int = 1
    backend: str = ""
    place: str = ""
    worker: str = ""
    queued_s: float = 0.0
    run_s: float = 0.0
    cpu_s: float = 0.0
    billed_s: float = 0.0
    usd: float = 0.0
    usd_predicted: float = 0.0
    peak_mb: float | None = None
    ended_at: float = 0.0
    bytes_read: int = 0
    requests: int = 0
    scenes: int = 0

    def __post_init__(self) -> None:
        """Clean what came from elsewhere: no later step needs to know of signatures and of broken clocks."""
        object.__setattr__(self, "cause", without_secrets(self.cause))
        for name in ("queued_s", "run_s", "cpu_s", "billed_s", "usd", "usd_predicted", "ended_at"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                object.__setattr__(self, name, 0.0)
        if not _CLOCKS[0] < self.ended_at < _CLOCKS[1]:
            object.__setattr__(self, "ended_at", 0.0)
        if self.peak_mb is not None and not math.isfinite(self.peak_mb):
            object.__setattr__(self, "peak_mb", None)

    @property
    def started_at(self) -> float:
        """When its last try started, in seconds since 1970; 0 where nobody knows."""
        return self.ended_at and max(0.0, self.ended_at - self.run_s)

    @property
    def is_task(self) -> bool:
        """Whether a task was started, or was to be."""
        return self.block != ""

    @property
    def partition(self) -> tuple[str, str, str]:
        """Product, region and month."""
        return self.product, self.region, self.month

    @property
    def where(self) -> str:
        """What it is about, in words."""
        parts = (self.product, self.region, self.month, self.block and f"{kind_of(self.product)} {self.block}")
        return " ".join(p for p in parts if p)


def kind_of(product: str) -> str:
    """What a task of a product makes, in a word."""
    return "layer" if product.startswith("ard/") else "block"


def jobs_of(storage: Storage, run_ids: Sequence[str], *, partitions: Iterable[Key] | None = None) -> list[Job]:
    """Jobs of some runs, by the time of their end; those without one come first.

    Args:
        storage: Holds receipts and notes.
        run_ids: Of the runs.
        partitions: Region and month of those that the runs were about; all that are stored if left out, which takes a
            while where there are many.

    Raises:
        StoreError: Receipts cannot be read.
    """
    wanted = None if partitions is None else set(partitions)
    ids = set(run_ids)
    products = [*PRODUCTS, *_named_products(storage)]
    found = [one for product in products for one in _tasks(storage, product, ids, wanted)]
    told = {(run_id, job.partition) for run_id, job in found if job.status != "ok"}
    # A note on a partition of which all blocks failed says again what their receipts say
    notes = [(n.run_id, _of_note(n)) for n in _notes(storage, wanted) if n.run_id in ids]
    jobs = [job for _, job in found] + [job for run_id, job in notes if (run_id, job.partition) not in told]
    return sorted(jobs, key=_order)


def _named_products(storage: Storage) -> list[str]:
    """Products that have a name of their own in theirs, and tasks."""
    found = [n for kind in ("ard", "prediction") for n in storage.names(path.receipts(kind))]
    return sorted({n.removeprefix(f"{path.RECEIPTS}/").rsplit("/", 2)[0] for n in found})


def with_failures(jobs: Sequence[Job], failures: Iterable[Mapping[str, Any]]) -> list[Job]:
    """Jobs, and those failures of a run's document that no job tells of.

    Args:
        jobs: Of the run.
        failures: Each with product, region, month, block, cells and cause, as ``run --json`` prints them.
    """
    known = {(*j.partition, block) for j in jobs if j.status != "ok" for block in (j.block, "")}
    more = []
    for failure in failures:
        product, region, month, block = (str(failure.get(k) or "") for k in ("product", "region", "month", "block"))
        if (product, region, month, block) not in known:
            known.add((product, region, month, block))
            cells, cause = tuple(map(str, failure.get("cells") or ())), str(failure.get("cause") or "")
            more.append(Job(product, region, month, block, cells, "error", cause, "error", attempts=0))
    return sorted([*jobs, *more], key=_order)


def _order(job: Job) -> tuple[float, str, str, str, str]:
    return job.ended_at, job.product, job.region, job.month, job.block


def _tasks(storage: Storage, product: str, run_ids: set[str], wanted: set[Key] | None) -> Iterator[tuple[str, Job]]:
    if wanted is None:
        receipts = storage.receipts(product)
    else:
        dated = product in PRODUCTS
        keys = sorted((k for k in wanted if k[1] or not dated), key=lambda k: (k[0], k[1] or ""))
        receipts = (r for k in keys if (r := storage.sound_receipt(product, *k)) is not None)
    for receipt in receipts:
        where = Job(product, receipt.region, receipt.month or "")
        yield from ((b.run_id, _of_block(where, b)) for b in receipt.blocks if b.run_id in run_ids)


def _of_block(where: Job, block: BlockReceipt) -> Job:
    kind = _kind(block.kind, block.error) if block.status == "failed" else ""
    return replace(
        where, block=block.name or f"{block.row},{block.col}", cells=tuple(block.missing or block.cells), status=_fault(kind), cause=_cause(block) if kind else "", kind=kind,
        attempts=block.attempts, backend=block.backend, place=block.place, worker=block.worker, queued_s=block.queued_s,
        # Receipts that were written before tries were timed have only the whole
        run_s=block.run_s or block.wall_s, cpu_s=block.cpu_s, billed_s=block.billed_s, usd=block.usd,
        usd_predicted=block.usd_predicted, peak_mb=block.peak_mb, ended_at=block.ended_at, bytes_read=block.bytes_read,
        requests=block.requests, scenes=len(block.scene_ids),
    )  # fmt: skip


def _cause(block: BlockReceipt) -> str:
    return block.cause or block.error or "no cause was recorded"


def _kind(kind: str, error: str | None, unknown: str = "lost") -> str:
    """What went wrong; receipts of older versions tell it only by the class of the error."""
    if kind in _KINDS:
        return kind
    return {ComputeError.__name__: unknown, MemoryError.__name__: "memory"}.get(error or "", "error")


def _fault(kind: str) -> Status:
    if not kind:
        return "ok"
    return "lost" if kind in _INFRASTRUCTURE else "error"


def _notes(storage: Storage, wanted: set[Key] | None) -> Iterator[FailureNote]:
    regions = {region for region, _ in wanted or ()}
    for name in storage.names(path.FAILURES):
        parts = name.removesuffix(".json").split("/")[1:]
        if len(parts) < 3 or not name.endswith(".json"):
            continue  # none of ours
        *product, region, month = parts
        key = region, None if month == "all" else month
        if wanted is not None and key not in wanted and not (key[1] is None and region in regions):
            continue
        note = storage.failure("/".join(product), *key)
        if note is not None:
            yield note


def _of_note(note: FailureNote) -> Job:
    kind = _kind("", note.error, unknown="backend")
    return Job(
        note.product, note.region, note.month or "", status=_fault(kind), cause=note.cause, kind=kind, attempts=0, ended_at=note.at.timestamp()
    )  # fmt: skip
