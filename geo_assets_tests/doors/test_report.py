import base64
import datetime as dt
import io
import json
import re

import geopandas as gpd
import numpy as np
import pytest
import shapely
from PIL import Image

from geo_assets.doors.report import pictures, tables
from geo_assets.doors.report.page import write_report
from geo_assets.eo.picture import blank, encode_png
from geo_assets.eo.scenes import decide, write_scenes
from geo_assets.errors import StoreError
from geo_assets.model import path
from geo_assets.model.crs import parse_resolution
from geo_assets.model.geometry import Block, PixelGrid
from geo_assets.model.period import Month, Periods
from geo_assets.model.plugin import Variable
from geo_assets.model.receipt import BlockReceipt, Dropped, PartitionReceipt, SceneUse
from geo_assets.registry import load
from geo_assets.report import charts
from geo_assets.storage import Storage
from geo_assets.tasks.cells import write_cells
from geo_assets.tasks.search import dropped
from geo_assets_tests.eo.test_items import spiral
from geo_assets_tests.report.page_of import Page

EVIL = '<script>alert("x")</script>'
GRID = PixelGrid.build("EPSG:32633", parse_resolution(10), block_px=64, chunk_px=16, region_blocks=2)
BLOCK = Block(8200, 800)
REGION = GRID.region_of(BLOCK).key


def use(scene_id, day="2024-03-02", offset=-1000):
    return SceneUse(
        id=scene_id, collection="s2", time=f"{day}T10:00:00Z", solar_day=day, baseline="05.09", offset=offset,
        hrefs={"red": "https://host/a.tif?sig=SECRET"},
    )  # fmt: skip


def block(row=BLOCK.row, col=BLOCK.col, **values):
    base = {
        "key": "k",
        "chunks": [[0, 0]],
        "scene_ids": ["S1"],
        "pixels": 100,
        "observed": 69,
        "n_clear_mean": 1.5,
        "wall_s": 2.0,
    }
    return BlockReceipt(row=row, col=col, **(base | values))


def receipt(region=REGION, month="2024-03", **values):
    base = {
        "status": "ok", "data_version": "dv1", "recipe_hash": "rh1", "snapshot": "SNAP", "scenes": [use("S1")], "blocks": [block()],
        "made_at": dt.datetime(2024, 5, 1, tzinfo=dt.UTC), "wall_s": 90.0, "figures": {"bytes_read": 3_000_000},
    }  # fmt: skip
    return PartitionReceipt(product="composite", region=region, month=month, **(base | values))


def store_cells(storage, region, ids, west=15.0):
    shapes = [shapely.box(west + 0.01 * i, 47.0, west + 0.01 * (i + 1), 47.01) for i in range(len(ids))]
    columns = {"cell_id": ids, "region": region, "regions": [[region]] * len(ids), "crs": GRID.crs}
    storage.write(path.cells(region), write_cells(gpd.GeoDataFrame(columns, geometry=shapes, crs="EPSG:4326")))


def store_quicklook(storage, region, month, side=128):
    picture = blank(side, side).copy()
    picture[10:40, 20:50] = (10, 120, 30)
    storage.write(path.quicklook("composite", region, month), encode_png(picture))


def store_cube(storage, months, pixels):
    """A cube whose block holds ``pixels`` (stored values, dims y, x) in every band and month."""
    periods = Periods(Month.parse(months[0]), 1, len(months))
    attrs = {"scale_factor": 0.0001, "add_offset": 0.0, "_FillValue": 0}
    variables = [Variable(name, "uint16", 0, attrs) for name in ("red", "green", "blue")]
    plugin = load("stores", "icechunk")
    cube = plugin.open(storage.uri(path.CUBE))
    cube.prepare({"geo_assets": {"format": 1}}, GRID.group, GRID, periods, variables)
    session = cube.session(GRID.group)
    writer = plugin.writer(session.handle())
    rows, cols = GRID.array_slices(GRID.block_geobox(BLOCK))
    for time in range(len(months)):
        for variable in variables:
            writer.write(variable.name, time, rows, cols, pixels)
    session.commit([writer.changes()], "made", {})


def write(storage, tmp_path, **options):
    options = {"title": "Title", "how_to_open": ["import geo_assets"]} | options
    out = write_report(storage.root, tmp_path / "out" / "report.html", **options)
    return Page(out.read_text(encoding="utf-8"))


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "data"))


def pixels_of(attrs):
    kind, content = attrs["src"].split(",", 1)
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGBA"))


def test_report_when_storage_is_empty_then_refused(storage, tmp_path):
    with pytest.raises(StoreError):
        write(storage, tmp_path)
    assert not (tmp_path / "out").exists()


def test_report_when_partitions_are_made_then_figures_and_provenance_are_told(storage, tmp_path):
    gone = Dropped(id="S0", reason="same acquisition as S1: baseline 05.10 replaces 04.00", duplicate_of="S1")
    storage.write_receipt(receipt(dropped=[gone], scenes=[use("S1"), use("S9")]))
    storage.write_receipt(
        receipt(month="2024-04", blocks=[block(scene_ids=["S2"])], scenes=[use("S2", "2024-04-05", 0)])
    )
    page = write(storage, tmp_path, how_to_open=["a & b", "second line"])
    text = " ".join(page.text.split())
    assert "2 partitions made, all complete" in text
    for fact in (
        "2 used; 1 dropped",
        "69 % of the pixels made",
        "6.0 MB in 4.0 s of work",
        "2024-03 to 2024-04",
        gone.reason,
    ):
        assert fact in text
    for fact in ("SNAP", "dv1", "rh1", "05.09", "−1,000", "none", f"2024-03: {REGION}", "a & b second line"):
        assert fact in text
    assert "S9" not in text  # it reached no block
    assert "SECRET" not in page.source


def item(baseline, time, updated, red):
    ring = shapely.geometry.mapping(shapely.box(15, 47, 15.1, 47.1))
    properties = {"datetime": time, "updated": updated, "s2:processing_baseline": baseline}
    return {"type": "Feature", "id": "S1", "collection": "s2", "geometry": ring, "properties": properties, "assets": {"red": {"href": red}}, "links": []}  # fmt: skip


def rows_of(page, caption):
    """Texts of a table's cells."""
    body = next(t for t in re.findall(r"<table.*?</table>", page.source, re.S) if f"{caption}</caption>" in t)
    return [[re.sub(r"<[^>]*>", "", c) for c in re.findall(r"<(?:td|th)[^>]*>(.*?)</(?:td|th)>", r, re.S)] for r in re.findall(r"<tr.*?</tr>", body, re.S)[1:]]  # fmt: skip


def test_report_when_two_items_have_one_id_then_each_has_its_own_row(storage, tmp_path):
    old = item("04.00", "2024-03-02T10:00:00Z", "2024-03-03T00:00:00Z", "https://host/old.tif")
    new = item("05.09", "2024-03-02T10:00:09Z", "2024-03-04T00:00:00Z", "https://host/new.tif")
    sensor = load("sensors", "sentinel-2-l2a")
    table = decide([old, new], sensor)
    storage.write(path.scenes(sensor.name, REGION, "2024-03"), write_scenes(table))
    other = Dropped(id="S1", reason="cloud cover 90 % is over max_cloud_cover 60 %")
    storage.write_receipt(receipt(dropped=[*dropped(table), other]))
    page = write(storage, tmp_path)
    (used,), gone = rows_of(page, "Scenes used"), rows_of(page, "Scenes dropped, and why")
    assert used[:4] == ["S1", "2024-03-02 10:00:00", "2024-03-02", "05.09"]
    assert [(row[3], row[4].split(":")[0]) for row in gone] == [
        ("04.00", "the catalog has several items S1"),
        ("–", other.reason),
    ]
    assert "1 used; 2 dropped" in page.text


def test_report_when_ids_of_two_collections_are_equal_then_both_are_used(storage, tmp_path):
    twin = use("S1").model_copy(update={"collection": "s2-new"})
    storage.write_receipt(receipt(scenes=[use("S1"), twin]))
    page = write(storage, tmp_path)
    assert len(rows_of(page, "Scenes used")) == 2
    assert "2 used; 0 dropped" in page.text


def test_report_when_a_scene_table_is_damaged_then_it_is_written_without_it(storage, tmp_path):
    storage.write_receipt(receipt(dropped=[Dropped(id="S0", reason="cloud")]))
    storage.write(path.scenes("sentinel-2-l2a", REGION, "2024-03"), b"damaged")
    assert rows_of(write(storage, tmp_path), "Scenes dropped, and why")[0][:2] == ["S0", "–"]


def test_report_when_it_says_how_to_open_then_shell_and_python_are_blocks_of_their_own(storage, tmp_path):
    storage.write_receipt(receipt())
    page = write(storage, tmp_path, commands=["geo-assets ui p.yaml"], how_to_open=["import geo_assets", "x = 1"])
    shell, python = re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", page.source, re.S)
    assert (shell, python) == ("geo-assets ui p.yaml", "import geo_assets\nx = 1")


def test_report_when_blocks_failed_then_cause_cells_and_status_are_named(storage, tmp_path):
    bad = block(
        status="failed", cause="green.tif: cannot be read", chunks=[], scene_ids=[], pixels=0, observed=0, cells=["c1"]
    )
    storage.write_receipt(receipt(status="partial", blocks=[block(), bad.model_copy(update={"col": BLOCK.col + 1})]))
    store_cells(storage, REGION, ["c0", "c1"])
    page = write(storage, tmp_path)
    text = " ".join(page.text.split())
    assert "0 of 1 partition complete, 1 partial" in text
    assert "green.tif: cannot be read c1" in text
    assert [a["class"] for a in page.all("path") if a.get("class", "").startswith("cell")] == ["cell", "cell bad"]
    assert any(a.get("href") == "#failures" for a in page.all("a"))


def test_report_when_names_are_hostile_then_they_stay_text(storage, tmp_path):
    blocks = [block(status="failed", cause=f"{EVIL} \x00\x1b\u202e", cells=[EVIL], scene_ids=[EVIL])]
    dropped = [Dropped(id=f"dropped {EVIL}", reason=EVIL, duplicate_of=EVIL)]
    storage.write_receipt(
        receipt(scenes=[use(EVIL)], blocks=blocks, dropped=dropped, data_version=EVIL, snapshot='" onload="')
    )
    storage.write(
        path.receipt("composite", "evil", "2024-03"), receipt(region=EVIL, month=EVIL).model_dump_json().encode()
    )
    store_cells(storage, REGION, [EVIL, "' onclick='x"])
    page = write(storage, tmp_path, title=EVIL, how_to_open=[EVIL], areas={EVIL: shapely.box(15, 47, 15.01, 47.01)})
    assert not page.all("script")
    assert not [a for _, attrs in page.tags for a in attrs if a.startswith("on")]
    assert page.text.count(EVIL) > 10
    assert not re.search(r"[\x00\x1b\u202e]", page.source)


def test_report_when_written_then_nothing_is_fetched_and_pictures_have_words(storage, tmp_path):
    storage.write_receipt(receipt())
    store_quicklook(storage, REGION, "2024-03")
    store_cells(storage, REGION, ["c0"])
    page = write(storage, tmp_path)
    links = [v for _, attrs in page.tags for k, v in attrs.items() if k in ("src", "href", "srcset", "action", "data")]
    assert links
    assert all(v.startswith(("data:image/", "#")) for v in links)
    assert not re.search(r"url\((?!#)|@import|https?://", page.source)
    assert {a.get("http-equiv") for a in page.all("meta")} >= {"Content-Security-Policy"}
    assert all("Composite of 2024-03" in a["alt"] for a in page.all("img"))
    assert all(a.get("aria-label") or a.get("aria-hidden") for a in page.all("svg"))
    assert all(a.get("scope") in ("col", "row") for a in page.all("th"))
    assert page.all("html")[0]["lang"] == "en"
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {v[1:] for v in links if v.startswith("#")} <= set(ids)


def test_report_when_written_twice_then_bytes_are_equal_and_no_part_is_left(storage, tmp_path):
    storage.write_receipt(receipt())
    first = write(storage, tmp_path).source
    assert write(storage, tmp_path).source == first
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["report.html"]


def test_picture_when_the_cube_is_small_then_its_pixels_are_shown(storage, tmp_path):
    pixels = np.zeros((64, 64), np.uint16)
    pixels[16:48, 16:64] = 500
    pixels[16:48, 40:64] = 2500
    chunks = [[r, c] for r in range(4) for c in range(4)]
    store_cube(storage, ["2024-03", "2024-04"], pixels)
    for month in ("2024-03", "2024-04"):
        storage.write_receipt(receipt(month=month, blocks=[block(chunks=chunks)]))
    page = write(storage, tmp_path)
    shown = [pixels_of(a) for a in page.all("img")]
    assert [s.shape for s in shown] == [(32, 48, 4)] * 2  # cut to what is observed
    assert shown[0][..., 3].min() == 255
    assert shown[0][:, :22, :3].mean() < 20
    assert shown[0][:, 26:, :3].mean() > 235
    assert "reflectance 0.05 is shown black, 0.25 white" in page.text
    assert REGION in page.text


def test_picture_when_there_is_no_cube_then_quicklooks_of_neighbours_stand_side_by_side(storage, tmp_path):
    for region in ("utm33n_r10_c4", "utm33n_r10_c5", "utm33n_r20_c9"):
        storage.write_receipt(receipt(region=region))
        store_quicklook(storage, region, "2024-03")
    storage.write_receipt(receipt(region="utm33n_r20_c9", month="2024-04", status="failed", blocks=[]))
    page = write(storage, tmp_path)
    shapes = [pixels_of(a).shape[:2] for a in page.all("img")]
    assert shapes == [(30, 128 + 30), (30, 30)]
    assert "utm33n_r10_c4, utm33n_r10_c5" in page.text
    text = " ".join(page.text.split())
    assert "not complete: utm33n_r20_c9" in text
    assert " failed 2024-04" in text


def test_report_when_there_is_much_then_it_stays_small_and_says_so(storage, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROWS", 10)
    monkeypatch.setattr(pictures, "REGIONS", 3)
    monkeypatch.setattr(pictures, "MONTHS", 2)
    monkeypatch.setattr(charts, "MONTHS", 4)
    for col in range(5):
        for month in range(1, 7):
            name = f"S{col}_{month}"
            bad = block(status="failed", cause="no", scene_ids=[name])
            gone = [Dropped(id=f"D{col}_{month}", reason="cloud")]
            region = f"utm33n_r1_c{2 * col}"
            storage.write_receipt(
                receipt(
                    region=region,
                    month=f"2024-{month:02d}",
                    status="failed",
                    scenes=[use(name)],
                    blocks=[bad],
                    dropped=gone,
                )
            )
            store_quicklook(storage, region, f"2024-{month:02d}")
    page = write(storage, tmp_path)
    for line in (
        "First 10 of 30 partitions", "First 10 of 30 scenes used", "First 10 of 30 dropped scenes", "First 10 of 30 failed blocks",
        "First 3 of 5 regions.", "Last 2 of 6 months.", "Last 4 of 6 months.",
    ):  # fmt: skip
        assert line in page.text
    assert len(page.all("img")) == 3 * 2


def test_map_when_there_are_many_cells_then_their_area_is_drawn(storage, tmp_path):
    storage.write_receipt(receipt())
    store_cells(storage, REGION, [f"c{i}" for i in range(2000)], west=2.0)
    page = write(storage, tmp_path)
    cells = [a["d"] for a in page.all("path") if a.get("class") == "cell"]
    assert len(cells) == 1
    assert cells[0].count("M") == 1
    assert "2,000 cells are drawn as the area that they cover" in page.text


def test_map_when_area_crosses_the_antimeridian_then_it_is_narrow(storage, tmp_path):
    storage.write_receipt(receipt())
    parts = shapely.MultiPolygon([shapely.box(179.5, -17, 180, -16.5), shapely.box(-180, -17, -179.5, -16.5)])
    storage.write(path.aoi("fiji"), shapely.to_geojson(parts).encode())
    page = write(storage, tmp_path)
    assert "area of interest: fiji" in page.text
    assert "179.5° E" in page.text or "179.6° E" in page.text
    assert "from 179.5000° E to 179.5000° W" in page.text


@pytest.mark.timeout(60)
def test_map_when_an_area_is_tangled_then_its_hull_is_drawn_at_once(storage, tmp_path):
    storage.write_receipt(receipt())
    tangled = shapely.transform(shapely.from_geojson(json.dumps(spiral())), lambda xy: (xy - (15, 47)) * 0.1 + (15, 47))
    storage.write(path.aoi("star"), shapely.to_geojson(tangled).encode())
    storage.write(
        path.aoi("bow"),
        b'{"type": "Polygon", "coordinates": [[[15, 47], [15.1, 47.1], [15.1, 47], [15, 47.1], [15, 47]]]}',
    )
    page = write(storage, tmp_path, areas={"given": tangled})
    drawn = [a["d"].count("L") for a in page.all("path") if a.get("class") == "aoi"]
    assert len(drawn) == 3
    assert all(drawn)
