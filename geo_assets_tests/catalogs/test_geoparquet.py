"""A stac-geoparquet file answers as an API would."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from geo_assets.catalogs.geoparquet import PLUGIN
from geo_assets.eo.scenes import decide, write_scenes
from geo_assets.errors import CatalogError, ConfigError
from geo_assets.model.recipe import CatalogRecipe
from geo_assets.sensors.sentinel_2_l2a import PLUGIN as S2
from geo_assets.testing.conformance_catalog import make_item, query, sample_items, write_table
from geo_assets_tests.realdata import real_data


def recipe(path):
    return CatalogRecipe(kind="geoparquet", path=str(path))


def test_search_when_items_differ_in_fields_then_no_empty_field_is_added(tmp_path):
    path = write_table(tmp_path / "items.parquet", sample_items())
    found = {item["id"]: item for item in PLUGIN.search(recipe(path), query())}
    assert set(found["styria-0"]["properties"]) == {"datetime", "eo:cloud_cover"}
    assert found["fiji-0"]["properties"] == {"datetime": "2024-02-01T22:20:00Z", "proj:epsg": 32701}
    assert found["fiji-0"]["geometry"]["type"] == "MultiPolygon"


def test_search_when_the_table_is_one_of_scenes_then_it_can_be_searched(tmp_path):
    path = tmp_path / "scenes.parquet"
    path.write_bytes(write_scenes(decide(sample_items(), S2)))
    assert [i["id"] for i in PLUGIN.search(recipe(path), query())] == ["fiji-0", "styria-0", "styria-1"]


def test_search_when_an_asset_is_relative_then_beside_the_file(tmp_path):
    item = make_item("a", "2024-02-01T10:00:00Z", shapely.box(0, 0, 1, 1))
    item["assets"]["red"]["href"] = "./a/red.tif"
    found = PLUGIN.search(recipe(write_table(tmp_path / "items.parquet", [item])), query())
    href = found[0]["assets"]["red"]["href"]
    assert href == f"{tmp_path}/a/red.tif"
    assert PLUGIN.access(recipe(tmp_path / "items.parquet")).check(href)


def test_search_when_an_item_lasts_several_days_then_its_range_counts(tmp_path):
    month = {"start_datetime": "2024-01-20T00:00:00Z", "end_datetime": "2024-02-10T00:00:00Z"}
    items = [
        make_item("long", "2024-01-20T00:00:00Z", shapely.box(15, 47, 16, 48), **month),
        make_item("short", "2024-01-20T00:00:00Z", shapely.box(15, 47, 16, 48)),
    ]
    found = PLUGIN.search(recipe(write_table(tmp_path / "items.parquet", items)), query())
    assert [i["id"] for i in found] == ["long"]


def test_search_when_a_box_reaches_beyond_180_degrees_then_found_on_the_other_side(tmp_path):
    items = [make_item("a", "2024-02-01T00:00:00Z", shapely.box(179, -17, 181, -16))]
    path = write_table(tmp_path / "items.parquet", items)
    assert [i["id"] for i in PLUGIN.search(recipe(path), query(shapely.box(-180, -18, -179.5, -15)))] == ["a"]


def test_search_when_no_collection_fits_then_says_which_there_are(tmp_path):
    path = write_table(tmp_path / "items.parquet", sample_items())
    with pytest.raises(ConfigError, match="has no collection landsat, but sentinel-2-l2a"):
        PLUGIN.search(recipe(path), query(collections=["landsat"]))


def test_search_when_it_is_no_such_file_then_typed_error(tmp_path):
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(CatalogError, match="cannot be read"):
        PLUGIN.search(recipe(tmp_path / "torn.parquet"), query())
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(ConfigError, match="lacks id, geometry, assets"):
        PLUGIN.search(recipe(tmp_path / "other.parquet"), query())
    with pytest.raises(ConfigError, match="no catalog"):
        PLUGIN.search(recipe(tmp_path / "none.parquet"), query())


def test_search_when_the_file_is_real_then_as_a_scan_of_all_rows():
    path = real_data("stac_items", "rustac_1000-sentinel-2-items.parquet")
    area = shapely.box(-105, 40, -104.5, 40.5)
    found = PLUGIN.search(recipe(path), query(area, "2024-07-01", "2024-07-31"))
    table = pq.read_table(path, columns=["id", "geometry", "datetime"])
    hit = shapely.intersects(shapely.from_wkb(table.column("geometry").to_numpy()), area)
    days = [t.strftime("%Y-%m") == "2024-07" for t in table.column("datetime").to_pylist()]
    expected = sorted(i for i, h, d in zip(table.column("id").to_pylist(), hit, days, strict=True) if h and d)
    assert [item["id"] for item in found] == expected
    assert expected
