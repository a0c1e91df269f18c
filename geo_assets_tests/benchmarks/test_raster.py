"""The pure parts of the raster benchmark: what it works out from measurements, and what it says is needed."""

import functools
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("the benchmarks are not part of an installed package", allow_module_level=True)
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks.raster import agree, needs, plan, report, scenes, server, tiff  # noqa: E402
from benchmarks.raster.__main__ import command  # noqa: E402
from benchmarks.raster.candidates import CANDIDATES, _numpy  # noqa: E402
from benchmarks.raster.chips import Chips  # noqa: E402
from benchmarks.raster.fit import growth, ratios  # noqa: E402
from benchmarks.raster.goals import goals  # noqa: E402
from benchmarks.raster.measure import turns  # noqa: E402
from benchmarks.raster.stages import STAGES  # noqa: E402
from benchmarks.raster.targets import LONLAT, MAIN, QUICK, SERIES, UTM, Target, cleaned  # noqa: E402
from geo_assets.model.geometry import GeoBox  # noqa: E402

PLACE = Affine(10, 0, 400_000, 0, -10, 5_240_000)


def write_cog(path: Path, size: int = 1500, tile: int = 256) -> Path:
    pixels = np.random.default_rng(1).integers(1, 4000, (size, size)).astype(np.uint16)
    with rasterio.open(
        path, "w", driver="COG", dtype="uint16", count=1, height=size, width=size, nodata=0, crs="EPSG:32632",
        transform=PLACE, blocksize=tile, compress="DEFLATE", predictor="YES",
    ) as sink:  # fmt: skip
        sink.write(pixels, 1)
    return path


def box(left: int, top: int, rows: int, cols: int) -> GeoBox:
    return UTM.grid.block_geobox(UTM.places[0]).__class__(
        "EPSG:32632", UTM.grid.resolution, UTM.grid.resolution * left, UTM.grid.resolution * top, (rows, cols)
    )


def test_growth_when_cost_is_a_power_then_its_exponent() -> None:
    sizes = [4, 8, 16, 32, 64]
    assert growth(sizes, [0.3 * s for s in sizes], 0).exponent == pytest.approx(1)
    assert growth(sizes, [0.3 * s**1.5 for s in sizes], 0).exponent == pytest.approx(1.5)


def test_growth_when_starting_costs_then_it_is_taken_off() -> None:
    sizes = [1, 4, 16, 64]
    found = growth(sizes, [2 + 3 * s for s in sizes], 2)
    assert found.exponent < 0.95
    assert found.net == pytest.approx(1)
    assert found.start == 2


def test_growth_when_the_start_is_all_then_half_is_left() -> None:
    assert growth([1, 2], [1.0, 2.0], 5.0).start == 0.5


def test_ratios_when_rounds_are_missing_then_pairs_only() -> None:
    spread = ratios({0: 10.0, 1: 30.0, 2: 8.0}, {0: 5.0, 1: 10.0, 3: 1.0})
    assert (spread.low, spread.median, spread.high) == (2, 2.5, 3)


def test_turns_when_rounds_go_on_then_every_candidate_is_first_once() -> None:
    names = ["a", "b", "c"]
    assert [turns(names, r)[0] for r in range(4)] == ["a", "b", "c", "a"]
    assert sorted(turns(names, 5)) == names


def test_table_when_rendered_then_numbers_stand_right() -> None:
    assert report.table(("a", "b"), [("x", "1")]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


def test_header_when_read_then_tiles_are_where_gdal_says(tmp_path: Path) -> None:
    head = tiff.read_header(write_cog(tmp_path / "a.tif"))
    with rasterio.open(tmp_path / "a.tif") as source:
        assert [level.shape for level in head.levels] == [
            (1500, 1500),
            *((1500 // f, 1500 // f) for f in source.overviews(1)),
        ]
        for row, col in ((0, 0), (2, 3), (5, 5)):
            assert head.levels[0].offsets[row, col] == int(
                source.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=1)
            )
            assert head.levels[0].counts[row, col] == int(
                source.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=1)
            )
    assert head.levels[0].predictor == 2
    assert head.levels[0].tile_bytes == 256 * 256 * 2
    assert 0 < head.size <= int(min(level.offsets.min() for level in head.levels))


def test_move_when_done_then_only_the_place_differs(tmp_path: Path) -> None:
    with rasterio.open(write_cog(tmp_path / "a.tif")) as source:
        before = source.read(1)
    tiff.move(tmp_path / "a.tif", 500_000, 5_300_000)
    with rasterio.open(tmp_path / "a.tif") as source:
        assert source.transform == Affine(10, 0, 500_000, 0, -10, 5_300_000)
        assert (source.read(1) == before).all()


def test_tiles_when_aligned_then_exactly_those_of_the_window(tmp_path: Path) -> None:
    head = tiff.read_header(write_cog(tmp_path / "a.tif"))
    # Rows 256 to 511 and columns 512 to 1023 of the file: one row of tiles, two of its columns
    level, tiles = needs.tiles_of(head, PLACE, box(40_000 + 512, 524_000 - 256, 256, 512), nearest=False)
    assert level is head.levels[0]
    assert tiles.tolist() == [6 + 2, 6 + 3]
    _, more = needs.tiles_of(head, PLACE, box(40_000 + 511, 524_000 - 256, 257, 512), nearest=False)
    assert more.tolist() == [6 + 1, 6 + 2, 6 + 3, 12 + 1, 12 + 2, 12 + 3]


def test_tiles_when_the_window_lies_beside_then_none(tmp_path: Path) -> None:
    head = tiff.read_header(write_cog(tmp_path / "a.tif"))
    assert needs.tiles_of(head, PLACE, box(30_000, 524_000, 100, 100), nearest=True)[1].size == 0


def test_tiles_when_the_target_is_coarser_then_of_an_overview(tmp_path: Path) -> None:
    head = tiff.read_header(write_cog(tmp_path / "a.tif"))
    coarse = GeoBox(
        "EPSG:32632",
        2 * UTM.grid.resolution,
        10 * UTM.grid.resolution * 4_000,
        10 * UTM.grid.resolution * 52_400,
        (700, 700),
    )
    level, tiles = needs.tiles_of(head, PLACE, coarse, nearest=False)
    assert level is head.levels[1]
    assert tiles.size == 9
    assert needs.tiles_of(head, PLACE, coarse, nearest=True)[0] is head.levels[0]


@pytest.mark.parametrize("target", [*MAIN, *QUICK], ids=lambda t: f"{t.name} {t.block_px}")
def test_a_target_lies_in_every_scene_it_is_made_of(target: Target) -> None:
    for scene in scenes.of_target(target):
        left, top = scenes.SITES[scene.site]
        for window in target.boxes:
            x, y = window.bounds[0::2], window.bounds[1::2]
            if target.crs != scenes.CRS:
                corners = [needs.transformer(target.crs, scenes.CRS).transform(a, b) for a in x for b in y]
                x, y = zip(*corners, strict=True)
            assert left < min(x) < max(x) < left + 10 * scenes.SIZE
            assert top - 10 * scenes.SIZE < min(y) < max(y) < top


def test_growing_targets_have_the_sizes_that_they_say() -> None:
    for name, points in SERIES.items():
        for size, target in points:
            if name.startswith("area"):
                assert target.megapixels == size
            elif name.startswith("scenes"):
                assert len(scenes.of_target(target)) == size
            else:
                assert len(target.bands) == size


def test_scenes_when_of_one_day_then_with_one_offset() -> None:
    for a in scenes.of_target(SERIES["scenes, UTM"][-1][1]):
        assert a.offset == (1000 if scenes._scene(a.like).day % 2 else 0)
    ids = [s.id for s in scenes.of_target(SERIES["scenes, UTM"][-1][1])]
    assert len(set(ids)) == 64


@pytest.mark.parametrize("target", [LONLAT, UTM, cleaned(UTM), UTM.only_part(), SERIES["area in one block"][-1][1]])
def test_a_target_survives_json(target: Target) -> None:
    assert Target.of_json(json.loads(json.dumps(target.as_json()))) == target
    assert Chips.of_json(json.loads(json.dumps(Chips().as_json()))) == Chips()


def test_compare_when_pixels_differ_then_counted() -> None:
    reference = [np.array([[[0, 10, 20, 30]]], np.uint16)]
    same = agree.compare(reference, reference)
    assert (same.equal, same.within_1, same.coverage) == (1, 1, 0)
    found = agree.compare([np.array([[[5, 11, 20, 27]]], np.uint16)], reference)
    assert (found.equal, found.within_1, found.coverage) == (0.25, 0.5, 0.25)
    assert found.bias == pytest.approx((1 - 3) / 3)


def test_median_of_the_numpy_candidates_is_numpys() -> None:
    rng = np.random.default_rng(2)
    stack = rng.integers(0, 5, (7, 90, 11)).astype(np.uint16) * 700
    clear, offsets = rng.random(stack.shape) < 0.6, np.where(np.arange(7) % 2, -1000, 0).astype(np.float32)
    seen = np.where(clear & (stack > 0), np.maximum(stack + offsets[:, None, None], 1), np.nan)
    count = (~np.isnan(seen)).sum(0)
    wanted = np.where(count > 0, np.rint(np.nanmedian(np.where(count > 0, seen, 0), axis=0)), 0)
    assert (_numpy.median(stack, clear, offsets) == wanted).all()


def test_clean_up_of_the_numpy_candidates_is_the_engines() -> None:
    from geo_assets.eo.mask import clear_from_classes

    classes = np.random.default_rng(3).choice([4, 9], (120, 130), p=[0.7, 0.3]).astype(np.uint8)
    inner = (slice(25, -25), slice(25, -25))
    for radius in (0, 2, 5):
        wanted = clear_from_classes(classes, [4, 5], close_px=radius, open_px=radius)
        assert (_numpy.clear_mask(classes, (4, 5), radius)[inner] == np.asarray(wanted)[inner]).all()


def test_best_settings_when_costs_are_close_then_the_quicker() -> None:
    def run(cpu: float, wall: float) -> list[dict[str, float]]:
        return [{"cpu_s": cpu, "wall_s": wall}]

    tried = [
        ({"threads": 1}, run(1.0, 9.0)),
        ({"threads": 2}, run(1.04, 5.0)),
        ({"threads": 8}, run(1.2, 2.0)),
        ({"x": 1}, []),
    ]
    assert plan.best_of(tried) == {"threads": 2}


def run_of(candidate: str, target: str, cpu_s: float, **more: object) -> dict[str, object]:
    plain = {
        "section": "composite", "series": "", "size": 0, "candidate": candidate, "target": target, "round": 0, "options": {},
        "cpu_s": cpu_s, "wall_s": 1.0, "peak_mb": 100.0, "import_cpu_s": 1.0, "requests": 5, "bytes": 110, "needed": 100, "tiles": 3,
        "inflated": 10, "scenes": 4,
    }  # fmt: skip
    return {**plain, **more}


def test_goals_when_the_best_peer_is_too_near_then_not_reached() -> None:
    runs = [
        run_of("ours", "utm", 2.0),
        run_of("odc", "utm", 8.0),
        run_of("rasterio", "utm", 6.0),
        run_of("inflate", "utm", 1.0),
    ]
    found = {g.what: g.reached for g in goals({"runs": runs, "agreement": []})}
    assert found["utm: CPU of the best GDAL-based candidate (rasterio kept open + bottleneck) / ours"] is False
    assert found["utm: CPU of ours / inflating alone"] is True
    assert found["utm: bytes read / needed"] is True


def test_goals_when_a_size_failed_then_the_series_is_not_reached() -> None:
    grown = [
        run_of(c, "x", 1.0 + n, section="growth", series="scenes, UTM", size=n)
        for c, sizes in (("ours", (0, 4)), ("odc", (0, 4, 8)))
        for n in sizes
    ]
    (found,) = goals({"runs": grown, "agreement": []})
    assert (found.found, found.reached) == ("only up to 4 of 8", False)
    assert "failed" in report._series("scenes, UTM", grown)


def test_page_when_written_then_from_the_result_alone() -> None:
    about = {
        "processor": "p", "cores": 2, "memory_gb": 4.0, "system": "s", "python": "3", "date": "d", "load_before": 0.1, "versions": {"numpy": "2"},
        "latency_ms": 30, "command": "c", "quick": True, "chips": 432,
    }  # fmt: skip
    grown = [
        run_of(c, f"{n} scenes", 0.1 + n, section="growth", series="scenes, UTM", size=n)
        for c in ("ours", "odc")
        for n in (0, 4, 8)
    ]
    runs = [
        *(run_of(c, "utm", 1.0 + n) for n, c in enumerate(CANDIDATES)),
        *grown,
        run_of("ours", "chips", 0.5, section="chips"),
    ]
    agreement = [
        {
            "candidate": "ours",
            "target": "utm",
            "equal": 1.0,
            "within_1": 1.0,
            "coverage": 0.0,
            "typical": 0.0,
            "bias": 0.0,
        }
    ]
    text = report.page({"about": about, "runs": runs, "agreement": agreement, "best": {}})
    assert "| **geo_assets** | 1.00 | 1.00 |" in text
    assert "smoke run" in text
    assert "864 |" in text


def test_command_when_files_lie_in_places_of_this_machine_then_they_are_left_out() -> None:
    asked = ["--out", "/somewhere/a.json", "--pairs", "5", "--page=/b.md", "--add"]
    assert command(asked) == "python -m benchmarks.raster --pairs 5 --add"


def test_stages_when_they_are_timed_then_each_is_a_function_of_ours() -> None:
    for functions in STAGES.values():
        for module, name in functions:
            assert callable(functools.reduce(getattr, name.split("."), importlib.import_module(module)))


def test_page_when_stages_were_timed_then_what_is_left_is_said_too() -> None:
    first, second = list(STAGES)[:2]
    timed = {
        "section": "stages",
        "candidate": "ours",
        "target": "utm",
        "stages": {first: 1.0, second: 0.5},
        "cpu_s": 2.0,
    }
    peers = [run_of(n, "utm", s) for n, s in (("ours", 2.0), ("rasterio", 6.0), ("stackstac", 18.0), ("inflate", 1.75))]
    text = report._stages({"runs": [timed, *peers]})
    assert f"| {first} | 1.00 (50%) |" in text
    assert "| everything else | 0.50 (25%) |" in text
    assert (
        "3.5 times less than rasterio kept open + bottleneck (6.00 s) would be 1.71 s, and inflating the needed tiles alone takes 1.75 s"
        in text
    )
    assert (
        "10 times less than stackstac + xarray (18.00 s) would be 1.80 s. Inflating, the predictor, ranges and headers take 1.50 s"
        in text
    )
    assert "so 0.30 s would be left for all else, which takes 0.50 s" in text


def test_page_when_a_goal_is_reached_then_nothing_stands_between() -> None:
    timed = {"section": "stages", "candidate": "ours", "target": "utm", "stages": {}, "cpu_s": 1.0}
    peers = [run_of(n, "utm", s) for n, s in (("ours", 1.0), ("rasterio", 6.0), ("stackstac", 18.0), ("inflate", 0.5))]
    assert "would be" not in report._stages({"runs": [timed, *peers]})


def test_server_when_asked_for_ranges_then_answers_and_counts(tmp_path: Path) -> None:
    import urllib.error
    import urllib.request

    (tmp_path / "a.tif").write_bytes(bytes(range(200)))
    with server.serve({"s/a.tif": str(tmp_path / "a.tif")}, latency_s=0) as running:

        def get(path: str, span: str) -> bytes:
            request = urllib.request.Request(f"{running.url}/me/{path}", headers={"Range": span} if span else {})
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.read()

        assert get("s/a.tif", "bytes=10-19") == bytes(range(10, 20))
        assert get("s/a.tif", "bytes=190-999") == bytes(range(190, 200))
        assert len(get("s/a.tif", "")) == 200
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get("s/b.tif", "")
        assert running.count("me") == (4, 220)
        assert running.count("you") == (0, 0)
