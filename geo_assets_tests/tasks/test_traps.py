"""Traps that earlier systems fell into: what is right, and that each check notices when the fault is put back in."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
import yaml
import zarr

from geo_assets.eo import mask as eo_mask
from geo_assets.errors import ConfigError, StoreError
from geo_assets.grids import majortom_eg, square
from geo_assets.model import cell as cell_model
from geo_assets.model.cell import cells_of
from geo_assets.model.crs import reproject
from geo_assets.model.geometry import PixelGrid
from geo_assets.model.period import Periods
from geo_assets.model.plugin import Variable
from geo_assets.model.recipe import CubeRecipe, GridRecipe, MaskRecipe
from geo_assets.model.scene import Scene
from geo_assets.model.sensor import OffsetDecision
from geo_assets.project import LoadedProject, load_project
from geo_assets.readers import native
from geo_assets.registry import load
from geo_assets.stores import _layout
from geo_assets.stores import zarr as zarr_store
from geo_assets.tasks import block, cells, clear, composite, search
from geo_assets.testing.plain_run import run_plain, stored_pixels
from geo_assets.testing.world import COLLECTION, SampleWorld
from geo_assets_tests.tasks import oracle

Patch = pytest.MonkeyPatch
Check = Callable[[Path, Path], None]
WORLD = SampleWorld(
    months=("2024-06",), size_px=(128, 256), overlap_px=64, days=4, internal_px=128, with_broken=False, with_duplicate=False
)  # fmt: skip
MONTH = WORLD.months[0]
INSIDE = (512_000 - 1024, 5_232_640 - 512, 512_000 + 1024, 5_232_640 + 512)  # of the area, in the world's CRS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("world")
    WORLD.write(path)
    return path


def project(
    home: Path, world: Path, bbox: tuple[float, ...], *, mask: dict[str, Any] | None = None, **cube: Any
) -> LoadedProject:
    document = {
        "name": "trap", "aois": {"a": {"bbox": list(bbox)}}, "months": {"start": MONTH, "end": MONTH}, "storage": "./data",
        "catalog": {"kind": "static", "path": str(world / "catalog.json")}, "grid": {"kind": "lonlat", "step": "1/500", "clip": True},
        "cube": {"crs": "EPSG:32633", "block_px": 64, "chunk_px": 32, "region_blocks": 12, "bands": ["red", "nir"], **cube}, "mask": mask or {},
    }  # fmt: skip
    home.mkdir(parents=True, exist_ok=True)
    (home / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return load_project(home / "geo_assets.yaml")


def composite_is_right(
    home: Path, folder: Path, *, mask: dict[str, Any] | None = None, keep: tuple[int, ...] | None = oracle.KEEP
) -> None:
    """Every pixel of the sample world's middle against the plain computation."""
    lonlat = reproject(shapely.box(*INSIDE), WORLD.crs, "EPSG:4326").bounds
    loaded = project(home, folder, lonlat, mask=mask)
    run = run_plain(loaded)
    assert [r.status for r in run.receipts.values()] == ["ok"]
    found = stored_pixels(loaded, "utm33n", MONTH, INSIDE)
    assert found.values["red"].shape == (102, 204)
    stack = oracle.days(oracle.read_items(folder / COLLECTION), found.x, found.y, WORLD.crs, ["red", "nir"], keep=keep)
    assert np.isnan(stack).any()
    assert np.array_equal(found.values["n_clear"], oracle.n_clear(stack))
    for name, layers in zip(("red", "nir"), stack, strict=True):
        assert np.array_equal(found.values[name], oracle.reduced(layers, oracle.median))


# 0.2 Major TOM cells of an area of several parts


def parts_of_an_area_all_get_cells(home: Path, folder: Path) -> None:
    pytest.importorskip("majortom_eg")
    west, east = shapely.box(15.0, 47.0, 15.01, 47.01), shapely.box(15.2, 47.1, 15.21, 47.11)
    spec = GridRecipe(kind="majortom-eg", size_m=512)
    try:
        both = cells_of(load("grids", "majortom-eg"), shapely.MultiPolygon([west, east]), spec)
    except TypeError as e:
        raise AssertionError("an area of several parts is refused") from e
    alone = [set(cells_of(load("grids", "majortom-eg"), part, spec)["cell_id"]) for part in (west, east)]
    assert min(map(len, alone)) > 3
    assert set(both["cell_id"]) == alone[0] | alone[1]
    assert both["cell_id"].str.fullmatch("[0-9b-hjkmnp-z]{11}").all()


def area_goes_to_the_package_as_it_is(patch: Patch) -> None:
    def refuse(aoi: Any, size: Any) -> list[Any]:
        if isinstance(aoi, shapely.MultiPolygon):
            raise TypeError("argument 'polygon': 'MultiPolygon' object has no attribute 'exterior'")
        return [aoi]

    patch.setattr(majortom_eg, "subdivide", refuse)


# 0.3 Square cells named by their place in the list


def squares_keep_their_name_and_shape(home: Path, folder: Path) -> None:
    spec = GridRecipe(kind="square", size_m=1000, crs="EPSG:32633")
    small, large = shapely.box(15.05, 47.0, 15.08, 47.02), shapely.box(15.0, 46.98, 15.1, 47.05)
    one, other = (cells_of(load("grids", "square"), a, spec).set_index("cell_id") for a in (small, large))
    assert set(one.index) <= set(other.index)
    for name, row in one.iterrows():
        assert shapely.equals_exact(row.geometry, other.geometry[name], 1e-9)
        west, south, east, north = reproject(row.geometry, "EPSG:4326", "EPSG:32633").bounds
        assert (east - west, north - south) == pytest.approx((1000, 1000), abs=1)


def squares_are_counted(patch: Patch) -> None:
    plain = type(square.PLUGIN).cells

    def numbered(self: Any, aoi: Any, spec: Any) -> Any:
        table = plain(self, aoi, spec)
        return table.assign(cell_id=[f"square_{n}" for n in range(len(table))])

    patch.setattr(type(square.PLUGIN), "cells", numbered)


def squares_are_cut(patch: Patch) -> None:
    plain = type(square.PLUGIN).cells
    patch.setattr(
        type(square.PLUGIN), "cells", lambda self, aoi, spec: cell_model.clip_cells(plain(self, aoi, spec), aoi)
    )


# 0.4 Custom cells in another CRS


def utm_cells(area: gpd.GeoDataFrame, spec: GridRecipe) -> gpd.GeoDataFrame:
    west, south, east, north = area.to_crs("EPSG:32633").total_bounds
    return gpd.GeoDataFrame({"cell_id": ["one"]}, geometry=[shapely.box(west, south, east, north)], crs="EPSG:32633")


def custom_cells_are_reprojected(home: Path, folder: Path) -> None:
    area = shapely.box(15.0, 47.0, 15.02, 47.02)
    try:
        table = cells_of(load("grids", "custom"), area, GridRecipe(kind="custom", callable=f"{__name__}:utm_cells"))
    except ConfigError as e:
        raise AssertionError("cells in metres were taken for degrees") from e
    assert table.crs == "EPSG:4326"
    assert table.geometry[0].buffer(1e-6).contains(area)
    assert table.geometry[0].area < 1.1 * area.area


def crs_is_overwritten(patch: Patch) -> None:
    from geo_assets.grids import custom

    plain = custom.table_of_answer
    patch.setattr(
        custom,
        "table_of_answer",
        lambda answer, *, where: plain(answer, where=where).set_crs("EPSG:4326", allow_override=True),
    )


# 0.5, 0.7 Blocks of the cells, not of the box around them


def blocks_are_those_of_the_cells(home: Path, folder: Path) -> None:
    cube = CubeRecipe(crs="EPSG:32633", resolution="10", block_px=64, chunk_px=32, region_blocks=20)
    corners = [shapely.box(500_000 + x, 5_200_000 + y, 500_300 + x, 5_200_300 + y) for x, y in ((0, 0), (9_000, 9_000))]
    table = gpd.GeoDataFrame(
        {"cell_id": ["a", "b"]}, geometry=[reproject(c, "EPSG:32633", "EPSG:4326") for c in corners], crs="EPSG:4326"
    )
    grid = cube.pixel_grid("EPSG:32633")
    region = grid.region_of(load_block(grid, 500_000, 5_200_000))
    plans = cells.plan_blocks(table, region, grid)
    for plan in plans:
        box = shapely.box(*grid.block_geobox(plan.block).bounds)
        assert any(shapely.intersects(box, c) for c in corners)
        assert len(plan.chunks) <= 4
    assert {c for p in plans for c in p.cells} == {"a", "b"}


def load_block(grid: PixelGrid, x: float, y: float) -> Any:
    row, col = grid.locate(x, y, size=grid.block_size)
    return cells.Block(int(row), int(col))


def blocks_of_the_box(patch: Patch) -> None:
    plain = cells.plan_blocks

    def boxed(table: gpd.GeoDataFrame, region: Any, grid: Any) -> Any:
        box = gpd.GeoDataFrame({"cell_id": ["all"]}, geometry=[shapely.box(*table.total_bounds)], crs=table.crs)
        return plain(box, region, grid)

    patch.setattr(cells, "plan_blocks", boxed)


# 0.6 Chunks and fill of an array of any name


def stacked_arrays_have_chunks_and_fill(home: Path, folder: Path) -> None:
    for name in ("rgb_median", "composite", "any_name_1"):
        cube = CubeRecipe(
            crs="EPSG:4326", resolution="1/3600", layout="stacked", varname=name, block_px=64, chunk_px=32
        )
        uri = str(home / name)
        zarr_store.PLUGIN.open(uri).prepare(
            {"geo_assets": {"format": 1}}, "epsg4326", cube.pixel_grid("EPSG:4326"), Periods.build("2024-01", "2024-03", 1, today=dt.date(2024, 5, 1)),
            composite.variables(load("sensors", "sentinel-2-l2a"), cube),
        )  # fmt: skip
        array = zarr.open_group(uri, mode="r")["epsg4326"][name]
        assert array.shape == (3, *cube.pixel_grid("EPSG:4326").array_geobox().shape, 4)
        assert (array.shards, array.chunks) == ((1, 64, 64, 4), (1, 32, 32, 4))
        assert (array.fill_value, array.dtype, array.attrs["_FillValue"]) == (0, np.uint16, 0)


def only_rgb_median_is_encoded(patch: Patch) -> None:
    plain = _layout._create_variable

    def forgetful(group: zarr.Group, variable: Variable, grid: PixelGrid, times: int) -> None:
        if variable.name == "rgb_median":
            return plain(group, variable, grid, times)
        rows, cols = grid.array_geobox().shape
        depth = (len(variable.bands),) if variable.bands else ()
        group.create_array(
            variable.name, shape=(times, rows, cols, *depth), dtype=variable.dtype, attributes=dict(variable.attrs)
        )
        return None

    patch.setattr(_layout, "_create_variable", forgetful)


# 0.9 Classes by bilinear; the offset of the c1 collection


def classes_are_bilinear(patch: Patch) -> None:
    plain = native.NativeSession.sweep

    def worse(self: Any, layers: Any, rows: int, **more: Any) -> Any:
        mixed = [
            dataclasses.replace(a, band=dataclasses.replace(a.band, unit="1"), resampling="bilinear") for a in layers
        ]
        return plain(self, mixed, rows, **more)

    patch.setattr(native.NativeSession, "sweep", worse)


def offset_of_c1_is_taken_off(home: Path, folder: Path) -> None:
    """Items of ``sentinel-2-c1-l2a`` list an offset of -0.1, carry no flag, and their pixels still hold it."""
    facts = {"nodata": 0, "data_type": "uint16", "scale": 0.0001, "offset": -0.1}
    item = {
        "id": "S2B_T33TWN_20240602T100602_L2A", "collection": "sentinel-2-c1-l2a", "type": "Feature", "links": [], "bbox": [15, 47, 16, 48],
        "geometry": shapely.geometry.mapping(shapely.box(15, 47, 16, 48)),
        "properties": {"datetime": "2024-06-02T10:06:02Z", "s2:processing_baseline": "05.10", "proj:epsg": 32633, "eo:cloud_cover": 1.0},
        "assets": {b: {"href": f"/x/{b}.tif", "raster:bands": [facts]} for b in ("red", "green", "blue", "nir", "scl")},
    }  # fmt: skip
    table = search.decide([item], load("sensors", "sentinel-2-l2a"))
    assert table["offset"].tolist() == [-1000]


def offset_needs_no_care(patch: Patch) -> None:
    plain = search.decide

    def careless(items: Any, sensor: Any, **options: Any) -> Any:
        return plain(items, dataclasses.replace(sensor, dn_offset=lambda _: OffsetDecision(0, "never")), **options)

    patch.setattr(search, "decide", careless)


# 0.10 Nodata in the statistic; the clean-up of the cloud mask


def unmasked_composite_is_right(home: Path, folder: Path) -> None:
    composite_is_right(home, folder, mask={"kind": "none"}, keep=None)


def nodata_enters_the_statistic(patch: Patch) -> None:
    patch.setattr(
        block, "statistic", lambda stack, name, *, percentile: np.rint(np.median(stack, axis=0)).astype(np.uint16)
    )


def class_0_counts_as_clear(patch: Patch) -> None:
    plain = clear.clear_from_classes

    def trusting(classes: Any, keep: Any, **sizes: int) -> Any:
        return plain(classes, keep, **sizes) | (classes == 0)

    patch.setattr(clear, "clear_from_classes", trusting)
    nodata_enters_the_statistic(patch)


def strict_mask_is_cleaned_by_disks(home: Path, folder: Path) -> None:
    strict = MaskRecipe(preset="strict")
    assert (strict.keep, strict.close_px, strict.open_px) == ([4, 5], 5, 5)
    noise = np.random.default_rng(3).random((120, 120))
    wide = np.where(noise < 0.02, 9, np.where(noise < 0.03, 6, 4)).astype(np.uint8)
    wide[40:70, 50:75] = 8
    clear = eo_mask.clear_from_classes(wide, strict.keep, close_px=strict.close_px, open_px=strict.open_px)[
        20:-20, 20:-20
    ]
    assert 0.05 < clear.mean() < 0.95
    assert np.array_equal(clear, ~oracle.cleaned(~np.isin(wide, (4, 5)), 5, 5)[20:-20, 20:-20])


def mask_is_not_cleaned(patch: Patch) -> None:
    patch.setattr(eo_mask, "_half_widths", lambda radius: np.zeros(1, np.int64))


def disks_are_squares(patch: Patch) -> None:
    patch.setattr(eo_mask, "_disk", lambda radius: np.ones((2 * radius + 1, 2 * radius + 1), bool))


def cleaned_mask_knows_its_surroundings(home: Path, folder: Path) -> None:
    """A composite with clean-up, made in small chunks, against the mask cleaned as a whole."""
    loaded = project(
        home,
        folder,
        reproject(shapely.box(*INSIDE), WORLD.crs, "EPSG:4326").bounds,
        mask={"keep": [4, 5, 6], "close_px": 3, "open_px": 2},
    )
    run_plain(loaded)
    found = stored_pixels(loaded, "utm33n", MONTH, INSIDE)
    x, y = (
        np.concatenate([v[0] - s * 10.0 * np.arange(12, 0, -1), v, v[-1] + s * 10.0 * np.arange(1, 13)])
        for v, s in ((found.x, 1), (found.y, -1))
    )
    stack: dict[str, np.ndarray] = {}
    for item in oracle.read_items(folder / COLLECTION):
        classes = oracle.nearest(item["assets"]["scl"]["href"], x, y, WORLD.crs)
        clear = ~oracle.cleaned(~np.isin(classes, (4, 5, 6)), 3, 2) & (classes != 0)
        day = stack.setdefault(oracle.solar_day(item), np.zeros(clear.shape, bool))
        observed = (oracle.nearest(item["assets"][b]["href"], x, y, WORLD.crs) > 0 for b in ("red", "nir"))
        day |= clear & np.logical_and.reduce(list(observed))
    assert np.array_equal(found.values["n_clear"], np.sum(list(stack.values()), axis=0)[12:-12, 12:-12])


def halo_is_forgotten(patch: Patch) -> None:
    patch.setattr(block, "halo_px", lambda close, open_: 0)


# 0.12 Where windows at the edge are written


def code(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A number that tells each pixel of 1/3600 degree from its neighbours far around, dims (y, x)."""
    col, row = np.floor((x + 180) * 3600).astype(np.int64), np.floor((90 - y) * 3600).astype(np.int64)
    return ((row[:, None] * 251 + col[None, :] * 17) % 65_521 + 1).astype(np.uint16)


def every_block_lies_in_its_place(home: Path, folder: Path) -> None:
    """An area of 7056 x 8280 pixels in blocks of 1200, at a fifteenth of the size: 6 x 7 blocks, those at the edge in part."""
    side, cols, rows = 80, 470, 552
    left, top = (-180 + side * 4800 / 3600), (90 - side * 2040 / 3600)
    bbox = (left, top - (rows - 0.5) / 3600, left + (cols - 0.5) / 3600, top)
    loaded = project(
        home,
        folder,
        bbox,
        crs="EPSG:4326",
        resolution="1/3600",
        block_px=side,
        chunk_px=8,
        region_blocks=3,
        bands=["red"],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block.BlockPixels, "bands", coded)
        patch.setattr(composite.Footprints, "reaching", lambda self, box: (SCENE,))
        try:
            run = run_plain(loaded)
        except StoreError as e:  # icechunk notices two tasks that write one chunk
            raise AssertionError("blocks overlap") from e
    assert {b.cause for r in run.receipts.values() for b in r.blocks} == {None}
    assert len(run.receipts) == 6
    assert sum(len(r.blocks) for r in run.receipts.values()) == 42
    edge = 2 * side / 3600
    found = stored_pixels(loaded, "epsg4326", MONTH, (bbox[0] - edge, bbox[1] - edge, bbox[2] + edge, bbox[3] + edge))
    made = np.ix_((found.y < top) & (found.y > top - 552 / 3600), (found.x > left) & (found.x < left + 472 / 3600))
    wanted = np.zeros_like(found.values["red"])
    wanted[made] = code(found.x, found.y)[made]
    assert (wanted > 0).sum() == 552 * 472
    for name in ("red", "n_clear"):
        assert np.array_equal(found.values[name], wanted)


SCENE = Scene(
    "one",
    COLLECTION,
    "sentinel-2-l2a",
    "2024-06-02T10:06:02Z",
    "2024-06-02",
    (),
    0,
    "05.10",
    shapely.to_wkb(shapely.box(0, 0, 1, 1)),
)


def coded(self: block.BlockPixels) -> Iterator[tuple[str, np.ndarray]]:
    """Instead of a composite: each pixel's own number."""
    values = code(*self._box.centers())
    yield "red", values
    yield "n_clear", values


def places_count_in_windows(patch: Patch) -> None:
    """A block lies at its number times the size of its window."""
    plain = composite._Sink.__init__

    def faulty(self: Any, task: Any, window: Any, wanted: Any, writer: Any) -> None:
        plain(self, task, window, wanted, writer)
        region = task.grid.region_px

        def moved(place: slice, size: int) -> slice:
            home = place.start - place.start % region
            start = home + (place.start - home) // task.grid.block_px * size
            return slice(start, start + place.stop - place.start)

        self._place = moved(self._place[0], window[2]), moved(self._place[1], window[3])

    patch.setattr(composite._Sink, "__init__", faulty)


def rows_count_upward(patch: Patch) -> None:
    plain = composite._Sink.__init__

    def faulty(self: Any, task: Any, window: Any, wanted: Any, writer: Any) -> None:
        plain(self, task, window, wanted, writer)
        self._row = task.grid.block_px - window[2] - window[0]

    patch.setattr(composite._Sink, "__init__", faulty)


TRAPS: dict[str, tuple[Check, tuple[Callable[[Patch], None], ...]]] = {
    "0.2 areas of several parts": (parts_of_an_area_all_get_cells, (area_goes_to_the_package_as_it_is,)),
    "0.3 names of squares": (squares_keep_their_name_and_shape, (squares_are_counted, squares_are_cut)),
    "0.4 CRS of custom cells": (custom_cells_are_reprojected, (crs_is_overwritten,)),
    "0.5 box around all cells": (blocks_are_those_of_the_cells, (blocks_of_the_box,)),
    "0.6 encoding by name": (stacked_arrays_have_chunks_and_fill, (only_rgb_median_is_encoded,)),
    "0.9 bilinear classes": (composite_is_right, (classes_are_bilinear,)),
    "0.9 offset in pixels": (composite_is_right, (offset_needs_no_care,)),
    "0.9 offset of c1": (offset_of_c1_is_taken_off, (offset_needs_no_care,)),
    "0.10 nodata without a mask": (unmasked_composite_is_right, (nodata_enters_the_statistic,)),
    "0.10 nodata with a mask": (composite_is_right, (nodata_enters_the_statistic, class_0_counts_as_clear)),
    "0.10 clean-up": (strict_mask_is_cleaned_by_disks, (mask_is_not_cleaned, disks_are_squares)),
    "0.10 clean-up at edges": (cleaned_mask_knows_its_surroundings, (halo_is_forgotten, mask_is_not_cleaned)),
    "0.12 places of windows": (every_block_lies_in_its_place, (places_count_in_windows, rows_count_upward)),
}  # fmt: skip


@pytest.mark.heavy
@pytest.mark.parametrize("trap", TRAPS)
def test_product_when_nothing_is_wrong_then_it_avoids_the_trap(trap, tmp_path, folder):
    TRAPS[trap][0](tmp_path, folder)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("trap", "fault"), [pytest.param(t, f, id=f"{t}: {f.__name__}") for t, (_, faults) in TRAPS.items() for f in faults]
)
def test_check_when_the_fault_is_put_back_then_it_fails(trap, fault, tmp_path, folder, monkeypatch):
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        TRAPS[trap][0](tmp_path, folder)
