"""Figures of a run's jobs, and what the run came to."""

import datetime as dt
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from geo_assets.report.jobs import Job

RunStatus = Literal["success", "partial", "failed", "error", "infra_error"]
# What differs between failures of one kind
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+|(?<!\w)[~.]{0,2}/[^\s/]+/\S*")
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
# With a digit in it: ids of scenes, cells, regions and hosts, and numbers but for answers of servers
_NAME = re.compile(r"(?<!HTTP )\b\w*\d\w*(?:[.-]\w*\d\w*)*\b")


def run_status(jobs: Sequence[Job]) -> RunStatus:
    """What a run came to, in one word.

    - ``success``: no job failed; also where there was nothing to do.
    - ``partial``: some are made and some failed, whoever is to blame.
    - ``error``: none is made, and all failed by their own fault.
    - ``infra_error``: none is made, and all failed for lost workers, memory, time or the backend: the same again may succeed.
    - ``failed``: none is made, for both reasons.
    """
    found = {j.status for j in jobs}
    if found <= {"ok"}:
        return "success"
    if "ok" in found:
        return "partial"
    if len(found) > 1:
        return "failed"
    return "error" if found == {"error"} else "infra_error"


@dataclass(frozen=True)
class Group:
    """Sums over some jobs."""

    jobs: int
    ok: int
    error: int
    lost: int
    workers: int
    run_s: float
    cpu_s: float
    billed_s: float
    usd: float
    usd_predicted: float
    bytes_read: int
    requests: int
    peak_mb: float | None

    @classmethod
    def of(cls, jobs: Iterable[Job]) -> "Group":
        """The sums."""
        chosen = list(jobs)
        status = Counter(j.status for j in chosen)
        return cls(
            jobs=len(chosen), ok=status["ok"], error=status["error"], lost=status["lost"],
            workers=len({j.worker for j in chosen if j.worker}), run_s=sum(j.run_s for j in chosen), cpu_s=sum(j.cpu_s for j in chosen),
            billed_s=sum(j.billed_s for j in chosen), usd=sum(j.usd for j in chosen),
            usd_predicted=sum(j.usd_predicted for j in chosen), bytes_read=sum(j.bytes_read for j in chosen),
            requests=sum(j.requests for j in chosen), peak_mb=max((j.peak_mb for j in chosen if j.peak_mb is not None), default=None),
        )  # fmt: skip

    @property
    def failed(self) -> int:
        """Jobs that failed."""
        return self.error + self.lost

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "total": self.jobs, "ok": self.ok, "error": self.error, "lost": self.lost, "workers": self.workers,
            "run_s": round(self.run_s, 3), "cpu_s": round(self.cpu_s, 3), "billed_s": round(self.billed_s, 3),
            "usd": {"predicted": round(self.usd_predicted, 8), "actual": round(self.usd, 8)},
            "bytes_read": self.bytes_read, "requests": self.requests, "peak_mb": self.peak_mb and round(self.peak_mb, 1),
        }  # fmt: skip


@dataclass(frozen=True)
class Cause:
    """Failures that differ only in numbers, names with digits, and places.

    Attributes:
        jobs: Those that failed so, in the order of the run.
    """

    jobs: tuple[Job, ...]

    @property
    def first(self) -> Job:
        """The example."""
        return self.jobs[0]


def causes(jobs: Iterable[Job]) -> list[Cause]:
    """Failures by what went wrong, the most frequent first."""
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        if job.status != "ok":
            groups.setdefault((job.kind, _normal(job.cause)), []).append(job)
    return [Cause(tuple(g)) for g in sorted(groups.values(), key=lambda g: -len(g))]


def _normal(cause: str) -> str:
    text = _UUID.sub("#", _ADDRESS.sub("/…", cause[:1000]))
    return " ".join(_NAME.sub("#", text).split())


@dataclass(frozen=True)
class Spread:
    """How values are spread."""

    total: float
    median: float
    p95: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of some values; zeros where there are none."""
        if not values:
            return cls(0.0, 0.0, 0.0, 0.0)
        ordered = sorted(values)
        at = -(-95 * len(ordered) // 100) - 1  # the nearest rank
        return cls(sum(ordered), statistics.median(ordered), ordered[at], ordered[-1])

    def document(self) -> dict[str, float]:
        """For JSON."""
        return {"sum": round(self.total, 3), "median": round(self.median, 3), "p95": round(self.p95, 3), "max": round(self.most, 3)}  # fmt: skip


def run_times(jobs: Iterable[Job]) -> list[float]:
    """Seconds of the tasks that ran."""
    return [j.run_s for j in jobs if j.is_task and j.run_s]


def waits(jobs: Iterable[Job]) -> list[float]:
    """Seconds that tasks waited; none where no task says so, since older receipts do not."""
    found = [j.queued_s for j in jobs if j.is_task and j.ended_at]
    return found if any(found) else []


def span(jobs: Iterable[Job]) -> tuple[float, float]:
    """First start and last end, in seconds since 1970; zeros where no job has a time."""
    timed = [j for j in jobs if j.ended_at]
    return min((j.started_at for j in timed), default=0.0), max((j.ended_at for j in timed), default=0.0)


def by(jobs: Iterable[Job], key: Callable[[Job], tuple[str, ...]]) -> dict[tuple[str, ...], list[Job]]:
    """Jobs in groups, by their keys."""
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        groups.setdefault(key(job), []).append(job)
    return dict(sorted(groups.items()))


def summary(jobs: Sequence[Job]) -> dict[str, Any]:
    """Figures of some jobs as a JSON document."""
    first, last = span(jobs)
    places = by((j for j in jobs if j.is_task), lambda j: (j.place, j.backend))
    return {
        "status": run_status(jobs),
        **Group.of(jobs).document(),
        "started_at": iso(first),
        "ended_at": iso(last),
        "seconds": {
            "wall": round(last - first, 3),
            "run": Spread.of(run_times(jobs)).document(),
            "queued": Spread.of(waits(jobs)).document(),
        },
        "products": {p: Group.of(g).document() for (p,), g in by(jobs, lambda j: (j.product,)).items()},
        "places": [{"place": p, "backend": b, **Group.of(g).document()} for (p, b), g in places.items()],
        "failures": [_failure(c) for c in causes(jobs)],
    }


def iso(seconds: float) -> str | None:
    """A time of the clock, UTC; None for 0, which nobody knows."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds") if seconds else None


def _failure(cause: Cause) -> dict[str, Any]:
    job = cause.first
    example = {"product": job.product, "region": job.region, "month": job.month or None, "block": job.block or None}
    return {"count": len(cause.jobs), "status": job.status, "kind": job.kind, "cause": job.cause, "example": example}
