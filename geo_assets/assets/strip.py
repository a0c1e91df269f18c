"""The body of every asset: one run makes one key or a strip of many, and each key has its own event.

Dagster gives all keys of a range run one data version and writes them only when the step ends. So each key's event is
logged here as soon as the key is done, and Dagster's own event is held back. docs/adr/0004-strips.md has the figures.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION as _QUIET

from geo_assets.assets.jobs import report_jobs
from geo_assets.assets.notes import Notes
from geo_assets.assets.partitions import region_and_month
from geo_assets.errors import ComputeError, GeoAssetsError
from geo_assets.model.text import without_secrets
from geo_assets.storage import Storage
from geo_assets.tasks.steps import Ended, Mapper, Steps, Together

_SHOWN, _LONGEST = 50, 500  # causes that the UI shows one by one, and characters of each
_FURTHER, _SHORT = "further", 120  # where the others are, and characters of theirs: many fail for one reason
_USER_VERSION = "dagster/data_version_is_user_provided"


@dataclass(frozen=True)
class Check:
    """Outcome of an asset check for one key."""

    name: str
    passed: bool
    metadata: Mapping[str, Any] = field(default_factory=dict)
    warn: bool = False


@dataclass(frozen=True)
class Made:
    """One finished key.

    Attributes:
        version: Its data version.
        metadata: What the UI shows.
        inputs: Data versions of what it was made from, by asset key.
        checks: Outcomes of the asset checks.
    """

    version: str
    metadata: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    checks: Sequence[Check] = ()


def run_strip(
    context: dg.AssetExecutionContext, make: Callable[[str], Made], *, storage: Storage, checks: Sequence[str] = ()
) -> Iterator[Any]:
    """Make every key of the run, keep what succeeds, and fail the step at its end if a key failed.

    Args:
        context: Of the asset.
        make: Makes one key; raises a GeoAssetsError if it cannot.
        storage: Keeps a note on each key that failed, until a later try succeeds.
        checks: Names of the asset's checks.
    """
    strip = _Strip(context, storage, checks)
    for key in strip.keys:
        try:
            made = make(key)
        except GeoAssetsError as e:
            strip.ended(Ended(str(key), None, e, 0.0))
        else:
            strip.ended(Ended(str(key), made, None, 0.0))
    yield from strip.events()


def run_strip_of_tasks(
    context: dg.AssetExecutionContext, body: Callable[[str], Steps[Made]], *, fn: Callable[[Any], Any], mapper: Mapper, storage: Storage,
    title: str, checks: Sequence[str] = (), mixed: bool = False,
) -> Iterator[Any]:  # fmt: skip
    """Like ``run_strip``, for keys whose tasks run elsewhere: those of many keys are out at a time.

    Args:
        context: Of the asset.
        body: The steps that make one key; a GeoAssetsError in them if it cannot be made.
        fn: The function of all tasks.
        mapper: Runs tasks.
        storage: Keeps a note on each key that failed, until a later try succeeds.
        title: Name of the project, for the run's report.
        checks: Names of the asset's checks.
        mixed: Send the tasks of a key in a mixed order.
    """
    strip = _Strip(context, storage, checks)
    Together(((str(key), body(key)) for key in strip.keys), fn, strip.ended, mixed=mixed).run(mapper)
    report_jobs(context, storage, title=title)
    yield from strip.events()


class _Strip:
    """The events of a run, key by key."""

    def __init__(self, context: dg.AssetExecutionContext, storage: Storage, checks: Sequence[str]) -> None:
        self._context, self._checks = context, checks
        self.keys = sorted(context.partition_keys, key=_region_first)
        self._known = {str(key): key for key in self.keys}  # some are more than their text
        self._product, self._tags = context.asset_key.to_user_string(), _Tags(context)
        self._notes = Notes(storage, self._product, run_id=context.run.run_id, log=context.log)
        self._failed: dict[str, GeoAssetsError] = {}

    def ended(self, ended: Ended[Made]) -> None:
        """Log what became of a key."""
        context, key, made = self._context, ended.key, ended.value
        if ended.error is not None or made is None:
            error = ended.error or ComputeError(f"{key}: nothing was made")
            self._failed[key] = error
            context.log.error(f"{self._product} {key}: {without_secrets(str(error))}")
            self._notes.failed(key, error, usd=ended.usd)
            return
        self._notes.made(key)
        context.log_event(
            dg.AssetMaterialization(
                context.asset_key, partition=key, metadata=made.metadata, tags=self._tags.of(self._known[key], made)
            )
        )
        for check in made.checks:
            context.log_event(_evaluation(context.asset_key, key, check))

    def events(self) -> Iterator[Any]:
        """What Dagster needs at the end of the step.

        Raises:
            dg.Failure: A key failed.
        """
        if len(self._failed) < len(self.keys):  # something is there, so assets further down may run
            yield dg.MaterializeResult(metadata={_QUIET: True})
            for name in self._checks:
                yield dg.Output(None, output_name=f"{self._context.asset_key.to_python_identifier()}_{name}")
        if self._failed:
            raise _failure({k: self._failed[k] for k in self._known if k in self._failed}, len(self.keys))


def _region_first(key: str) -> tuple[str, str]:
    """Order of keys in which what is known of a region serves all its months; by themselves they go month by month."""
    region, month = region_and_month(key)
    return region, month or ""


def _failure(failed: Mapping[str, GeoAssetsError], total: int) -> dg.Failure:
    first = next(iter(failed.values()))
    retry = all(e.retryable for e in failed.values())
    texts = {str(key): without_secrets(str(e))[:_LONGEST] for key, e in failed.items()}
    metadata: dict[str, Any] = {key: dg.MetadataValue.text(text) for key, text in list(texts.items())[:_SHOWN]}
    if len(texts) > _SHOWN:
        metadata[_FURTHER] = dg.MetadataValue.json({key: text[:_SHORT] for key, text in list(texts.items())[_SHOWN:]})
    return dg.Failure(
        f"{len(failed)} of {total} partitions failed: {without_secrets(str(first))}",
        metadata=metadata,
        allow_retries=retry,
    )


def causes_of(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Why keys failed, by key, out of the metadata of a step's failure."""
    causes = {key: value.value for key, value in metadata.items()}
    further = causes.pop(_FURTHER, {})
    return {str(key): str(cause) for key, cause in (causes | further).items()}


def _evaluation(asset: dg.AssetKey, key: str, check: Check) -> dg.AssetCheckEvaluation:
    severity = dg.AssetCheckSeverity.WARN if check.warn else dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckEvaluation(
        asset_key=asset, check_name=check.name, passed=check.passed, partition=key, severity=severity,
        metadata={k: dg.MetadataValue.text(v) if isinstance(v, str) else v for k, v in check.metadata.items()},
    )  # fmt: skip


class _Tags:
    """Event tags as Dagster would write them, so that its staleness holds for every key on its own."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._code = context.assets_def.code_versions_by_key.get(context.asset_key) or context.run.run_id
        self._deps = sorted(context.assets_def.asset_deps[context.asset_key], key=lambda k: k.to_user_string())
        records = context.instance.get_asset_records(self._deps) if self._deps else ()
        self._last = {r.asset_entry.asset_key: r.asset_entry.last_materialization_record for r in records}
        self._backfill = context.run.tags.get("dagster/backfill")

    def of(self, key: str, made: Made) -> dict[str, str]:
        tags = {"dagster/data_version": made.version, _USER_VERSION: "true", "dagster/code_version": self._code}
        if isinstance(key, dg.MultiPartitionKey):
            tags |= {f"dagster/partition/{name}": value for name, value in key.keys_by_dimension.items()}
        if self._backfill:
            tags["dagster/backfill"] = self._backfill
        for dep in self._deps:  # one missing would make every key stale ("new dependency")
            name, last = dep.to_user_string(), self._last.get(dep)
            tags[f"dagster/input_data_version/{name}"] = made.inputs.get(name, "INITIAL")
            tags[f"dagster/input_event_pointer/{name}"] = str(last.storage_id) if last else "NULL"
        return tags
