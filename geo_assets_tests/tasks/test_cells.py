import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_assets.eo.aoi import Aoi
from geo_assets.errors import ConfigError, SourceError
from geo_assets.model.crs import reproject
from geo_assets.model.geometry import Block, PixelGrid, Region
from geo_assets.model.recipe import CubeRecipe, GridRecipe
from geo_assets.tasks.cells import cells_version, cut, plan_blocks, read_cells, region_grid, write_cells

SQUARES = GridRecipe(kind="square", size_m=1000, crs="EPSG:32633")


def aoi(*boxes: tuple[float, float, float, float], name: str = "a") -> Aoi:
    return Aoi(name, shapely.MultiPolygon([shapely.box(*b) for b in boxes]), ())


def table(*shapes: shapely.Geometry, crs: str) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(
        {"cell_id": [f"c{i}" for i in range(len(shapes))]},
        geometry=[reproject(s, crs, "EPSG:4326") for s in shapes],
        crs="EPSG:4326",
    )


def chunk_box(grid: PixelGrid, block: Block, row: int, col: int) -> shapely.Polygon:
    n = grid.chunk_px
    return shapely.box(*grid.block_geobox(block).window(row * n, col * n, n, n).bounds)


@settings(max_examples=40)
@given(
    st.sampled_from([("EPSG:32633", "10"), ("EPSG:4326", "1/3600")]),
    st.lists(
        st.tuples(st.floats(0, 0.04), st.floats(0, 0.03), st.floats(0.0005, 0.01), st.floats(0.0005, 0.01)),
        min_size=1,
        max_size=4,
    ),
)
def test_plan_blocks_when_cells_are_any_then_the_chunks_are_those_that_they_overlap(space, spots):
    crs, resolution = space
    cube = CubeRecipe(crs=crs, resolution=resolution, block_px=64, chunk_px=16, region_blocks=4)
    grid = cube.pixel_grid(crs)
    shapes = [shapely.box(15 + x, 47 + y, 15 + x + w, 47 + y + h) for x, y, w, h in spots]
    cells = table(*shapes, crs="EPSG:4326")
    projected = [reproject(shapely.segmentize(s, 0.05), "EPSG:4326", crs) for s in shapes]
    rows, cols = grid.locate(*shapely.get_coordinates(projected).T, size=grid.region_size)
    covered = []
    for r in range(rows.min(), rows.max() + 1):
        for c in range(cols.min(), cols.max() + 1):
            for plan in plan_blocks(cells, Region(grid.group, r, c), grid):
                assert grid.region_of(plan.block) == Region(grid.group, r, c)
                boxes = [chunk_box(grid, plan.block, *chunk) for chunk in plan.chunks]
                touched = {f"c{i}" for i, p in enumerate(projected) if any(b.intersects(p) for b in boxes)}
                assert set(plan.cells) <= touched
                assert all(any(b.intersects(p) for p in projected) for b in boxes)
                covered += boxes
    whole = shapely.union_all(projected)
    assert whole.difference(shapely.union_all(covered)).area <= 1e-6 * whole.area
    assert shapely.union_all(covered).area == pytest.approx(sum(b.area for b in covered))  # none twice


def test_plan_blocks_when_a_cell_shares_only_an_edge_then_the_chunk_is_not_made():
    grid = CubeRecipe(crs="EPSG:32633", block_px=64, chunk_px=16, region_blocks=4).pixel_grid("EPSG:32633")
    one = table(shapely.box(512_000, 5_232_640, 512_160, 5_232_800), crs="EPSG:32633")  # exactly one chunk
    (plan,) = plan_blocks(one, grid.region_of(Block(8176, 800)), grid)
    assert (plan.block, plan.chunks) == (Block(8176, 800), ((3, 0),))


def test_plan_blocks_when_rows_count_southward_then_chunks_do_too():
    grid = CubeRecipe(crs="EPSG:4326", resolution="1/3600", block_px=64, chunk_px=16, region_blocks=4).pixel_grid(
        "EPSG:4326"
    )
    block = grid.block_geobox(Block(2400, 10_000))
    one = table(shapely.box(*block.window(16, 32, 16, 16).bounds), crs="EPSG:4326")
    (plan,) = plan_blocks(one, grid.region_of(Block(2400, 10_000)), grid)
    assert (plan.block, plan.chunks) == (Block(2400, 10_000), ((1, 2),))


def test_plan_blocks_when_there_are_no_cells_then_there_is_nothing():
    grid = CubeRecipe(crs="EPSG:32633").pixel_grid("EPSG:32633")
    assert plan_blocks(table(crs="EPSG:32633"), Region("utm33n", 51, 5), grid) == []


def test_cut_when_cells_lie_on_a_border_of_regions_then_all_list_them_and_one_owns_them():
    cube = CubeRecipe(crs="EPSG:32633", block_px=64, chunk_px=16, region_blocks=4)  # regions of 2560 m
    found = cut([aoi((15.1, 47.2, 15.2, 47.26))], SQUARES, cube)
    assert all(row.region in row.regions for row in found.cells.itertuples())
    assert (found.cells["regions"].str.len() > 1).any()
    assert set(found.cells["regions"].explode()) == set(found.regions)
    counted = sum(len(found.of_region(r)) for r in found.regions)
    assert counted == found.cells["regions"].str.len().sum()
    for key in found.regions:
        box = shapely.box(*region_grid(key, cube).region_geobox(Region.parse(key)).bounds)
        for row in found.of_region(key).itertuples():
            assert reproject(row.geometry, "EPSG:4326", "EPSG:32633").intersection(box).area > 0


def test_cut_when_two_areas_overlap_then_each_cell_is_there_once():
    cube = CubeRecipe(crs="EPSG:32633")
    both = cut([aoi((15.1, 47.2, 15.2, 47.26)), aoi((15.15, 47.22, 15.25, 47.3), name="b")], SQUARES, cube)
    assert both.cells["cell_id"].is_unique
    alone = cut([aoi((15.1, 47.2, 15.2, 47.26))], SQUARES, cube)
    assert set(alone.cells["cell_id"]) < set(both.cells["cell_id"])


def test_cut_when_cells_cross_a_utm_border_then_both_zones_make_them():
    cube = CubeRecipe(crs="utm")
    found = cut([aoi((17.98, 47.0, 18.02, 47.02))], GridRecipe(kind="lonlat", step="1/40"), cube)
    assert {r.split("_")[0] for r in found.regions} == {"utm33n", "utm34n"}
    border = found.cells[[g.bounds[0] < 18 < g.bounds[2] for g in found.cells.geometry]]
    assert all({r.split("_")[0] for r in row} == {"utm33n", "utm34n"} for row in border["regions"])
    for key in found.regions:  # a block on the border is whole in either zone
        grid = region_grid(key, cube)
        (plan, *_) = plan_blocks(found.of_region(key), Region.parse(key), grid)
        part = shapely.union_all(found.of_region(key).geometry.to_numpy())
        boxes = shapely.union_all([chunk_box(grid, plan.block, *c) for c in plan.chunks])
        assert reproject(part, "EPSG:4326", grid.crs).difference(boxes).area < 1


def test_cut_when_the_area_lies_outside_the_crs_then_it_is_refused():
    with pytest.raises(ConfigError, match="outside the area of use"):
        cut([aoi((-70.0, -30.0, -69.9, -29.9))], GridRecipe(kind="lonlat", step="1/40"), CubeRecipe(crs="EPSG:3035"))


def test_region_grid_when_the_region_is_of_another_crs_then_it_is_refused():
    with pytest.raises(ConfigError, match="belongs to EPSG:32633"):
        region_grid("utm33n_r51_c5", CubeRecipe(crs="EPSG:3035"))


def test_cells_when_written_then_they_come_back_and_their_version_is_the_same():
    found = cut([aoi((15.1, 47.2, 15.13, 47.22))], SQUARES, CubeRecipe(crs="EPSG:32633")).cells
    back = read_cells(write_cells(found))
    assert back["cell_id"].tolist() == found["cell_id"].tolist()
    assert [list(r) for r in back["regions"]] == [list(r) for r in found["regions"]]
    assert back.geometry.geom_equals_exact(found.geometry, 0).all()
    assert cells_version(back) == cells_version(found)
    shuffled = found.iloc[np.random.default_rng(1).permutation(len(found))]
    assert cells_version(shuffled) == cells_version(found)
    assert cells_version(found.iloc[1:]) != cells_version(found)


def test_owner_when_a_cell_crosses_the_antimeridian_then_it_is_the_region_at_its_centre_not_at_longitude_0():
    area = Aoi(
        "a", shapely.MultiPolygon([shapely.box(179.95, 67.0, 180, 67.03), shapely.box(-180, 67.0, -179.95, 67.03)])
    )
    cube = CubeRecipe(crs="EPSG:4326", resolution="1/3600")
    table = cut([area], GridRecipe(kind="square", size_m=2560, crs="EPSG:3413"), cube)
    assert len(table.cells) >= 4
    columns = {Region.parse(key).col for key in table.regions}
    assert columns == {0, 359}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["majortom", "square", "geohash", "lonlat"])
@pytest.mark.parametrize(("crs", "reason"), [("utm", "UTM ends at 80 S and 84 N"), ("EPSG:3035", "area of use")])
def test_cut_when_the_cube_cannot_show_the_area_then_it_is_refused_before_cells_are_made(kind, crs, reason):
    sizes = (
        {"size_m": 10_240}
        if kind in ("majortom", "square")
        else {"precision": 5}
        if kind == "geohash"
        else {"step": "1/10"}
    )
    world = aoi((-180, -90, 180, 90))
    with pytest.raises(ConfigError, match=reason):
        cut([world], GridRecipe(kind=kind, **sizes), CubeRecipe(crs=crs))


def test_cut_when_a_table_names_the_cells_then_the_area_may_reach_beyond(tmp_path):
    table(shapely.box(15, 47, 15.1, 47.1), crs="EPSG:4326").to_file(tmp_path / "t.gpkg")
    found = cut(
        [aoi((-180, -90, 180, 90))], GridRecipe(kind="tiles", path=str(tmp_path / "t.gpkg")), CubeRecipe(crs="utm")
    )
    assert list(found.cells["cell_id"]) == ["c0"]


def test_cut_when_the_grid_ends_before_the_area_does_then_its_cells_count():
    recipe = GridRecipe(kind="majortom", size_m=10_000)
    with pytest.warns(UserWarning, match="the rest of the area has no cells"):
        found = cut([aoi((10, 84.5, 11, 89))], recipe, CubeRecipe(crs="EPSG:3413"))
    assert len(found.cells)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not a table"])
def test_read_cells_when_it_is_no_table_then_typed_error(content):
    with pytest.raises(SourceError, match="not a cell table"):
        read_cells(content)
