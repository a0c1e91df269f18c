"""The STAC item of a model: written and read back, and each thing that it lacks is named with its place."""

import copy
import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_assets.errors import ConfigError
from geo_assets.model.mlm import Artifact, InputBand, ModelItem, OutputClass, Scaling, Tensor
from geo_assets.model.mlm_item import MLM, read_item
from geo_assets.model.mlm_write import write_item

SHA = "ab" * 32
MODEL = ModelItem(
    item_id="land", name="Land cover", architecture="U-Net", framework="PyTorch", tasks=("semantic-segmentation",),
    bands=(InputBand("red", 0.0001, -0.1, 0), InputBand("nir")),
    input=Tensor((-1, 12, 2, 64, 64), ("batch", "time", "bands", "height", "width")),
    scaling=(Scaling("z-score", (1000.0, 500.0)), Scaling("clip", (0.0, 1.0))),
    output=Tensor((-1, 2, 64, 64), ("batch", "class", "height", "width")),
    classes=(OutputClass(1, "water", {"title": "Water", "color_hint": "0000FF"}), OutputClass(7, "land")),
    artifact=Artifact("weights", "land.pt2", "application/octet-stream", "torch.export.save", SHA, 1234),
    framework_version="2.13", batch=4, window_px=64, halo_px=8, months=tuple(range(1, 13)), missing="fill",
)  # fmt: skip


@pytest.fixture
def item():
    return json.loads(json.dumps(write_item(MODEL)))


def at(item, path):
    """The object that holds what a path ends with, and its last part."""
    parts = [int(p) if p.isdigit() else p for p in path.replace("[", "/").replace("]", "").split("/")]
    for part in parts[:-1]:
        item = item[part]
    return item, parts[-1]


INPUT, OUTPUT = "properties/mlm:input[0]", "properties/mlm:output[0]"
HYPER = "properties/mlm:hyperparameters"


def test_item_when_written_and_read_then_the_model_is_the_same(item):
    found = read_item(item)
    assert dataclasses.replace(found, properties={}) == MODEL
    assert write_item(found) == item
    assert read_item(write_item(found)) == found


def test_item_when_written_then_it_is_a_stac_item_of_the_newest_mlm(item):
    assert MLM in item["stac_extensions"]
    assert (item["type"], item["stac_version"], item["geometry"]) == ("Feature", "1.1.0", None)
    assert item["properties"]["datetime"] is None
    assert item["properties"]["end_datetime"]
    asset = item["assets"]["weights"]
    assert asset["file:checksum"] == "1220" + SHA
    assert "mlm:model" in asset["roles"]


def test_item_when_others_wrote_more_into_it_then_that_is_kept(item):
    item["properties"] |= {"license": "MIT", "mlm:pretrained": False}
    item["properties"]["mlm:hyperparameters"]["epochs"] = 3
    item |= {"geometry": {"type": "Point", "coordinates": [15, 47]}, "bbox": [15, 47, 15, 47]}
    again = write_item(read_item(item))
    assert again["properties"]["license"] == "MIT"
    assert again["properties"]["mlm:pretrained"] is False
    assert again["properties"]["mlm:hyperparameters"]["epochs"] == 3
    assert (again["geometry"], again["bbox"]) == (item["geometry"], item["bbox"])


NEEDED = [
    "type", "stac_extensions", "id", "properties", "assets", "properties/mlm:name", "properties/mlm:architecture",
    "properties/mlm:framework", "properties/mlm:tasks", "properties/mlm:input", "properties/mlm:output",
    f"{INPUT}/name", f"{INPUT}/bands", f"{INPUT}/input", f"{INPUT}/input/shape", f"{INPUT}/input/dim_order",
    f"{INPUT}/input/data_type", f"{INPUT}/value_scaling[0]/mean", f"{OUTPUT}/name", f"{OUTPUT}/result",
    f"{OUTPUT}/result/shape", f"{OUTPUT}/classification:classes[0]/value", f"{OUTPUT}/classification:classes[1]/name",
    "assets/weights/href", "assets/weights/type", "assets/weights/mlm:artifact_type", "assets/weights/file:checksum",
]  # fmt: skip


@pytest.mark.parametrize("path", NEEDED)
def test_item_when_something_is_missing_then_the_error_says_what_and_where(item, path):
    holder, last = at(item, path)
    del holder[last]
    place = path.replace("/", ".")
    with pytest.raises(ConfigError) as error:
        read_item(item)
    assert place in str(error.value)
    assert "is missing" in str(error.value)
    assert path == "id" or "model item land" in str(error.value)


WRONG = [
    ("type", "Collection", "must be 'Feature'"),
    ("stac_extensions", ["https://stac-extensions.github.io/mlm/v1.3.0/schema.json"], "1.4 or newer"),
    ("properties/mlm:tasks", [], "is empty"),
    ("properties/mlm:name", 7, "must be a text"),
    ("properties/mlm:input", [], "one input"),
    ("properties/mlm:batch_size_suggestion", 0, "whole number"),
    (f"{INPUT}/bands", [], "is empty"),
    (f"{INPUT}/bands", ["red", "red"], "twice"),
    (f"{INPUT}/bands[0]", {"name": "ndvi", "format": "python", "expression": "a.b:c"}, "expression"),
    (f"{INPUT}/variables", ["t2m"], "not followed"),
    (f"{INPUT}/resize_type", "crop", "not followed"),
    (f"{INPUT}/pre_processing_function", {"format": "python", "expression": "os:system"}, "not followed"),
    (f"{OUTPUT}/post_processing_function", {"format": "python", "expression": "os:system"}, "not followed"),
    (f"{INPUT}/input/shape", [-1, 12, 2, 64], "4 sizes"),
    (f"{INPUT}/input/shape", [-1, 12, 3, 64, 64], "3 bands and 2 are named"),
    (f"{INPUT}/input/shape", [-1, 6, 2, 64, 64], "6 time steps"),
    (f"{INPUT}/input/shape", [-1, 12, 2, 64, 32], "square"),
    (f"{INPUT}/input/shape", [-1, 12, 2, 64, 0], "whole number"),
    (f"{INPUT}/input/shape", [-1, 12, 2, 128, 128], "windows of 128"),
    (f"{INPUT}/input/dim_order", ["batch", "time", "bands", "height", "token"], "'token'"),
    (f"{INPUT}/input/dim_order", ["batch", "time", "bands", "height", "y"], "twice"),
    (f"{INPUT}/input/dim_order", ["time", "class", "bands", "height", "width"], "no 'batch'"),
    (f"{INPUT}/input/data_type", "uint8", "uint8 cannot be used"),
    (f"{INPUT}/value_scaling", [{"type": "z-score", "mean": 0, "stddev": 1}] * 3, "3 entries for 2 bands"),
    (f"{INPUT}/value_scaling[0]/stddev", 0, "divide by 0"),
    (f"{INPUT}/value_scaling[0]/stddev", float("nan"), "finite"),
    (f"{INPUT}/value_scaling[0]/stddev", "500", "finite"),
    (f"{INPUT}/value_scaling[1]", {"type": "clip", "minimum": 2, "maximum": 1}, "below"),
    (f"{INPUT}/value_scaling[1]", {"type": "scale", "value": 0}, "divide by 0"),
    (
        f"{INPUT}/value_scaling[1]",
        {"type": "processing", "format": "python", "expression": "os:system"},
        "not followed",
    ),
    (f"{OUTPUT}/result/shape", [-1, 3, 64, 64], "3 classes"),
    (f"{OUTPUT}/result/shape", [-1, 2, 32, 32], "same pixels"),
    (f"{OUTPUT}/result/dim_order", ["batch", "band", "height", "width"], "never from their codes"),
    (f"{OUTPUT}/result/dim_order", ["batch", "class", "band", "time"], "must be batch"),
    (f"{OUTPUT}/classification:classes[1]/value", 1, "one value"),
    (f"{OUTPUT}/classification:classes[1]/value", -3, "whole number"),
    (f"{HYPER}/geo_assets.missing", "guess", "one of nodata, fill, nan"),
    (f"{HYPER}/geo_assets.halo_px", -1, "whole number"),
    (f"{HYPER}/geo_assets.months", [13], "whole number"),
    ("properties/bands[0]/raster:scale", 0, "cannot be undone"),
    ("assets/weights/roles", ["data"], "0 assets have the role"),
    ("assets/weights/file:checksum", "1114" + "ab" * 20, "neither a sha256"),
    ("assets/weights/file:checksum", "zz" * 32, "no sha256"),
    ("assets/weights/sha256", "cd" * 32, "differ"),
    ("assets/weights/file:size", 0, "whole number"),
]


@pytest.mark.parametrize(("path", "value", "says"), WRONG)
def test_item_when_something_cannot_be_followed_then_the_error_says_what_and_where(item, path, value, says):
    holder, last = at(item, path)
    holder[last] = value
    with pytest.raises(ConfigError, match="model item land") as error:
        read_item(item)
    assert says in str(error.value)


@pytest.mark.parametrize("form", ["1220" + SHA, SHA, SHA.upper(), "sha256:" + SHA])
def test_checksum_when_it_is_a_multihash_or_a_plain_sha256_then_it_is_taken(item, form):
    item["assets"]["weights"]["file:checksum"] = form
    assert read_item(item).artifact.sha256 == SHA


def test_checksum_when_it_stands_under_its_own_name_then_it_is_taken(item):
    asset = item["assets"]["weights"]
    asset["sha256"] = asset.pop("file:checksum").removeprefix("1220")
    assert read_item(item).artifact.sha256 == SHA


def test_bands_when_the_asset_describes_them_as_raster_bands_then_scale_and_offset_are_read(item):
    del item["properties"]["bands"]
    item["assets"]["weights"]["raster:bands"] = [{"name": "nir", "scale": 0.5, "offset": 2, "nodata": "nan"}]
    assert read_item(item).bands == (InputBand("red"), InputBand("nir", 0.5, 2.0, None))


def test_dims_when_names_are_others_for_the_same_then_they_are_understood(item):
    tensor = item["properties"]["mlm:input"][0]["input"]
    tensor["dim_order"] = ["batch", "time", "channel", "y", "x"]
    assert read_item(item).input.dims == ("batch", "time", "band", "y", "x")


def test_scaling_when_one_is_given_then_it_holds_for_all_bands(item):
    item["properties"]["mlm:input"][0]["value_scaling"] = [{"type": "offset", "value": 3}]
    assert read_item(item).scaling == (Scaling("offset", (3.0,)),) * 2


FORMULAS = {
    "min-max": ((10.0, 30.0), lambda x: (x - 10) / 20),
    "z-score": ((10.0, 4.0), lambda x: (x - 10) / 4),
    "clip": ((-1.0, 5.0), lambda x: np.clip(x, -1, 5)),
    "clip-min": ((2.0,), lambda x: np.maximum(x, 2)),
    "clip-max": ((2.0,), lambda x: np.minimum(x, 2)),
    "offset": ((4.0,), lambda x: x - 4),
    "scale": ((4.0,), lambda x: x / 4),
    "": ((), lambda x: x),
}


@pytest.mark.parametrize("kind", FORMULAS)
def test_scaling_when_applied_then_it_is_what_mlm_says(kind):
    numbers, formula = FORMULAS[kind]
    values = np.array([-100, -1, 0, 2, 7.5, 1e4, np.nan], np.float32)
    found = Scaling(kind, numbers).apply(values.copy())
    assert np.allclose(found, formula(values), rtol=1e-6, equal_nan=True)
    assert found.dtype == np.float32


@given(st.floats(0, 1), st.floats(0.0001, 2), st.floats(-1, 1))
def test_prepared_when_bands_were_trained_on_numbers_then_values_become_these_first(value, scale, offset):
    model = dataclasses.replace(
        MODEL, bands=(InputBand("red", scale, offset),), scaling=(Scaling("z-score", (5.0, 2.0)),), missing="nan"
    )
    found = model.prepared(np.full((1, 1, 1, 1, 1), value, np.float32))[0, 0, 0, 0, 0]
    assert math.isclose(found, ((value - offset) / scale - 5) / 2, rel_tol=1e-4, abs_tol=1e-3 / scale)


@pytest.mark.parametrize(
    ("missing", "red", "nir"), [("nan", math.nan, math.nan), ("fill", -2.0, 0.0), ("nodata", -2.0, 0.0)]
)
def test_prepared_when_values_are_missing_then_they_become_what_the_item_says(missing, red, nir):
    model = dataclasses.replace(MODEL, missing=missing)
    given = np.full((1, 1, 2, 1, 1), np.nan, np.float32)
    before = copy.deepcopy(given)
    found = model.prepared(given)[0, 0, :, 0, 0]
    assert np.array_equal(found, np.array([red, nir], np.float32), equal_nan=True)
    assert np.array_equal(given, before, equal_nan=True)


def test_write_when_the_model_could_not_be_run_then_it_is_refused():
    with pytest.raises(ConfigError, match="never from their codes"):
        write_item(dataclasses.replace(MODEL, output=Tensor((-1, 64, 64), ("batch", "height", "width"))))
    with pytest.raises(ConfigError, match="mlm:name"):
        write_item(dataclasses.replace(MODEL, name="a/b"))


def test_prepared_when_bands_differ_then_each_gets_its_own_numbers_and_scaling():
    model = dataclasses.replace(
        MODEL, bands=(InputBand("red", 0.5, 1.0), InputBand("nir")),
        scaling=(Scaling("scale", (10.0,)), Scaling("offset", (7.0,))), missing="nan",
    )  # fmt: skip
    found = model.prepared(np.full((3, 12, 2, 4, 5), 6, np.float32))
    assert (found[:, :, 0] == 1).all()
    assert (found[:, :, 1] == -1).all()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from(["", "x", "batch", "float32", -1, 10**400]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "type", "a"]), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


def places(value, path=()):
    """Paths of all values within a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in inner:
        yield (*path, key)
        yield from places(held, (*path, key))


@settings(max_examples=300)
@given(st.data())
def test_item_when_any_value_is_anything_then_it_is_read_or_refused(data):
    item = json.loads(json.dumps(write_item(MODEL)))
    for path in data.draw(st.lists(st.sampled_from(sorted(places(item), key=str)), min_size=1, max_size=2)):
        holder = item
        try:
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = data.draw(JSON)
        except (KeyError, IndexError, TypeError):
            continue  # the first change took it away
    try:
        found = read_item(item)
    except ConfigError:
        return
    assert found.layers >= 1
    assert len(found.scaling) == len(found.bands)
