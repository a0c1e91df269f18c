"""A prediction on disk: a sound COG with the pixels as they were, and an item that says what it is made from."""

import dataclasses
import datetime as dt
from fractions import Fraction

import numpy as np
import pystac
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

from geo_assets.eo.windows import Windows
from geo_assets.errors import ConfigError, StoreError
from geo_assets.model.geometry import GeoBox
from geo_assets.model.mlm import OutputClass, Tensor
from geo_assets.tasks.predict import ArrayRaster, OpenModel, predict, predicted
from geo_assets.tasks.prediction_file import Lineage, prediction_item, write_prediction
from geo_assets.tasks.prediction_picture import thumbnail
from geo_assets.testing.model_files import BANDS, STEPS, item_for, weights

ROWS, COLS = 700, 530
BOX = GeoBox("EPSG:32633", Fraction(10), Fraction(500_000), Fraction(5_200_000), (ROWS, COLS))
LINEAGE = Lineage(
    "../models/item.json", "s3://bucket/cube", "SNAP1", dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
)  # fmt: skip


class Linear:
    def run(self, batch):
        return np.einsum("ctb,ntb...->nc...", weights(), batch).astype(np.float32)


def model_of(**more):
    return OpenModel(item_for(b"x", "torch.export.save", window=64, **more), Linear(), Windows(64, 4), 8)


@pytest.fixture(scope="module")
def raster():
    values = np.random.default_rng(0).normal(size=(STEPS, len(BANDS), ROWS, COLS)).astype(np.float32)
    values[:, :, 100:140, 200:260] = np.nan
    return ArrayRaster(values)


def test_map_when_written_then_it_is_a_cog_with_the_classes_where_they_belong(raster, tmp_path):
    model = model_of(classes=tuple(OutputClass(v, f"c-{v}", {"color_hint": "00FF0" + str(v)}) for v in (1, 2, 3, 4)))
    write_prediction(model.item, predict(model, raster), BOX, tmp_path / "map.tif")
    assert [f.name for f in tmp_path.iterdir()] == ["map.tif"]
    assert cog_validate(tmp_path / "map.tif", quiet=True)[0]
    with rasterio.open(tmp_path / "map.tif") as found:
        assert np.array_equal(found.read(1), predicted(model, raster).labels)
        assert (found.nodata, found.dtypes[0], found.crs.to_epsg()) == (255, "uint8", 32633)
        assert found.transform == BOX.transform
        assert found.tags(1)["class_3"] == "c-3"
        assert found.colormap(1)[4] == (0, 255, 4, 255)
        assert found.overviews(1)
        small = found.read(1, out_shape=(ROWS // 2, COLS // 2))
        assert set(np.unique(small)) == {1, 2, 3, 4, 255}  # classes, not means of them


@pytest.mark.parametrize("hint", ["", "#", "gggggg", "00ff0", None, 3])
def test_map_when_a_class_hints_at_no_colour_then_it_has_one_of_ours_as_in_its_thumbnail(raster, tmp_path, hint):
    hints = ({"color_hint": "#00FF00"}, *[{"color_hint": hint}] * 3)
    model = model_of(classes=tuple(OutputClass(v, f"c-{v}", more) for v, more in zip((1, 2, 3, 4), hints, strict=True)))
    write_prediction(model.item, predict(model, raster), BOX, tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as found:
        colours, labels = found.colormap(1), found.read(1)
    assert colours[1] == (0, 255, 0, 255)
    assert len({colours[v] for v in (1, 2, 3, 4)}) == 4
    rgb = thumbnail(model.item, labels)[..., :3]
    for value in np.unique(labels[labels != 255]):
        assert {tuple(c) for c in rgb[labels == value].tolist()} == {colours[value][:3]}


def test_map_when_written_twice_then_the_bytes_are_the_same(raster, tmp_path):
    model = model_of()
    for name in ("a.tif", "b.tif"):
        write_prediction(model.item, predict(model, raster), BOX, tmp_path / name)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_part_when_written_then_its_rows_begin_at_the_first(raster, tmp_path):
    model, part = model_of(), (slice(90, 200), slice(150, 300))
    box = BOX.window(90, 150, 110, 150)
    write_prediction(model.item, predict(model, raster, part), box, tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as found:
        assert np.array_equal(found.read(1), predicted(model, raster).labels[90:200, 150:300])


def test_values_when_there_are_no_classes_then_they_are_floats_and_nan(raster, tmp_path):
    model = model_of(classes=(), output=Tensor((-1, 4, 64, 64), ("batch", "band", "height", "width")))
    write_prediction(model.item, predict(model, raster), BOX, tmp_path / "values.tif")
    with rasterio.open(tmp_path / "values.tif") as found:
        assert (found.count, found.dtypes[0]) == (4, "float32")
        assert np.array_equal(found.read(), predicted(model, raster).scores, equal_nan=True)
    item = prediction_item(model.item, BOX, LINEAGE, item_id="p", files={"cog": "values.tif"})
    assert [b["name"] for b in item["assets"]["prediction"]["bands"]] == [f"output-{n}" for n in range(4)]


def test_map_when_rows_are_missing_or_the_folder_is_then_nothing_is_left(raster, tmp_path):
    model = model_of()
    strips = list(predict(model, raster))
    for wrong in (strips[:-1], strips[1:2] + strips[3:]):
        with pytest.raises(ConfigError, match="row"):
            write_prediction(model.item, wrong, BOX, tmp_path / "map.tif")
    with pytest.raises(StoreError, match="cannot be written"):
        write_prediction(model.item, strips, BOX, tmp_path / "nowhere" / "map.tif")
    assert list(tmp_path.iterdir()) == []


def test_item_when_made_then_it_leads_to_the_model_and_the_state_of_the_cube():
    model = model_of().item
    item = prediction_item(model, BOX, LINEAGE, item_id="p", files={"cog": "map.tif"})
    links = [link for link in item["links"] if link["rel"] == "derived_from"]
    assert [link["href"] for link in links] == ["../models/item.json", "s3://bucket/cube"]
    assert links[0]["geo_assets:sha256"] == model.artifact.sha256
    assert links[1]["geo_assets:snapshot"] == "SNAP1"
    assert item["properties"]["start_datetime"] == "2024-01-01T00:00:00Z"
    (band,) = item["assets"]["prediction"]["bands"]
    assert [c["value"] for c in band["classification:classes"]] == [0, 10, 20, 30]
    assert band["nodata"] == 255
    assert item == prediction_item(model, BOX, LINEAGE, item_id="p", files={"cog": "map.tif"})
    read = pystac.Item.from_dict(item)
    west, south, east, north = read.bbox
    assert 14.9 < west < east < 15.2
    assert 46.8 < south < north < 47.1


def test_item_when_a_time_has_no_zone_then_it_is_refused():
    naive = dataclasses.replace(LINEAGE, start=dt.datetime(2024, 1, 1))  # noqa: DTZ001
    with pytest.raises(ConfigError, match="zone"):
        prediction_item(model_of().item, BOX, naive, item_id="p", files={"cog": "map.tif"})
