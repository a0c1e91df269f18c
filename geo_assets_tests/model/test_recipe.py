"""The project file: ranges, presets, and errors that name the nearest key."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.errors import ConfigError
from geo_assets.model.project import Project, parse_project
from geo_assets.model.recipe import AoiRecipe, CubeRecipe, GridRecipe, MaskRecipe, digest
from geo_assets.model.unused import _GRID_OPTIONS, unused


def project(**changes):
    return {"months": {"start": "2023-01", "end": "2023-03"}, **changes}


def fault(**changes):
    with pytest.raises(ConfigError) as caught:
        parse_project(project(**changes), "p.yaml")
    return str(caught.value)


def test_project_with_months_alone_takes_all_defaults():
    found = parse_project(project(), "p.yaml")
    assert found.grid.kind == "majortom"
    assert found.cube.bands == ["red", "green", "blue", "nir"]
    assert found.mask.keep == [2, 4, 5, 6, 7, 11]
    assert found.months.periods(dt.date(2024, 1, 1)).keys == ["2023-01", "2023-02", "2023-03"]


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"grdi": {}}, "unknown key 'grdi', did you mean 'grid'?"),
        ({"grid": {"size": 5}}, "unknown key 'grid.size', did you mean 'size_m'?"),
        ({"cube": {"resolutoin": 5}}, "did you mean 'resolution'?"),
        ({"cube": {"band": ["red"]}}, "did you mean 'bands'?"),
        ({"mask": {"max_cloud": 5}}, "did you mean 'max_cloud_cover'?"),
        ({"aois": {"a": {"pth": "x.gpkg"}}}, "did you mean 'path'?"),
        ({"sensors": [{"sensor": "sentinel-2-l2a", "colections": []}]}, "did you mean 'collections'?"),
        ({"months": {"start": "2023-01", "stop": "2023-02"}}, "did you mean 'step'?"),
        ({"catalog": {"zzz": 1}}, "known are"),
    ],
)
def test_unknown_key_is_refused_with_the_nearest_known_one(changes, hint):
    assert hint in fault(**changes)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"months": {"start": "2023-13"}}, "2023-13"),
        ({"months": {"start": "2023-01", "step": 25}}, "months.step"),
        ({"name": "No Good"}, "name"),
        ({"aois": {"../x": "a.gpkg"}}, "is not a name"),
        ({"aois": {"a|b": "a.gpkg"}}, "is not a name"),
        ({"aois": {"x": {"path": "a", "bbox": [1, 2, 3, 4]}}}, "either path or bbox"),
        ({"aois": {"x": {"bbox": [1, 2, 3]}}}, "four numbers"),
        ({"cube": {"crs": "EPSG:99999"}}, "unknown CRS"),
        ({"cube": {"resolution": 0}}, "above 0"),
        ({"cube": {"bands": ["red", "red"]}}, "listed twice"),
        ({"cube": {"sensor": "landsat-c2-l2"}}, "sensors lists only"),
        ({"grid": {"precision": 13}}, "grid.precision"),
        ({"grid": {"size_m": -5}}, "grid.size_m"),
        ({"grid": {"step": "x"}}, "is not a number"),
        ({"mask": {"keep": [0, 4]}}, "0 is nodata"),
        ({"mask": {"keep": [4, 99]}}, "keep names class 99"),
        ({"products": ["composit"]}, "products"),
        ({"catalog": {"kind": "static", "path": "a.json", "url": "https://example.org"}}, "either url or path"),
    ],
)
def test_value_out_of_range_is_refused_with_its_place(changes, text):
    message = fault(**changes)
    assert message.startswith("p.yaml: ")
    assert text in message


def test_resolution_of_more_than_a_degree_is_refused():
    """The default of 10 is metres; with a geographic CRS it would be a pixel of a thousand kilometres."""
    for crs in ("EPSG:4326", "EPSG:4258"):
        with pytest.raises(ConfigError, match=r"cube.resolution 10 is in degrees, since .* such as 1/9000"):
            CubeRecipe(crs=crs).any_grid()
        assert CubeRecipe(crs=crs, resolution="1").any_grid().resolution == 1
    assert CubeRecipe(crs="EPSG:3035").any_grid().resolution == 10


def test_project_that_is_no_mapping_is_refused():
    for data in (None, [], "text"):
        with pytest.raises(ConfigError, match="YAML mapping"):
            parse_project(data, "p.yaml")


def test_all_faults_are_listed_at_once():
    message = fault(grdi={}, mask={"keep": []})
    assert "grdi" in message
    assert "keep" in message


def test_short_forms_mean_the_long_ones():
    short = Project.model_validate(project(aois={"a": "a.gpkg"}, sensors=["sentinel-2-l2a"]))
    long = Project.model_validate(project(aois={"a": {"path": "a.gpkg"}}, sensors=[{"sensor": "sentinel-2-l2a"}]))
    assert short == long
    assert short.hash == long.hash


def test_strict_mask_sets_what_is_not_set_by_hand():
    assert (MaskRecipe(preset="strict").keep, MaskRecipe(preset="strict").close_px) == ([4, 5], 5)
    assert MaskRecipe(preset="strict", open_px=1).open_px == 1
    assert MaskRecipe(preset="strict", open_px=1).close_px == 5


@pytest.mark.parametrize("value", ["1/3600", 1 / 3600, "0.000277777777777778"])
def test_resolution_written_in_any_way_has_one_hash(value):
    assert CubeRecipe(resolution=value).hash == CubeRecipe(resolution="1/3600").hash


@pytest.mark.parametrize("value", ["epsg:3035", 3035, "3035", "EPSG:3035"])
def test_crs_written_in_any_way_has_one_hash(value):
    assert CubeRecipe(crs=value).hash == CubeRecipe(crs="EPSG:3035").hash
    assert GridRecipe(crs=value).crs == "EPSG:3035"


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none(), max_size=5))
def test_digest_does_not_see_the_order_of_keys(data):
    assert digest(data) == digest(dict(reversed(data.items())))


@given(st.floats(1, 1e6), st.floats(1, 1e6))
def test_hash_differs_where_a_setting_does(a, b):
    assert (GridRecipe(size_m=a).hash == GridRecipe(size_m=b).hash) == (a == b)


def test_recipe_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        AoiRecipe(path="a").path = "b"


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, []),
        ({"cube": {"statistic": "percentile", "percentile": 20}}, []),
        ({"cube": {"statistic": "mean", "percentile": 20}}, ["cube.percentile is not used, since cube.statistic is mean"]),
        ({"cube": {"varname": "stack"}}, ["cube.varname is not used, since cube.layout is bands"]),
        ({"mask": {"kind": "none", "max_cloud_cover": 20}}, []),
        ({"mask": {"kind": "none", "close_px": 3}}, ["mask.close_px is not used, since mask.kind is none"]),
        ({"mask": {"kind": "none", "preset": "strict"}}, ["mask.preset is not used, since mask.kind is none"]),
        ({"mask": {"preset": "strict", "close_px": 3}}, []),
        ({"compute": {"backend": "dask", "isolation": "process"}}, ["compute.isolation is not used, since compute.backend is dask"]),
        ({"compute": {"address": "tcp://a:1"}}, ["compute.address is not used, since compute.backend is local"]),
        ({"compute": {"memory_mb": 500}}, ["compute.memory_mb is not used, since threads have no limit of their own: set compute.isolation to process"]),
        ({"compute": {"memory_mb": 500, "isolation": "process"}}, []),
        ({"grid": {"kind": "geohash", "size_m": 50}}, ["grid.size_m is not used, since grid.kind is geohash"]),
        ({"grid": {"kind": "mgrs", "overlap": True}}, ["grid.overlap is not used, since grid.kind is mgrs"]),
        ({"grid": {"kind": "of-another-package", "size_m": 50, "precision": 3}}, []),
    ],
)  # fmt: skip
def test_setting_that_another_one_makes_idle_is_named(changes, lines):
    assert unused(parse_project(project(**changes), "p.yaml")) == lines


def test_options_of_grids_that_are_judged_are_all_there_are():
    options = {name for name in GridRecipe.model_fields if name not in ("kind", "clip")}
    assert options == set(_GRID_OPTIONS)


def test_preset_when_keys_are_given_beside_it_then_they_count():
    mask = MaskRecipe(preset="strict", close_px=3)
    assert (mask.keep, mask.close_px, mask.open_px) == ([4, 5], 3, 5)


@pytest.mark.parametrize("name", ["timeout_s", "max_usd", "usd_per_hour", "usd_per_gb_s"])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1.0])
def test_compute_when_a_number_is_none_then_the_error_names_it(name, value):
    assert f"compute.{name}" in fault(compute={name: value})


def test_compute_when_a_cluster_is_given_twice_then_it_is_an_error():
    said = fault(compute={"backend": "dask", "address": "tcp://127.0.0.1:8786", "cluster": "package.module:make"})
    assert "address is a cluster that runs already, and cluster makes one: leave one out" in said


def test_described_band_when_it_holds_classes_then_its_type_may_be_left_out():
    def sensors(**band):
        return [{"name": "cover", "collections": ["c"], "bands": {"kind": {"asset": "k", "unit": "class", **band}}}]

    found = parse_project(project(sensors=sensors(), cube={"sensor": "cover", "bands": ["kind"]}), "p.yaml")
    assert found.sensors[0].bands["kind"].dtype == "uint8"
    assert "has dtype uint8, not uint16: leave dtype out" in fault(sensors=sensors(dtype="uint16"))
