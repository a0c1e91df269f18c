import datetime as dt
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from rio_cogeo import cogeo

import geo_assets
from geo_assets.doors import export
from geo_assets.doors.export import export_cog
from geo_assets.errors import ConfigError, StoreError
from geo_assets.model.geometry import Block, Region
from geo_assets.model.receipt import BlockReceipt, PartitionReceipt
from geo_assets.project import LoadedProject, load_project
from geo_assets.registry import load
from geo_assets.tasks.composite import variables
from geo_assets.tasks.layout import ensure_layout

MONTHS = ["2024-01", "2024-02"]
BANDS = ["nir", "red"]


@dataclass
class World:
    """A cube with random pixels, filled without any scene."""

    loaded: LoadedProject
    made: dict[tuple[str, str], dict[Block, list[list[int]]]] = field(default_factory=dict)

    def fill(self, region: str, month: str, blocks: dict[Block, list[list[int]]], seed: int = 1) -> None:
        """Write the chunks of some blocks, and the receipt of the partition."""
        loaded, key = self.loaded, Region.parse(region)
        grid = loaded.project.cube.pixel_grid(
            f"EPSG:{'4326' if key.group == 'epsg4326' else 32600 + int(key.group[3:5])}"
        )
        cube, periods = loaded.cube, loaded.periods()
        ensure_layout(cube, loaded.project, loaded.sensor, grid, periods)
        session = cube.session(grid.group)
        writer = load("stores", loaded.project.cube.store).writer(session.handle())
        rng, size = np.random.default_rng(seed), grid.chunk_px
        for block, chunks in blocks.items():
            rows, cols = grid.array_slices(grid.block_geobox(block))
            for variable in variables(loaded.sensor, loaded.project.cube):
                depth = (len(variable.bands),) if variable.bands else ()
                values = np.zeros((grid.block_px, grid.block_px, *depth), "uint16")
                for row, col in chunks:
                    part = rng.integers(0, 9_000, (size, size, *depth), "uint16")
                    values[row * size : (row + 1) * size, col * size : (col + 1) * size] = np.where(part < 500, 0, part)
                writer.write(variable.name, periods.index(month), rows, cols, values)
        snapshot = session.commit([writer.changes()], "made", {})
        receipts = [BlockReceipt(row=b.row, col=b.col, key="k", chunks=c) for b, c in blocks.items()]
        loaded.storage.write_receipt(
            PartitionReceipt(
                product="composite",
                region=region,
                month=month,
                status="ok",
                data_version=f"v{seed}",
                recipe_hash="abc",
                snapshot=snapshot,
                made_at=dt.datetime(2024, 3, 1, tzinfo=dt.UTC),
                blocks=receipts,
            )
        )


def make(tmp_path: Path, **cube: object) -> World:
    small = {"block_px": 64, "chunk_px": 16, "region_blocks": 2, "bands": BANDS, **cube}
    document = {
        "name": "tyrol",
        "aois": {"a": {"bbox": [11, 47, 12, 48]}},
        "months": {"start": MONTHS[0], "end": MONTHS[-1]},
        "cube": small,
    }
    (tmp_path / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return World(load_project(tmp_path / "geo_assets.yaml"))


def check_pixels(file: Path, world: World, region: str, month: str, names: list[str]) -> None:
    """Every pixel of a file is the cube's pixel at the same centre, and all that the cube has of the region is in it."""
    group = Region.parse(region).group
    raw = geo_assets.open(world.loaded.project.storage).cube(group=group)
    varname = world.loaded.project.cube.varname
    with rasterio.open(file) as got:
        rows, cols = np.meshgrid(np.arange(got.height), np.arange(got.width), indexing="ij")
        xs, ys = rasterio.transform.xy(got.transform, rows.ravel(), cols.ravel())
        xs, ys = np.reshape(xs, rows.shape)[0], np.reshape(ys, rows.shape)[:, 0]
        for number, name in enumerate(names, 1):
            array = raw[name] if name in raw else raw[varname].sel(band=name)
            array = array.sel(time=f"{month}-01")
            half = abs(got.transform.a) / 100
            there = array.sel(x=xs, y=ys, method="nearest", tolerance=half).to_numpy()
            stored = np.nan_to_num(there / 0.0001).round() if name != "n_clear" else there
            np.testing.assert_array_equal(got.read(number), stored)
            grid = world.loaded.project.cube.pixel_grid(str(got.crs))
            west, south, east, north = grid.region_geobox(Region.parse(region)).bounds
            whole = array.sel(x=slice(west, east), y=slice(north, south))
            assert np.count_nonzero(np.nan_to_num(whole)) == np.count_nonzero(stored)


@pytest.mark.parametrize("store", ["icechunk", "zarr"])
@pytest.mark.parametrize("layout", ["bands", "stacked"])
def test_export_when_cube_is_projected_then_pixels_tags_and_names_are_right(tmp_path, layout, store):
    world = make(tmp_path, layout=layout, store=store)
    region = "utm32n_r4100_c500"
    world.fill(region, "2024-02", {Block(8200, 1001): [[3, 0]], Block(8201, 1000): [[1, 2], [3, 3]]})
    files = export_cog(world.loaded, tmp_path / "out")
    assert [f.name for f in files] == [f"tyrol_{region}_2024-02.tif", f"tyrol_{region}_2024-02_n_clear.tif"]
    assert sorted(files) == sorted((tmp_path / "out").iterdir())
    check_pixels(files[0], world, region, "2024-02", BANDS)
    check_pixels(files[1], world, region, "2024-02", ["n_clear"])
    with rasterio.open(files[0]) as got:
        assert got.descriptions == ("nir", "red")
        assert (got.scales, got.offsets, got.nodata) == ((0.0001,) * 2, (0.0,) * 2, 0)
        assert got.dtypes == ("uint16", "uint16")
        assert [c.name for c in got.colorinterp] == ["nir", "red"]
        assert got.crs.to_epsg() == 32632
        # chunk rows 1 to 3 of the upper block and all four of the lower, columns 2 and 3 of the left and 0 of the right
        assert got.shape == (7 * 16, 3 * 16)
        assert (got.transform.c, got.transform.f) == (1000 * 640 + 2 * 160, 8202 * 640 - 160)
        tags = got.tags()
        assert tags["GEO_ASSETS_REGION"] == region
        assert tags["GEO_ASSETS_MONTH"] == "2024-02"
        assert tags["GEO_ASSETS_RECIPE_HASH"] == "abc"
        assert bool(tags.get("GEO_ASSETS_SNAPSHOT")) == (store == "icechunk")
    with rasterio.open(files[1]) as got:
        assert (got.descriptions, got.nodata, got.units) == (("n_clear",), None, ("solar days",))


def test_export_when_crs_is_geographic_then_edges_are_half_a_pixel_from_centres(tmp_path):
    world = make(tmp_path, crs="EPSG:4326", resolution="1/3600", block_px=60, chunk_px=20)
    grid = world.loaded.project.cube.pixel_grid("EPSG:4326")
    rows, cols = grid.locate([11.41], [47.26], size=grid.block_size)
    block = Block(int(rows[0]), int(cols[0]))
    world.fill(grid.region_of(block).key, "2024-01", {block: [[0, 1], [2, 2]]})
    files = export_cog(world.loaded, tmp_path / "out")
    check_pixels(files[0], world, grid.region_of(block).key, "2024-01", BANDS)
    with rasterio.open(files[0]) as got:
        assert got.crs.to_epsg() == 4326
        assert got.transform.a == pytest.approx(1 / 3600, rel=1e-12)
        assert (got.transform.c + 180) * 3600 == pytest.approx(block.col * 60 + 20, abs=1e-6)
        assert (90 - got.transform.f) * 3600 == pytest.approx(block.row * 60, abs=1e-6)


def test_export_when_there_are_several_groups_months_and_regions_then_one_file_each_and_choices_hold(tmp_path):
    world = make(tmp_path)
    for region, block in (("utm32n_r4100_c500", Block(8200, 1000)), ("utm33n_r4100_c100", Block(8200, 200))):
        for seed, month in enumerate(MONTHS):
            world.fill(region, month, {block: [[0, 0]]}, seed)
    everything = export_cog(world.loaded, tmp_path / "all")
    assert len(everything) == 8
    for file in everything[::2]:
        region, month = file.stem.removeprefix("tyrol_").rsplit("_", 1)
        check_pixels(file, world, region, month, BANDS)
    files = export_cog(
        world.loaded, tmp_path / "one", months=["2024-02"], regions=["utm33n_r4100_c100"], bands=["red", "nir"]
    )
    assert [f.name for f in files] == [f"tyrol_utm33n_r4100_c100_2024-02{s}.tif" for s in ("", "_n_clear")]
    check_pixels(files[0], world, "utm33n_r4100_c100", "2024-02", ["red", "nir"])
    with rasterio.open(files[0]) as got:
        assert got.crs.to_epsg() == 32633


def test_export_when_region_is_large_then_it_is_a_valid_cog_whose_overviews_ignore_nodata(tmp_path):
    world = make(tmp_path, block_px=1024, chunk_px=256)
    chunks = [[r, c] for r in range(4) for c in range(4)]
    world.fill("utm32n_r250_c31", "2024-01", {Block(500, 62): chunks})
    files = export_cog(world.loaded, tmp_path / "out")
    for file in files:
        valid, errors, warned = cogeo.cog_validate(str(file), strict=True)
        assert (valid, errors, warned) == (True, [], [])
    with rasterio.open(files[0]) as got:
        assert got.overviews(1) == [2]
        full, half = got.read(1), got.read(1, out_shape=(512, 512))
        assert half.any()
        fours = full.reshape(512, 2, 512, 2).swapaxes(1, 2).reshape(512, 512, 4).astype(float)
        fours[fours == 0] = np.nan
        seen = ~np.isnan(fours).all(-1)
        assert np.abs(half[seen] - np.nanmean(fours[seen], axis=-1)).max() <= 0.51
        assert not half[~seen].any()


def test_export_when_file_is_there_then_it_is_kept_and_said_to_be_old_unless_overwritten(tmp_path, caplog):
    world, region = make(tmp_path), "utm32n_r4100_c500"
    world.fill(region, "2024-01", {Block(8200, 1000): [[0, 0]]}, seed=1)
    file = export_cog(world.loaded, tmp_path / "out")[0]
    before = file.read_bytes()
    assert export_cog(world.loaded, tmp_path / "out")[0] == file
    assert not caplog.records
    world.fill(region, "2024-01", {Block(8200, 1000): [[0, 0]]}, seed=2)
    export_cog(world.loaded, tmp_path / "out")
    assert "not of the cube as it is now" in caplog.text
    assert file.read_bytes() == before
    export_cog(world.loaded, tmp_path / "out", overwrite=True)
    check_pixels(file, world, region, "2024-01", BANDS)
    assert file.read_bytes() != before


def test_export_when_a_file_has_other_bands_then_it_is_kept_and_said(tmp_path, caplog):
    world, region = make(tmp_path), "utm32n_r4100_c500"
    world.fill(region, "2024-01", {Block(8200, 1000): [[0, 0]]})
    export_cog(world.loaded, tmp_path / "out", bands=["red"])
    export_cog(world.loaded, tmp_path / "out", bands=["red"])
    assert not caplog.records
    export_cog(world.loaded, tmp_path / "out")
    assert "is kept, but its bands are red: export with overwrite, or to another folder" in caplog.text


def test_export_when_input_is_wrong_then_the_error_lists_what_there_is(tmp_path):
    world, region = make(tmp_path), "utm32n_r4100_c500"
    with pytest.raises(ConfigError, match="run the project first"):
        export_cog(world.loaded, tmp_path / "out")
    world.fill(region, "2024-01", {Block(8200, 1000): [[0, 0]]})
    for asked, text in (
        ({"months": ["2024-02"]}, "month 2024-02 was not made; there is 2024-01"),
        ({"months": ["May"]}, "not a month"),
        ({"regions": ["utm32n_r1_c1"]}, f"there is {region}"),
        ({"regions": ["../x"]}, "not a region key"),
        ({"bands": ["swir"]}, "no band swir; it has nir, red"),
        ({"bands": ["n_clear"]}, "n_clear is no band: it is written to a file of its own"),
        ({"bands": ["red", "red"]}, "each band once"),
        ({"bands": []}, "at least one"),
    ):
        with pytest.raises(ConfigError, match=text):
            export_cog(world.loaded, tmp_path / "out", **asked)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="choose another"):
        export_cog(world.loaded, tmp_path / "file")
    assert not list((tmp_path / "out").iterdir())


def test_export_when_writing_fails_or_space_is_short_then_nothing_is_left_over(tmp_path, monkeypatch):
    world = make(tmp_path)
    world.fill("utm32n_r4100_c500", "2024-01", {Block(8200, 1000): [[0, 0]]})
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(export.shutil, "disk_usage", lambda _: real._replace(free=10))
    with pytest.raises(StoreError, match="make room"):
        export_cog(world.loaded, tmp_path / "out")
    monkeypatch.undo()

    def full(raw, part, **_):
        Path(part).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export.rasterio.shutil, "copy", full)
    with pytest.raises(StoreError, match="No space left"):
        export_cog(world.loaded, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_export_when_region_has_many_blocks_then_no_read_is_larger_than_a_block(tmp_path, monkeypatch):
    world = make(tmp_path)
    blocks = {Block(r, c): [[0, 0], [3, 3]] for r in (8200, 8201) for c in (1000, 1001)}
    world.fill("utm32n_r4100_c500", "2024-01", blocks)
    sizes, read = [], export._read
    monkeypatch.setattr(
        export, "_read", lambda *a: sizes.append((a[-2].stop - a[-2].start, a[-1].stop - a[-1].start)) or read(*a)
    )
    files = export_cog(world.loaded, tmp_path / "out")
    assert set(sizes) == {(64, 64)}
    check_pixels(files[0], world, "utm32n_r4100_c500", "2024-01", BANDS)


def test_export_when_bands_are_colours_then_programs_see_a_picture_of_them(tmp_path):
    world = make(tmp_path, bands=["red", "green", "blue", "swir16"])
    world.fill("utm32n_r4100_c500", "2024-01", {Block(8200, 1000): [[0, 0]]})
    file, clear = export_cog(world.loaded, tmp_path / "out")
    with rasterio.open(file) as got:
        assert [c.name for c in got.colorinterp] == ["red", "green", "blue", "undefined"]
    with rasterio.open(clear) as got:
        assert [c.name for c in got.colorinterp] == ["gray"]
    assert cogeo.cog_validate(file, strict=True)[0]
    assert sorted((tmp_path / "out").iterdir()) == sorted([file, clear])  # no .aux.xml beside them
