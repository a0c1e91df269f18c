"""Layers of real terrain, land cover and radar, compared with rasterio and numpy pixel by pixel."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
import shapely
import yaml

from geo_assets.project import LoadedProject, load_project
from geo_assets.testing.plain_ard import run_ard
from geo_assets_tests.realdata import real_data
from geo_assets_tests.tasks import oracle

pytestmark = pytest.mark.realdata
ISLAND = [6.55, 0.15, 6.7, 0.35]  # Sao Tome, with 1,976 m and the sea around
DB = {
    "name": "radar-db", "collections": ["radar-db"], "cloud_cover": None,
    "bands": {"vv": {"asset": "vv", "dtype": "float32", "nodata": -99, "unit": "dB", "gsd_m": 20}},
}  # fmt: skip


def catalog(folder: Path, collection: str, asset: str, file: Path, time: str) -> Path:
    """A static catalog of one item around a copy of a real file."""
    place = folder / collection
    place.mkdir(parents=True)
    shutil.copyfile(file, place / file.name)
    with rasterio.open(file) as source:
        outline = shapely.box(*rasterio.warp.transform_bounds(source.crs, "EPSG:4326", *source.bounds))
    common = {"stac_version": "1.0.0", "links": []}
    item = {
        "type": "Feature", "id": file.stem, "collection": collection, "geometry": shapely.geometry.mapping(outline), "bbox": list(outline.bounds),
        "properties": {"datetime": time}, "assets": {asset: {"href": f"./{file.name}", "roles": ["data"]}}, **common,
    }  # fmt: skip
    extent = {"spatial": {"bbox": [list(outline.bounds)]}, "temporal": {"interval": [[time, time]]}}
    links = [{"rel": "item", "href": "./item.json", "type": "application/geo+json"}]
    of = {"type": "Collection", "id": collection, "description": collection, "license": "other", "extent": extent}
    (place / "item.json").write_text(json.dumps(item))
    (place / "collection.json").write_text(json.dumps({**common, **of, "links": links}))
    children = [{"rel": "child", "href": f"./{collection}/collection.json", "type": "application/json"}]
    (folder / "catalog.json").write_text(
        json.dumps({"type": "Catalog", "id": "real", "description": "real", **common, "links": children})
    )
    return folder / "catalog.json"


def project(folder: Path, place: Path, sensor: Any, bbox: list[float], *, month: str, **settings: Any) -> LoadedProject:
    name = sensor if isinstance(sensor, str) else sensor["name"]
    document = {
        "name": "real", "storage": "./data", "products": ["ard"], "months": {"start": month, "end": month}, "aois": {"a": {"bbox": bbox}},
        "sensors": [sensor], "catalog": {"kind": "static", "path": str(place)}, "ard": {"resampling": "nearest"},
        "cube": {"sensor": name, "resolution": 30, **settings.pop("cube")}, "grid": {"kind": "square", "size_m": 12_000, "crs": "EPSG:32632"}, **settings,
    }  # fmt: skip
    (folder / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return load_project(folder / "geo_assets.yaml")


def layers(loaded: LoadedProject) -> Any:
    """Row, stored numbers by band, x and y of each layer."""
    run = run_ard(loaded)
    assert {r.status for r in run.receipts.values()} == {"ok"}
    for row in (r for t in run.tables.values() for r in t.to_dict("records")):
        with rasterio.open(loaded.storage.uri(row["cog"])) as file:
            bands = dict(zip(file.descriptions, file.read(), strict=True))
        a, _, c, _, e, f = row["transform"]
        rows, cols = row["shape"]
        yield row, bands, c + a * (np.arange(cols) + 0.5), f + e * (np.arange(rows) + 0.5)


def test_terrain_when_real_then_heights_are_those_of_the_file_and_slopes_those_of_its_heights(tmp_path):
    file = real_data("static", "Copernicus_DSM_COG_10_N00_00_E006_00_DEM.tif")
    place = catalog(tmp_path / "catalog", "cop-dem-glo-30", "data", file, "2021-04-22T00:00:00Z")
    loaded = project(tmp_path, place, "dem", ISLAND, month="2024-06", cube={"bands": ["elevation"]})
    top = compared = 0.0
    slopes = []
    for row, bands, x, y in layers(loaded):
        wanted = oracle.nearest(str(file), x, y, row["crs"])
        known = np.isfinite(bands["elevation"])
        np.testing.assert_array_equal(bands["elevation"][known], wanted[known])
        assert not wanted[~known].any()  # south of the file
        top, compared = max(top, float(wanted.max())), compared + int(known.sum())
        # Central differences over 30 m, in the ground's own metres: near the equator UTM's are at most 0.1 % off
        inner = bands["elevation"][1:-1, 1:-1]
        east = (bands["elevation"][1:-1, 2:] - bands["elevation"][1:-1, :-2]) / 60
        north = (bands["elevation"][:-2, 1:-1] - bands["elevation"][2:, 1:-1]) / 60
        plain = np.degrees(np.arctan(np.hypot(east, north)))
        land = (inner > 50) & np.isfinite(plain)
        if land.any():
            slopes.append((plain[land], bands["slope"][1:-1, 1:-1][land]))
    assert compared > 500_000
    assert 1_900 < top < 2_100
    plain, found = (np.concatenate([s[i] for s in slopes]) for i in (0, 1))
    assert 5 < np.median(found) < 30
    # The product's own stencil may differ from two points; in the middle they agree
    assert abs(np.median(found) - np.median(plain)) < 1.5
    assert np.corrcoef(plain, found)[0, 1] > 0.95


@pytest.mark.heavy  # what it is compared with inflates 36,000 x 36,000 pixels
def test_land_cover_when_real_then_codes_are_those_of_the_file(tmp_path):
    file = real_data("static", "ESA_WorldCover_10m_2021_v200_N00E006_Map.tif")
    place = catalog(tmp_path / "catalog", "esa-worldcover", "map", file, "2021-01-01T00:00:00Z")
    cube = {"bands": ["worldcover"], "statistic": "mode"}
    loaded = project(tmp_path, place, "landcover", ISLAND, month="2024-06", cube=cube)
    seen: dict[int, int] = {}
    for row, bands, x, y in layers(loaded):
        wanted = oracle.nearest(str(file), x, y, row["crs"])
        np.testing.assert_array_equal(bands["worldcover"], wanted)
        for code, count in zip(*np.unique(wanted, return_counts=True), strict=True):
            seen[int(code)] = seen.get(int(code), 0) + int(count)
    assert set(seen) <= {0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100}
    assert seen[10] == max(n for code, n in seen.items() if code not in (0, 80))  # the island is forest
    assert sum(seen.values()) > 500_000


def test_radar_in_decibels_when_real_and_described_then_numbers_are_those_of_the_file(tmp_path):
    file = real_data("s1", "S1A_20150309_VV_gamma0_db_20m.tif")
    place = catalog(tmp_path / "catalog", "radar-db", "vv", file, "2015-03-09T17:30:17Z")
    loaded = project(
        tmp_path, place, DB, [4.5, 43.57, 4.55, 43.6], month="2015-03", mask={"kind": "none"},
        cube={"bands": ["vv"], "resolution": 20, "crs": "EPSG:32631"}, grid={"kind": "square", "size_m": 2_000, "crs": "EPSG:32631"},
    )  # fmt: skip
    seen = []
    for row, bands, x, y in layers(loaded):
        wanted = oracle.nearest(str(file), x, y, row["crs"])
        known = (wanted != -99) & (wanted != 0)
        np.testing.assert_array_equal(bands["vv"][known], wanted[known])
        assert np.isnan(bands["vv"][~known]).all()
        seen.append(wanted[known])
    values = np.concatenate(seen)
    assert values.size > 5_000
    assert -20 < np.median(values) < -5
