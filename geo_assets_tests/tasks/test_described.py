"""Descriptions of collections in the project file against what their items say of themselves."""

import json
import warnings
from typing import Any

import pytest
import yaml

from geo_assets.doors.doctor.diagnose import diagnose
from geo_assets.doors.instance import workspace
from geo_assets.doors.plan import plan_project
from geo_assets.model.collection import SensorRecipe
from geo_assets.project import load_project
from geo_assets.tasks.described import misfits
from geo_assets_tests.doors.test_doctor import ITEM


def entry(**band: Any) -> SensorRecipe:
    bands = {"red": {"asset": "B04", "scale": 0.0001, **band}}
    return SensorRecipe.model_validate({"name": "mine", "collections": ["c"], "bands": bands})


def item(asset: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"id": "a", "properties": properties, "assets": {"B04": {"href": "a.tif", **asset}}}


def raster(**said: Any) -> dict[str, Any]:
    return {"raster:bands": [said]}


@pytest.mark.parametrize(
    "asset",
    [raster(offset=-0.1), {"bands": [{"raster:offset": -0.1}]}, {"raster:offset": -0.1}],
    ids=["raster 1", "raster 2", "hoisted"],
)
def test_misfits_when_items_say_an_offset_that_is_not_described_then_both_values_and_what_to_write(asset):
    (only,) = misfits(entry(), [item(asset)] * 3)
    assert only.message == "mine, band red: its items say offset -0.1, and the project file describes 0"
    assert only.advice.startswith("write offset: -0.1 for red")
    assert misfits(entry(offset=-0.1), [item(asset)]) == []


def test_misfits_when_scale_and_nodata_differ_then_each_is_told_and_nan_is_nan():
    found = misfits(entry(), [item(raster(scale=1e-5, nodata=-9999))])
    assert [m.message.partition("say ")[2].split(",")[0] for m in found] == ["scale 1e-05", "nodata -9999"]
    assert misfits(entry(dtype="float32"), [item(raster(nodata="nan", scale=0.0001))]) == []
    assert misfits(entry(dtype="float32", nodata=0), [item(raster(nodata="nan"))])[0].advice.startswith(
        "write nodata: nan"
    )


@pytest.mark.parametrize(
    "asset", [raster(), {"raster:bands": "x"}, {"bands": [3]}, raster(scale="0.5", offset=True), {}]
)
def test_misfits_when_items_say_nothing_or_nonsense_then_nothing_is_told(asset):
    assert misfits(entry(), [item(asset)]) == []
    assert misfits(entry(), [{"id": "a", "properties": {}, "assets": {}}]) == []


def test_misfits_when_items_differ_then_one_value_is_not_advised():
    (only,) = misfits(entry(), [item(raster(offset=0)), item(raster(offset=-0.1))])
    assert "some of its items say offset -0.1" in only.message
    assert "sensor plugin" in only.advice


def test_misfits_when_scenes_of_sentinel_2_have_an_offset_then_the_plugin_is_advised():
    old, new = (item(raster(), **{"s2:processing_baseline": b}) for b in ("03.01", "05.10"))
    for items in ([new], [old, new]):
        (only,) = misfits(entry(), items)
        assert "offset -0.1" in only.message
        assert "sensor: sentinel-2-l2a" in only.advice
    assert misfits(entry(offset=-0.1), [new]) == []  # described as it is, and the same for all
    assert len(misfits(entry(offset=-0.1), [old, new])) == 1
    assert misfits(entry(), [old]) == []
    applied = item(raster(offset=-0.1), **{"s2:processing_baseline": "05.10", "earthsearch:boa_offset_applied": True})
    assert misfits(entry(), [applied]) == []  # still listed, and off the pixels already


def test_doctor_when_items_contradict_a_description_then_it_warns_and_so_does_the_search(tmp_path, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    bands = {"red": {"asset": "B04", "scale": 0.0001}}
    said = {**ITEM, "collection": "c", "assets": {"B04": {"href": "a.tif", **raster(scale=0.0001, offset=-0.1)}}}
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [said]}))
    document = {
        "name": "mine", "aois": {"a": {"bbox": [11.3, 47.2, 11.4, 47.3]}}, "months": {"start": "2024-01", "end": "2024-01"},
        "catalog": {"kind": "static", "path": "items.json"}, "sensors": [{"name": "mine", "collections": ["c"], "bands": bands}],
        "cube": {"sensor": "mine", "bands": ["red"]},
    }  # fmt: skip
    (tmp_path / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    (only,) = [f for f in diagnose(tmp_path / "geo_assets.yaml") if f.name == "bands"]
    assert (only.level, "offset -0.1" in only.message) == ("warning", True)

    loaded = load_project(tmp_path / "geo_assets.yaml")
    place = workspace(loaded)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        plan_project(place, list(loaded.periods().between(None, None)), place.cut.regions, ["composite"])
    assert any("its items say offset -0.1" in str(w.message) for w in told)
