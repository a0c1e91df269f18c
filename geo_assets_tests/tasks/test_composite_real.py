"""Real Sentinel-2 scenes: every pixel of the cube against a composite made with rasterio, numpy and pyproj alone."""

from functools import partial
from pathlib import Path

import numpy as np
import pyproj
import pytest
import yaml

from geo_assets.model.geometry import Region
from geo_assets.project import LoadedProject, load_project
from geo_assets.tasks.cells import region_grid
from geo_assets.testing.plain_run import Pixels, PlainRun, run_plain, stored_pixels
from geo_assets_tests.realdata import real_data
from geo_assets_tests.tasks import oracle

pytestmark = pytest.mark.realdata
MONTH, BANDS = "2023-08", ["red", "green", "blue", "nir"]
AOI = (14.98, 45.98, 15.1, 46.08)  # over the seam of 33TWL and 33TWM, and beyond their western edge
SMALL = (15.0, 46.0, 15.04, 46.03)
WHOLE = (15.0, 45.51, 15.77, 46.23)
PROJECTED = {"crs": "EPSG:32633", "block_px": 96, "chunk_px": 32, "region_blocks": 2}
GEOGRAPHIC = {"crs": "EPSG:4326", "block_px": 48, "chunk_px": 24, "region_blocks": 2}


def project(
    folder: Path, bbox: tuple[float, ...], *, collection: str = "s2-l2a-33t", month: str = MONTH, **cube: object
) -> LoadedProject:
    document = {
        "name": "real", "aois": {"a": {"bbox": list(bbox)}}, "months": {"start": month, "end": month}, "storage": "./data",
        "catalog": {"kind": "static", "path": str(real_data("stac", "catalog.json"))},
        "sensors": [{"sensor": "sentinel-2-l2a", "collections": [collection]}], "grid": {"kind": "lonlat", "step": "1/50"}, "cube": cube,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return load_project(folder / "geo_assets.yaml")


def items(collection: str = "s2-l2a-33t") -> list[oracle.Item]:
    return oracle.read_items(real_data("stac", collection))


def wanted(run: PlainRun, pixels: Pixels, group: str) -> np.ndarray:
    """Pixels in chunks that the receipts name, dims (y, x)."""
    mask = np.zeros((len(pixels.y), len(pixels.x)), bool)
    for (region, _), receipt in run.receipts.items():
        grid = region_grid(region, run.loaded.project.cube)
        for block in receipt.blocks if grid.group == group else ():
            for row, col in block.chunks:
                rows_south = grid.geographic
                left = float((block.col * grid.block_px + col * grid.chunk_px) * grid.resolution) - (
                    180 if rows_south else 0
                )
                top = float(
                    ((block.row if rows_south else -block.row - 1) * grid.block_px + row * grid.chunk_px)
                    * grid.resolution
                )
                top = (90 if rows_south else 0) - top
                side = float(grid.chunk_px * grid.resolution)
                rows, cols = (pixels.y < top) & (pixels.y > top - side), (pixels.x > left) & (pixels.x < left + side)
                assert rows.sum() == cols.sum() == grid.chunk_px
                mask |= rows[:, None] & cols[None, :]
    return mask


def window(run: PlainRun, group: str, month: str = MONTH) -> Pixels:
    """All regions of a group."""
    boxes = []
    for region, _ in run.receipts:
        grid = region_grid(region, run.loaded.project.cube)
        boxes += [grid.region_geobox(Region.parse(region)).bounds] if grid.group == group else []
    west, south, east, north = (f(b) for f, b in zip((min, min, max, max), zip(*boxes, strict=True), strict=True))
    return stored_pixels(run.loaded, group, month, (west, south, east, north))


def in_bbox(pixels: Pixels, crs: str, bbox: tuple[float, ...]) -> np.ndarray:
    lon, lat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(*np.meshgrid(pixels.x, pixels.y))
    return (lon > bbox[0]) & (lon < bbox[2]) & (lat > bbox[1]) & (lat < bbox[3])


def stored(pixels: Pixels, made: np.ndarray) -> np.ndarray:
    """Bands and ``n_clear`` in one array, dims (layer, y, x); 0 is all that lies outside the chunks that were made."""
    layers = np.stack([pixels.values[n] for n in [*BANDS, "n_clear"]])
    assert not layers[:, ~made].any()
    return layers


def expected(
    pixels: Pixels,
    crs: str,
    made: np.ndarray,
    *,
    resampling: str = "nearest",
    tolerance: float = 1e-4,
    statistic: oracle.Statistic = oracle.median,
) -> np.ndarray:
    stack = oracle.days(items(), pixels.x, pixels.y, crs, BANDS, resampling=resampling, tolerance=tolerance)[:, :, made]
    layers = np.zeros((len(BANDS) + 1, *made.shape), np.uint16)
    layers[:, made] = [*(oracle.reduced(s, statistic) for s in stack), oracle.n_clear(stack)]
    return layers


@pytest.mark.parametrize(
    ("cube", "partitions", "pixels", "observed"),
    [
        pytest.param({**PROJECTED, "resolution": 60}, 4, 43008, 32928, marks=pytest.mark.heavy),
        ({**PROJECTED, "resolution": 120}, 4, 16384, 11520),
        ({**PROJECTED, "resolution": 100}, 2, 16384, 11264),
        ({**GEOGRAPHIC, "resolution": "1/900"}, 6, 13824, 10368),
        pytest.param({**GEOGRAPHIC, "resolution": "1/1200"}, 4, 17280, 14400, marks=pytest.mark.heavy),
    ],
    ids=["60 m nested", "120 m half a pixel off", "100 m", "1/900 degree", "1/1200 degree"],
)
def test_composite_when_nearest_then_every_pixel_is_that_of_the_plain_computation(
    tmp_path, cube, partitions, pixels, observed
):
    loaded = project(tmp_path, AOI, resampling="nearest", bands=BANDS, **cube)
    run = run_plain(loaded)
    assert {r.status for r in run.receipts.values()} == {"ok"}
    group = run.cells.regions[0].split("_")[0]
    found = window(run, group)
    made = wanted(run, found, group)
    ours = stored(found, made)
    assert made[in_bbox(found, loaded.project.cube.crs, AOI)].all()
    assert np.array_equal(ours, expected(found, loaded.project.cube.crs, made))
    assert (ours[:-1] > 0).all(axis=0).sum() == sum(b.observed for r in run.receipts.values() for b in r.blocks)
    assert (len(run.receipts), made.sum(), (ours[:-1] > 0).all(axis=0).sum()) == (partitions, pixels, observed)


def test_composite_when_the_grid_nests_then_every_source_pixel_fills_its_four(tmp_path):
    loaded = project(
        tmp_path, (15.0, 45.9, 15.04, 45.94), resampling="nearest", bands=["red"], **PROJECTED, resolution=60
    )
    run = run_plain(loaded)
    west, north, side = 500_460, 5_086_200, 2400  # south of 33TWM, inside the area, at edges of 33TWL's pixels of 120 m
    fine = stored_pixels(loaded, "utm33n", MONTH, (west, north - side, west + side, north)).values["red"]
    assert fine.shape == (40, 40)
    assert len(run.receipts) == 1
    assert (fine > 0).all()
    assert np.array_equal(fine, fine[::2, ::2].repeat(2, 0).repeat(2, 1))


KERNELS = [
    pytest.param("bilinear", {**PROJECTED, "resolution": 100}, 16384, id="bilinear, 100 m"),
    pytest.param("bilinear", {**PROJECTED, "resolution": 120}, 16384, id="bilinear, 120 m half a pixel off"),
    pytest.param("bilinear", {**GEOGRAPHIC, "resolution": "1/900"}, 13824, id="bilinear, 1/900 degree"),
    pytest.param("bilinear", {**GEOGRAPHIC, "resolution": "1/1200"}, 17280, id="bilinear, 1/1200 degree"),
    pytest.param("cubic", {**GEOGRAPHIC, "resolution": "1/900"}, 13824, id="cubic, 1/900 degree"),
    pytest.param("average", {**GEOGRAPHIC, "resolution": "1/900"}, 13824, id="average, 1/900 degree"),
]


@pytest.mark.heavy
@pytest.mark.parametrize(("resampling", "cube", "pixels"), KERNELS)
def test_composite_when_a_kernel_is_used_then_it_is_gdals(tmp_path, resampling, cube, pixels):
    loaded = project(tmp_path, AOI, resampling=resampling, bands=BANDS, **cube)
    run = run_plain(loaded)
    group = run.cells.regions[0].split("_")[0]
    found = window(run, group)
    made = wanted(run, found, group)
    assert made.sum() == pixels
    ours = stored(found, made).astype(int)

    def off(tolerance: float) -> np.ndarray:
        theirs = expected(found, loaded.project.cube.crs, made, resampling=resampling, tolerance=tolerance)
        assert np.array_equal(ours[-1], theirs[-1])
        return np.abs(ours - theirs)[:-1]

    exact, usual = off(1e-9), off(1e-4)
    # Fifths of 100 m in 120 m: GDAL's own rounding noise decides sums that end in a half
    assert (exact > 0).sum() <= (0.005 * usual.size if cube.get("resolution") == 100 else 0)
    assert exact.max() <= 1
    assert (usual > 0).sum() < 0.01 * (ours[:-1] > 0).sum()
    # Cubic: two scenes that both differ by 1 move their mean by 1, which half to even may turn into 2
    assert (usual > 1).sum() <= (4 if resampling == "cubic" else 0)
    assert usual.max() <= 2


def test_composite_when_all_is_made_then_it_is_as_bright_as_woods_in_august(tmp_path):
    loaded = project(
        tmp_path,
        WHOLE,
        resampling="nearest",
        bands=BANDS,
        crs="EPSG:32633",
        resolution=120,
        block_px=256,
        chunk_px=128,
        region_blocks=2,
    )
    run = run_plain(loaded)
    found = window(run, "utm33n")
    made = wanted(run, found, "utm33n")
    ours = stored(found, made)
    seen = (ours[:-1] > 0).all(axis=0)
    assert (len(run.receipts), made.sum(), seen.sum()) == (4, 491_520, 351_620)
    assert sum(b.observed for r in run.receipts.values() for b in r.blocks) == seen.sum()
    assert np.median(ours[:3, seen]) * 1e-4 == pytest.approx(0.0429, abs=0.0002)
    assert np.median(ours[:4, seen]) * 1e-4 == pytest.approx(0.0518, abs=0.0002)
    assert ours[:-1, seen].min() == 80
    assert ((ours[:-1] > 0) == seen).all()  # a pixel has all bands or none
    assert ours[-1].max() == 5
    assert {s.offset for r in run.receipts.values() for s in r.scenes} == {0}
    assert sum(len(r.dropped) for r in run.receipts.values()) == 0


@pytest.mark.parametrize(
    ("options", "statistic"),
    [
        ({"statistic": "mean"}, partial(np.nanmean, axis=0)),
        ({"statistic": "percentile", "percentile": 20}, partial(np.nanpercentile, q=20, axis=0)),
        ({"statistic": "percentile", "percentile": 75}, partial(np.nanpercentile, q=75, axis=0)),
    ],
    ids=["mean", "20th percentile", "75th percentile"],
)
def test_composite_when_another_statistic_is_asked_for_then_it_is_numpys(tmp_path, options, statistic):
    run = run_plain(project(tmp_path, SMALL, resampling="nearest", bands=BANDS, resolution=100, **PROJECTED, **options))
    found = window(run, "utm33n")
    made = wanted(run, found, "utm33n")
    assert (len(run.receipts), made.sum()) == (1, 6144)
    assert np.array_equal(stored(found, made), expected(found, "EPSG:32633", made, statistic=statistic))


def test_composite_when_the_medoid_is_asked_for_then_each_pixel_is_one_whole_day(tmp_path):
    run = run_plain(
        project(tmp_path, SMALL, resampling="nearest", bands=BANDS, resolution=100, **PROJECTED, statistic="medoid")
    )
    found = window(run, "utm33n")
    made = wanted(run, found, "utm33n")
    stack = oracle.days(items(), found.x, found.y, "EPSG:32633", BANDS)
    assert made.sum() == 6144
    assert np.array_equal(stored(found, made)[:-1], oracle.medoid(stack) * made)


def test_composite_when_kept_in_other_stores_and_layouts_then_the_pixels_are_the_same(tmp_path):
    kept = []
    for store in ("icechunk", "zarr"):
        for layout in ("bands", "stacked"):
            folder = tmp_path / store / layout
            loaded = project(
                folder,
                SMALL,
                resampling="nearest",
                bands=BANDS,
                resolution=100,
                **PROJECTED,
                store=store,
                layout=layout,
                varname="any",
            )
            run = run_plain(loaded)
            found = window(run, "utm33n")
            kept.append(stored(found, wanted(run, found, "utm33n")))
    assert (kept[0] > 0).any()
    assert all(np.array_equal(kept[0], other) for other in kept[1:])


@pytest.mark.parametrize(
    ("cube", "groups"),
    [
        (
            {"crs": "utm", "resolution": 240, "block_px": 64, "chunk_px": 32, "region_blocks": 2},
            {"utm01n": (2, 12288, 6937), "utm60n": (2, 8192, 3144)},
        ),
        ({**GEOGRAPHIC, "resolution": "1/300"}, {"epsg4326": (6, 15552, 10075)}),
    ],
    ids=["utm", "geographic"],
)
def test_composite_when_the_area_crosses_the_antimeridian_then_both_sides_are_right(tmp_path, cube, groups):
    bbox = (179.7, 67.2, -179.6, 67.4)
    loaded = project(
        tmp_path, bbox, collection="s2-l2a-antimeridian", month="2023-06", resampling="nearest", bands=["red"], **cube
    )
    run = run_plain(loaded)
    assert {r.split("_")[0] for r in run.cells.regions} == set(groups)
    assert {s.offset for r in run.receipts.values() for s in r.scenes} == {-1000}
    # 23:37 UTC on 2 June at 179.5 W is noon of the same day that 00:07 UTC at 179 E is
    assert {s.solar_day for r in run.receipts.values() for s in r.scenes} == {"2023-06-02", "2023-06-04"}
    for group, counts in groups.items():
        crs = {"utm01n": "EPSG:32601", "utm60n": "EPSG:32660", "epsg4326": "EPSG:4326"}[group]
        totals = np.zeros(3, int)
        for key in [k for k in run.receipts if k[0].startswith(group)]:
            part = PlainRun(loaded, run.cells, {}, {}, {key: run.receipts[key]})  # its regions are a world apart
            found = window(part, group, "2023-06")
            made = wanted(part, found, group)
            stack = oracle.days(items("s2-l2a-antimeridian"), found.x, found.y, crs, ["red"])
            assert np.array_equal(found.values["red"], oracle.reduced(stack[0], oracle.median) * made)
            assert np.array_equal(found.values["n_clear"], oracle.n_clear(stack) * made)
            totals += 1, made.sum(), (found.values["red"] > 0).sum()
        assert tuple(totals) == counts
