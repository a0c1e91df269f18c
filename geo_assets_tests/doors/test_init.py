import datetime as dt
import re

import geopandas as gpd
import pytest
import shapely
import yaml

from geo_assets.doors.init import write_project
from geo_assets.eo.aoi import read_aoi
from geo_assets.errors import ConfigError, GeoAssetsError
from geo_assets.model.project import parse_project
from geo_assets.project import load_project
from geo_assets.tasks.areas import areas

TODAY = dt.date(2024, 2, 29)
BBOX = (11.0, 47.0, 11.1, 47.1)


@pytest.fixture
def vector(tmp_path):
    folder = tmp_path / "maps"
    folder.mkdir()
    frame = gpd.GeoDataFrame(geometry=[shapely.box(*BBOX)], crs="EPSG:4326")
    frame.to_file(folder / "my valley+.gpkg", layer="outline")
    frame.to_file(folder / "my valley+.gpkg", layer="other")
    return folder / "my valley+.gpkg"


def test_init_when_only_a_box_is_given_then_the_project_is_that_of_the_defaults(tmp_path):
    file = write_project(tmp_path / "Ober Österreich_2" / "geo_assets.yaml", bbox=BBOX, today=TODAY)
    project = load_project(file).project
    minimal = {
        "name": "ober-osterreich-2",
        "aois": {"area": {"bbox": list(BBOX)}},
        "months": {"start": "2023-02", "end": "2024-01"},
    }
    plain = parse_project(minimal, "x")
    assert project.model_copy(update={"storage": plain.storage}) == plain
    assert project.storage == str(file.parent / "data")
    assert [p.name for p in file.parent.iterdir()] == ["geo_assets.yaml"]


def test_init_when_every_commented_option_is_taken_then_the_project_still_loads_with_the_defaults(tmp_path):
    text = write_project(tmp_path / "p.yaml", bbox=BBOX, today=TODAY).read_text()
    options = re.sub(r"(?m)^  # (\w+: \S)", r"  \1", text)
    assert options.count("\n  # ") < text.count("\n  # ")
    assert parse_project(yaml.safe_load(options), "x") == parse_project(yaml.safe_load(text), "x")
    for name in ("retries", "percentile", "max_cloud_cover", "region_blocks", "max_usd", "id_column"):
        assert re.search(rf"(?m)^  # {name}:.*  # \w", text)
    assert "median | mean | percentile | medoid" in text
    assert "from 0 up to 20" in text


def test_init_when_everything_is_given_then_it_stands_in_the_file(tmp_path, vector, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = write_project(
        "deep/er/p.yaml", aoi="maps/my valley+.gpkg", layer="outline", grid="square", months="2022-05:",
        storage="s3://bucket/x", compute="local", today=TODAY,
    )  # fmt: skip
    document = yaml.safe_load(file.read_text())
    assert document["aois"] == {"my_valley": {"path": "../../maps/my valley+.gpkg", "layer": "outline"}}
    assert (document["months"], document["grid"]) == ({"start": "2022-05"}, {"kind": "square"})
    assert (document["storage"], document["compute"]["backend"]) == ("s3://bucket/x", "local")
    recipe = load_project(file).project.aois["my_valley"]
    assert read_aoi("my_valley", recipe, "/").geometry.bounds == pytest.approx(BBOX)
    absolute = write_project("q.yaml", aoi=vector, layer="other", months="2022-05", today=TODAY)
    document = yaml.safe_load(absolute.read_text())
    assert document["aois"]["my_valley"]["path"] == str(vector)
    assert document["months"] == {"start": "2022-05", "end": "2022-05"}


def test_init_when_no_area_is_given_then_running_says_how_to_add_one(tmp_path):
    file = write_project(tmp_path, today=TODAY)
    assert file == tmp_path / "geo_assets.yaml"
    assert "# valley: valley.gpkg" in file.read_text()
    with pytest.raises(ConfigError, match="add one under aois"):
        areas(load_project(file))


@pytest.mark.parametrize("name", ["123", "null", "...", "2024-01", "x" * 90, "ä|ö\0"[:3], "日本"])
def test_init_when_folder_or_area_has_an_odd_name_then_the_project_has_a_safe_one(tmp_path, vector, name):
    folder = tmp_path / ("p" + name if name == "..." else name)
    folder.mkdir()
    area = folder / f"{name}.geojson"
    gpd.read_file(vector, layer="other").to_file(area)
    project = load_project(write_project(folder / "p.yaml", aoi=area, today=TODAY)).project
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", project.name)
    assert len(project.aois) == 1


def test_init_when_file_is_there_then_it_is_kept_unless_forced(tmp_path):
    file = tmp_path / "geo_assets.yaml"
    file.write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        write_project(file, bbox=BBOX)
    assert file.read_text() == "mine"
    with pytest.raises(GeoAssetsError):
        write_project(file, bbox=BBOX, grid="nonsense", force=True)
    assert file.read_text() == "mine"
    assert load_project(write_project(file, bbox=BBOX, force=True)).project.aois


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"grid": "majortm"}, "did you mean majortom"),
        ({"compute": "loca"}, "did you mean local"),
        ({"months": "May:June"}, "not a month"),
        ({"months": ":2023-01"}, "has no start"),
        ({"months": "2023-05:2023-01"}, "before they start"),
        ({"bbox": (1, 2, 3)}, "four numbers"),
        ({"bbox": (11, 47, 12, 147)}, "outside the world|latitude"),
        ({"bbox": BBOX, "aoi": "x.gpkg"}, "not both"),
        ({"aoi": "gone.gpkg"}, "gone"),
        ({"layer": "x"}, "needs the AOI file"),
        ({"storage": "s3://user:canary77@bucket"}, "comes from the environment"),
    ],
)
def test_init_when_an_argument_is_wrong_then_nothing_is_written(tmp_path, given, text):
    with pytest.raises(GeoAssetsError, match=text) as caught:
        write_project(tmp_path / "p" / "geo_assets.yaml", today=TODAY, **given)
    assert "canary77" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_init_when_file_names_no_layer_of_several_then_the_layers_are_listed(tmp_path, vector):
    with pytest.raises(ConfigError, match=r"outline.*other"):
        write_project(tmp_path / "p.yaml", aoi=vector, today=TODAY)


def test_init_when_folder_cannot_be_made_then_the_error_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_project(tmp_path / "file" / "p.yaml", bbox=BBOX)


@pytest.mark.parametrize("storage", ["./\udcff", "a\0b"], ids=ascii)
def test_init_when_an_argument_is_no_text_of_a_project_file_then_nothing_is_written(tmp_path, storage):
    with pytest.raises(ConfigError):
        write_project(tmp_path / "geo_assets.yaml", bbox=BBOX, storage=storage, today=TODAY)
    assert list(tmp_path.iterdir()) == []
