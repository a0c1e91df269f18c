"""What a run came to and what to do next, in words."""

from collections.abc import Mapping, Sequence

from geo_assets.report.jobs import Job
from geo_assets.report.markup import plural
from geo_assets.report.summary import Group, RunStatus, run_status

_WORDS: dict[RunStatus, str] = {
    "success": "complete",
    "partial": "partial",
    "failed": "failed",
    "error": "failed",
    "infra_error": "failed",
}


def verdict(jobs: Sequence[Job]) -> str:
    """One line: complete, partial or failed, and how many."""
    if not jobs:
        return "complete: no task had to run"
    group, word = Group.of(j for j in jobs if j.is_task or j.status == "ok"), _WORDS[run_status(jobs)]
    before = len(jobs) - group.jobs  # partitions that failed as a whole
    if not group.failed and not before:
        return f"{word}: all of {plural(group.jobs, 'job')} made" if group.jobs > 1 else f"{word}: the job was done"
    parts = [f"{group.ok:,} of {plural(group.jobs, 'job')} made, {counts(group)}"] if group.jobs else []
    parts += [f"{plural(before, 'partition')} failed as a whole"] if before else []
    return f"{word}: {'; '.join(parts)}"


def counts(group: Group) -> str:
    """How many failed, and of them how many were lost: by no fault of their own."""
    if not group.failed:
        return "none failed"
    lost = f", {group.lost:,} of them lost" if group.lost else ""
    return f"{group.failed:,} failed{lost}"


def kinds(partitions: Mapping[str, int]) -> str:
    """``3 ok, 1 partial``: what partitions came to."""
    return ", ".join(f"{n:,} {name}" for name, n in partitions.items() if n and name != "total")


def advice(jobs: Sequence[Job], command: str, failed: str) -> tuple[str, list[str]]:
    """What to do next: a sentence, and the commands.

    Args:
        jobs: Of the run.
        command: That runs the project, without options.
        failed: The list of what failed, as a shell reads it.
    """
    if not any(j.status != "ok" for j in jobs):
        return "Nothing to do: no job failed.", []
    both = [f"{command} --tiles {failed}", f"{command} --retry-failed"]
    if run_status(jobs) == "infra_error" or all(j.status != "error" for j in jobs):
        return "The same again may succeed. Run what failed, or all of the project that is not complete:", both
    return "Mend what the causes name. Then run what failed, or all of the project that is not complete:", both
