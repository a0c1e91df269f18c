"""Why keys of a strip failed: told for each of them, also where many do."""

import dagster as dg

from geo_assets.assets.strip import Made, causes_of, run_strip
from geo_assets.errors import CatalogError, StoreError
from geo_assets.model.receipt import FailureNote
from geo_assets.storage import Storage

MONTHS = [f"20{y:02d}-{m:02d}" for y in range(20, 30) for m in range(1, 13)]


def test_failure_when_many_keys_fail_then_each_has_its_cause(tmp_path):
    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(MONTHS), backfill_policy=dg.BackfillPolicy.single_run())
    def broken(context: dg.AssetExecutionContext):
        def make(key):
            raise CatalogError(f"{key}: " + "no answer " * 200)

        yield from run_strip(context, make, storage=Storage(str(tmp_path)))

    tags = {"dagster/asset_partition_range_start": MONTHS[0], "dagster/asset_partition_range_end": MONTHS[-1]}
    with dg.instance_for_test() as instance:
        result = dg.materialize([broken], instance=instance, tags=tags, raise_on_error=False)
    data = result.failure_data_for_node("broken").user_failure_data
    causes = causes_of(data.metadata)
    assert list(causes) == MONTHS
    assert all(cause.startswith(f"{key}: no answer") for key, cause in causes.items())
    assert len(data.metadata) == 51
    assert sum(len(str(v.value)) for v in data.metadata.values()) < 50_000


def test_note_when_the_storage_refuses_it_then_every_key_has_its_own_outcome_still(tmp_path, monkeypatch):
    storage = Storage(str(tmp_path))
    for month in MONTHS[:3]:
        note = {
            "product": "shaky",
            "region": month,
            "cause": "x",
            "error": "CatalogError",
            "at": "2024-01-01T00:00:00Z",
        }
        storage.write_failure(FailureNote.model_validate(note))

    def refuse(*args):
        raise StoreError("no space left")

    monkeypatch.setattr(Storage, "write_failure", refuse)
    monkeypatch.setattr(Storage, "delete", refuse)

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(MONTHS), backfill_policy=dg.BackfillPolicy.single_run())
    def shaky(context: dg.AssetExecutionContext):
        def make(key):
            if key == MONTHS[1]:
                raise CatalogError("no answer")
            return Made("1", {})

        yield from run_strip(context, make, storage=storage)

    tags = {"dagster/asset_partition_range_start": MONTHS[0], "dagster/asset_partition_range_end": MONTHS[2]}
    with dg.instance_for_test() as instance:
        result = dg.materialize([shaky], instance=instance, tags=tags, raise_on_error=False)
        made = instance.get_materialized_partitions(dg.AssetKey("shaky"))
    assert made == {MONTHS[0], MONTHS[2]}
    assert causes_of(result.failure_data_for_node("shaky").user_failure_data.metadata) == {MONTHS[1]: "no answer"}
