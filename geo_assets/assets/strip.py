"""The body of every asset: one run makes one key or a strip of many, and each key has its own event.

Dagster gives all keys of a range run one data version and writes them only when the step ends. So each key's event is
logged here as soon as the key is done, and Dagster's own event is held back. docs/adr/0004-strips.md has the figures.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION as _QUIET

from geo_assets.assets.notes import Notes
from geo_assets.assets.partitions import region_and_month
from geo_assets.errors import GeoAssetsError
from geo_assets.storage import Storage

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
    context: dg.AssetExecutionContext, make: Callable[[str], Made], *, storage: Storage, checks: Sequence[str] = (),
    spent_usd: Callable[[], float] = lambda: 0.0,
) -> Iterator[Any]:  # fmt: skip
    """Make every key of the run, keep what succeeds, and fail the step at its end if a key failed.

    Args:
        context: Of the asset.
        make: Makes one key; raises a GeoAssetsError if it cannot.
        storage: Keeps a note on each key that failed, until a later try succeeds.
        checks: Names of the asset's checks.
        spent_usd: What tasks have cost up to now.
    """
    keys = sorted(context.partition_keys, key=_region_first)
    product, tags = context.asset_key.to_user_string(), _Tags(context)
    notes = Notes(storage, product, run_id=context.run.run_id, log=context.log)
    failed: dict[str, GeoAssetsError] = {}
    for key in keys:
        before = spent_usd()
        try:
            made = make(key)
        except GeoAssetsError as e:
            failed[str(key)] = e
            context.log.error(f"{product} {key}: {e}")
            notes.failed(key, e, usd=spent_usd() - before)
            continue
        notes.made(key)
        context.log_event(
            dg.AssetMaterialization(
                context.asset_key, partition=str(key), metadata=made.metadata, tags=tags.of(key, made)
            )
        )
        for check in made.checks:
            context.log_event(_evaluation(context.asset_key, str(key), check))
    if len(failed) < len(keys):  # something is there, so assets further down may run
        yield dg.MaterializeResult(metadata={_QUIET: True})
        for name in checks:
            yield dg.Output(None, output_name=f"{context.asset_key.to_python_identifier()}_{name}")
    if failed:
        raise _failure(failed, len(keys))


def _region_first(key: str) -> tuple[str, str]:
    """Order of keys in which what is known of a region serves all its months; by themselves they go month by month."""
    region, month = region_and_month(key)
    return region, month or ""


def _failure(failed: Mapping[str, GeoAssetsError], total: int) -> dg.Failure:
    first = next(iter(failed.values()))
    retry = all(e.retryable for e in failed.values())
    texts = {str(key): str(e)[:_LONGEST] for key, e in failed.items()}
    metadata: dict[str, Any] = {key: dg.MetadataValue.text(text) for key, text in list(texts.items())[:_SHOWN]}
    if len(texts) > _SHOWN:
        metadata[_FURTHER] = dg.MetadataValue.json({key: text[:_SHORT] for key, text in list(texts.items())[_SHOWN:]})
    return dg.Failure(f"{len(failed)} of {total} partitions failed: {first}", metadata=metadata, allow_retries=retry)


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
