"""What a run leaves behind in Dagster: one event a key, each with its own version, figures, picture and check."""

import json
from collections import Counter

import dagster as dg
import numpy as np
import pytest

from geo_assets.assets.figures import reasons
from geo_assets.catalogs.static import StaticCatalog
from geo_assets.eo.picture import decode_png, to_rgb
from geo_assets.model import path
from geo_assets.model.receipt import Dropped
from geo_assets_tests.assets.tiny import MIDDLE, MONTHS, SCENES, WEST, Tiny, counts, events, key, materializations

KEYS = sorted(key(r, m) for r in (WEST, MIDDLE) for m in MONTHS)


def test_a_strip_leaves_one_materialization_a_key(made: Tiny) -> None:
    with made.instance() as instance:
        assert sorted(m.partition for m in materializations(instance, "cells")) == [WEST, MIDDLE]
        for asset in (SCENES, "composite"):
            found = materializations(instance, asset)
            assert sorted(str(m.partition) for m in found) == KEYS
            assert instance.get_materialized_partitions(dg.AssetKey(asset.split("/"))) == set(KEYS)


def test_each_key_carries_the_version_of_its_own_receipt(made: Tiny) -> None:
    with made.instance() as instance:
        for asset in (SCENES, "composite"):
            receipts = {key(r, str(m)): receipt.data_version for (r, m), receipt in made.receipts(asset).items()}
            tags = {str(m.partition): dict(m.tags or {}) for m in materializations(instance, asset)}
            assert {k: t["dagster/data_version"] for k, t in tags.items()} == receipts
            assert tags[KEYS[0]]["dagster/partition/month"] == KEYS[0].split("|")[0]
    composites = made.receipts()
    assert len({r.data_version for r in composites.values()}) == len(KEYS)


def test_metadata_of_a_month_with_scenes(made: Tiny) -> None:
    with made.instance() as instance:
        found = {str(m.partition): m.metadata for m in materializations(instance, "composite")}
    metadata = found[key(MIDDLE, "2024-03")]
    receipt = made.receipts()[MIDDLE, "2024-03"]
    assert metadata["status"].value == "ok"
    assert metadata["item_ids"].value == [s.id for s in receipt.scenes]
    assert metadata["scenes"].value == len(receipt.scenes) == 4  # two days, two tiles
    assert metadata["scenes_dropped"].value == 1
    assert int(str(metadata["bytes_read"].value)) == receipt.figures["bytes_read"] > 0
    assert 0.5 < float(str(metadata["observed_share"].value)) <= 1
    picture = str(metadata["quicklook"].value)
    assert picture.startswith("![quicklook](data:image/png;base64,iVBORw0KGgo")
    assert isinstance(metadata["quicklook"], dg.MarkdownMetadataValue)
    assert len(picture) < 20_000


def test_the_quicklook_of_a_small_area_is_a_close_up(made: Tiny) -> None:
    storage = made.loaded.storage
    closeup = decode_png(storage.read(path.closeup("composite", WEST, "2024-03")) or b"")
    assert closeup.shape == (64, 128, 3)  # two rows of four cells
    cube = made.cube().isel(time=0)
    window = cube.isel(x=slice(0, 128)).where(cube.x < 512_000, drop=True)
    seen = (window.n_clear > 0).any("x")
    colours = np.stack([np.nan_to_num(window[b].sel(y=seen) * 1e4).round() for b in ("red", "green", "blue")], axis=-1)
    np.testing.assert_array_equal(
        closeup, to_rgb(colours.astype("uint16"), [made.loaded.sensor.bands[b] for b in ("red", "green", "blue")])
    )
    whole = decode_png(storage.read(path.quicklook("composite", WEST, "2024-03")) or b"")
    assert whole.shape == (128, 128, 3)  # the region, of which the area is the middle
    np.testing.assert_array_equal(whole[32:96], closeup)


def test_metadata_of_a_month_without_scenes_says_so(made: Tiny) -> None:
    with made.instance() as instance:
        found = {str(m.partition): m.metadata for m in materializations(instance, "composite")}
    metadata = found[key(WEST, "2024-05")]
    assert metadata["note"].value == "no scene in this period: all is nodata"
    assert (metadata["status"].value, metadata["scenes"].value, metadata["bytes_read"].value) == ("ok", 0, 0)
    assert not made.cube().sel(time="2024-05").n_clear.any()


def test_metadata_of_scenes_names_what_is_not_used(made: Tiny) -> None:
    with made.instance() as instance:
        found = {str(m.partition): m.metadata for m in materializations(instance, SCENES)}
    loser = made.receipts(SCENES)[MIDDLE, "2024-03"].dropped[0]
    assert found[key(MIDDLE, "2024-03")]["not_used"].value == {loser.id: loser.reason}
    assert loser.duplicate_of


def test_each_partition_has_its_own_check(made: Tiny) -> None:
    check = dg.AssetCheckKey(dg.AssetKey("composite"), "plausible")
    with made.instance() as instance:
        runs = [r.run_id for r in instance.get_runs()]
        logged = [
            e.event_specific_data
            for run in runs
            for e in events(instance, run)
            if "CHECK_EVALUATION" in e.event_type_value and e.event_type_value.endswith("EVALUATION")
        ]
        by_partition = {str(e.partition): e for e in logged if e.partition is not None}
        assert sorted(by_partition) == KEYS
        assert all(e.passed for e in by_partition.values()), {k: e.metadata for k, e in by_partition.items()}
        latest = instance.event_log_storage.get_latest_asset_check_execution_by_key([check])
    assert latest[check].status.value == "SUCCEEDED"


def test_the_number_of_events_a_key(project: Tiny) -> None:
    """What a partition costs in the instance; the price of one is about 10 ms."""
    runner = project.runner()
    strip = [SCENES, "composite"]
    one = runner.run(strip, key(WEST, MONTHS[0]), key(WEST, MONTHS[0]))
    three = runner.run(strip, key(WEST, MONTHS[0]), key(WEST, MONTHS[2]))
    more = counts(runner.instance, three.run_id) - counts(runner.instance, one.run_id)
    assert more == Counter(
        {"ASSET_MATERIALIZATION_PLANNED": 4, "ASSET_MATERIALIZATION": 4, "ASSET_CHECK_EVALUATION": 2}
    )


def test_a_range_over_several_regions_makes_all_their_keys(project: Tiny) -> None:
    runner = project.runner()
    outcome = runner.run([SCENES, "composite"], key(WEST, "2024-03"), key(MIDDLE, "2024-04"))
    assert outcome.success
    seen = [
        str(m.partition) for m in materializations(runner.instance, "composite") if m.metadata["status"].value != "ok"
    ]
    assert sorted(seen) == sorted(key(r, m) for r in (WEST, MIDDLE) for m in MONTHS[:2])


def test_a_range_over_several_regions_searches_each_region_once(project: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    searched, search = [], StaticCatalog.search

    def counted(self, recipe, query):
        searched.append(query.area.bounds)
        return search(self, recipe, query)

    monkeypatch.setattr(StaticCatalog, "search", counted)
    runner = project.runner()
    outcome = runner.run([SCENES], key(WEST, MONTHS[0]), key(MIDDLE, MONTHS[-1]))
    assert outcome.success
    assert len(searched) == len(set(searched)) == 2


def test_a_single_key_is_made_as_a_plain_partition_run(project: Tiny) -> None:
    runner = project.runner()
    outcome = runner.run(["composite"], key(WEST, "2024-03"), key(WEST, "2024-03"))
    run = runner.instance.get_run_by_id(outcome.run_id)
    assert run is not None
    assert outcome.success
    assert run.tags["dagster/partition"] == key(WEST, "2024-03")
    assert json.loads(json.dumps(run.tags))["dagster/partition/region"] == WEST


@pytest.mark.parametrize("asset", ["cells", SCENES, "composite"])
def test_every_asset_names_owner_group_and_code(made: Tiny, asset: str) -> None:
    definition = made.runner()._defs.resolve_assets_def(dg.AssetKey(asset.split("/")))
    spec = next(iter(definition.specs))
    assert list(spec.owners) == ["team:geo-assets"]
    assert spec.group_name == {"cells": "area", "composite": "cube"}.get(asset, "catalog")
    assert spec.code_version
    assert spec.description


def test_metadata_when_two_items_of_one_id_are_not_used_then_both_reasons_stand() -> None:
    gone = [Dropped(id=i, reason=r) for i, r in (("a", "old"), ("b", "cloud"), ("a", "older"), ("a", "old"))]
    assert reasons(gone) == {"a": "old; older", "b": "cloud"}
