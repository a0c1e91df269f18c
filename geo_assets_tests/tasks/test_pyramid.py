"""A pyramid's partition: its values against another computation, which objects are written, what a failure costs."""

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geo_assets.eo.picture import decode_png
from geo_assets.errors import PartitionError, StoreError
from geo_assets.model import path
from geo_assets.model.geometry import Block, Region
from geo_assets.model.levels import blockwise, level_path, levels
from geo_assets.model.receipt import BlockReceipt
from geo_assets.model.task import TaskResult
from geo_assets.tasks import pyramid
from geo_assets.tasks.pyramid_partition import _at_cost_of
from geo_assets_tests.tasks.filled import MONTHS, Filled, project

UTM = "utm32n_r2000_c200"
GRIDS = {
    "blocks and regions": (UTM, {}),  # level 1 has a shard a block, 2 to 4 have one a region
    "pixels across blocks": (UTM, {"block_px": 50, "chunk_px": 25}),
    "one block a region": (UTM, {"region_blocks": 1}),
    "odd blocks": (UTM, {"block_px": 25, "chunk_px": 25}),
    "degrees": ("epsg4326_r14_c63", {"crs": "EPSG:4326", "resolution": "1/60", "block_px": 60, "chunk_px": 20, "region_blocks": 3}),
}  # fmt: skip


def some(world: Filled) -> dict[Block, list[tuple[int, int]]]:
    """Chunks of a few blocks, no two in the same place."""
    side = world.grid.block_px // world.grid.chunk_px
    blocks = world.blocks()
    chosen = {
        blocks[0]: sorted({(0, 0), (side - 1, side // 2)}),
        blocks[-1]: [(r, c) for r in range(side) for c in range(side)],
    }
    return chosen | ({blocks[len(blocks) // 2]: [(side // 2, 0)]} if len(blocks) > 2 else {})


def halved(values: np.ndarray) -> np.ndarray:
    """Half the rows and columns, pixel by pixel in exact numbers."""
    shape = values.shape[0] // 2, values.shape[1] // 2, *values.shape[2:]
    result = np.zeros(shape, values.dtype)
    for place in np.ndindex(*shape):
        y, x, *band = place
        four = [int(values[(2 * y + i, 2 * x + j, *band)]) for i in (0, 1) for j in (0, 1)]
        if seen := [v for v in four if v]:
            result[place] = round(Fraction(sum(seen), len(seen)))
    return result


def check(world: Filled, month: str = MONTHS[0]) -> None:
    """Every level is what the level below says."""
    for name in world.arrays:
        expected = world.stored(name, month)
        for level in range(1, len(levels(world.grid)) + 1):
            expected = halved(expected)
            np.testing.assert_array_equal(world.stored(name, month, level), expected, err_msg=f"{name} {level}")


def objects(world: Filled) -> dict[str, Any]:
    """Objects of the cube's arrays and when or in which snapshot they were written."""
    root = Path(world.loaded.storage.uri("cube"))
    if world.loaded.project.cube.store == "zarr":
        files = [f for f in root.rglob("*") if f.is_file() and "/c/" in str(f)]
        return {str(f.relative_to(root)): (f.stat().st_mtime_ns, f.stat().st_ino) for f in files}
    repo = world.loaded.cube._existing()
    changed: dict[str, Any] = {}
    history = list(repo.ancestry(branch="main"))[::-1]
    for before, after in itertools.pairwise(history):
        diff = repo.diff(from_snapshot_id=before.id, to_snapshot_id=after.id)
        for array, chunks in diff.updated_chunks.items():
            changed |= {f"{array}/c/{'/'.join(map(str, c))}".strip("/"): after.id for c in chunks}
    return changed


def written(world: Filled, before: dict[str, Any]) -> set[tuple[str, Block | Region]]:
    """Objects of levels that were written since: array with its level, and the block or the region that they cover."""
    found: set[tuple[str, Block | Region]] = set()
    region = Region.parse(world.region)
    for name, mark in objects(world).items():
        array, _, place = name.partition("/c/")
        level, _, label = array.removeprefix(f"{region.group}/").partition("/")
        if before.get(name) == mark or label not in world.arrays:
            continue
        grid = levels(world.grid)[int(level) - 1]
        row, col = (int(n) for n in place.split("/")[1:3])
        corners = {b: grid.array_slices(grid.block_geobox(b)) for b in grid.blocks_of(region)}
        own = {(rows.start, cols.start): b for b, (rows, cols) in corners.items()}
        at = row * grid.block_px, col * grid.block_px
        assert at in own, f"{name} lies in another region"
        found.add((f"{level}/{label}", own[at] if int(level) <= blockwise(world.grid, levels(world.grid)) else region))
    return found


def over(world: Filled, *blocks: Block) -> set[tuple[str, Block | Region]]:
    """Objects that hold something of blocks."""
    coarser = levels(world.grid)
    own, places = (
        blockwise(world.grid, coarser),
        [(n, name) for n in range(1, len(coarser) + 1) for name in world.arrays],
    )
    return {(f"{n}/{name}", b if n <= own else Region.parse(world.region)) for n, name in places for b in blocks}


@pytest.mark.parametrize("store", ["icechunk", "zarr"])
@pytest.mark.parametrize("layout", ["bands", "stacked"])
@pytest.mark.parametrize("grid", GRIDS)
def test_each_level_is_the_mean_of_the_level_below(tmp_path: Path, grid: str, layout: str, store: str) -> None:
    region, sizes = GRIDS[grid]
    world = project(tmp_path, region, layout=layout, store=store, **sizes)
    world.fill(some(world))
    receipt = world.make()
    assert (receipt.status, receipt.figures["levels"]) == ("ok", len(levels(world.grid)))
    check(world)
    assert all(world.stored(name, level=1).any() for name in world.arrays)
    assert not any(world.stored(name, MONTHS[1], 1).any() for name in world.arrays)


@pytest.fixture(params=["icechunk", "zarr"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Filled:
    """A cube with a pyramid."""
    world = project(tmp_path / "project", UTM, store=request.param)
    world.fill(some(world))
    world.make(run_id="first")
    return world


def commits(world: Filled) -> list[Any]:
    return list(world.loaded.cube.history())


def test_a_partition_writes_each_object_once_and_commits_once(tmp_path: Path) -> None:
    world = project(tmp_path, UTM)
    world.fill(some(world))
    before, history = objects(world), commits(world)
    receipt = world.make(run_id="r7")
    assert written(world, before) == over(world, *some(world))
    assert receipt.figures["shards"] == len(over(world, *some(world))) == 3 * 3 + 3 * 3
    assert (receipt.figures["blocks_made"], receipt.figures["blocks_kept"]) == (3, 0)
    ours, prepared, *older = commits(world)
    assert older == history
    assert (prepared["message"], prepared["metadata"]["product"]) == ("prepare utm32n pyramid", "layout")
    assert ours["message"] == f"pyramid {UTM} 2024-01"
    assert ours["metadata"] == {
        "product": "pyramid", "region": UTM, "month": "2024-01", "status": "ok", "recipe_hash": "abc", "scene_hash": "",
        "data_version": receipt.data_version, "run_id": "r7",
    }  # fmt: skip
    assert receipt.snapshot == ours["id"]


def test_what_is_made_is_not_made_again(world: Filled) -> None:
    assert (world.plan().todo, world.plan().reason) == ((), "")
    assert len(world.plan().fresh) == 3


def test_a_changed_block_writes_only_the_shards_over_it(world: Filled) -> None:
    first = next(iter(some(world)))
    history = commits(world)
    world.fill({first: some(world)[first]}, seed=2)
    before, version = objects(world), world.loaded.storage.read_receipt("pyramid", UTM, MONTHS[0]).data_version
    assert world.plan().reason == "composite changed"
    world.ran.clear()
    receipt = world.make(run_id="second")
    assert written(world, before) == over(world, first)
    assert (receipt.figures["blocks_made"], receipt.figures["blocks_kept"]) == (1, 2)
    assert receipt.figures["pixels_read"] == len(some(world)[first]) * 16**2
    assert receipt.data_version != version
    assert len(world.ran) == 2  # one for the block, one for the levels above
    assert world.loaded.project.cube.store == "zarr" or len(commits(world)) == len(history) + 2
    check(world)


def test_new_chunks_of_a_block_are_the_reason(world: Filled) -> None:
    first = next(iter(some(world)))
    receipt = world.loaded.storage.read_receipt("composite", UTM, MONTHS[0])
    world.fill({first: [*some(world)[first], (1, 1)]}, seed=1)
    assert [b.key for b in receipt.blocks] == ["key 1"] * 3
    assert world.plan().reason == "new cells"
    world.make()
    check(world)
    new = world.blocks()[5]
    world.fill({new: [(0, 0)]}, seed=1)
    assert [(t.block, t.reason) for t in world.plan().todo] == [(new, "new cells")]
    world.make()
    check(world)


def test_a_block_that_is_empty_now_is_erased_from_all_levels(world: Filled) -> None:
    full = world.blocks()[-1]
    world.fill({full: some(world)[full]}, seed=3, days=0)
    world.make()
    check(world)
    grid = levels(world.grid)[0]
    assert not world.stored("red", level=1)[: grid.block_px, -grid.block_px :].any()


def test_a_month_without_scenes_runs_no_task_and_makes_no_commit(world: Filled) -> None:
    world.fill(some(world), month=MONTHS[1], seed=4, days=0)
    world.ran.clear()
    history = commits(world)
    receipt = world.make(MONTHS[1])
    assert (receipt.status, receipt.figures["shards"], receipt.figures["pixels_read"]) == ("ok", 0, 0)
    assert (world.ran, commits(world)) == ([], history)
    assert world.plan(MONTHS[1]).todo == ()
    assert receipt.data_version != world.loaded.storage.read_receipt("pyramid", UTM, MONTHS[0]).data_version


@pytest.mark.heavy
def test_other_months_and_regions_are_left_alone(world: Filled) -> None:
    expected = {name: world.stored(name, level=2) for name in world.arrays}
    world.fill(some(world), month=MONTHS[1], seed=5)
    beside = Filled(world.loaded, "utm32n_r2000_c201")
    beside.fill(some(beside), seed=6)
    before = objects(world)
    beside.make()
    world.make(MONTHS[1])
    check(world, MONTHS[1])
    check(beside)
    for name, values in expected.items():
        np.testing.assert_array_equal(world.stored(name, level=2), values)
    kept = {name for name in before if "/c/0/" in name}
    assert {name: objects(world)[name] for name in kept} == {name: before[name] for name in kept}


def test_overwrite_makes_all_of_it_again(world: Filled) -> None:
    before, version = objects(world), world.loaded.storage.read_receipt("pyramid", UTM, MONTHS[0]).data_version
    assert {t.reason for t in world.plan(overwrite=True).todo} == {"overwrite"}
    receipt = world.make(overwrite=True)
    assert (receipt.figures["blocks_made"], receipt.data_version) == (3, version)
    if world.loaded.project.cube.store == "zarr":  # Icechunk's difference leaves out what is equal
        assert written(world, before) == over(world, *some(world))


def test_new_code_is_the_reason(world: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    version = world.loaded.storage.read_receipt("pyramid", UTM, MONTHS[0]).data_version
    monkeypatch.setattr(pyramid, "CODE_VERSION", "next")
    assert world.plan().reason == "code 1 -> next"
    assert world.make().data_version != version


def test_a_damaged_receipt_is_the_reason_and_all_is_made_again(world: Filled) -> None:
    world.loaded.storage.write(f"receipts/pyramid/{UTM}/{MONTHS[0]}.json", b"{")
    plan = world.plan()
    assert len(plan.todo) == 3
    assert "is no receipt" in plan.reason
    assert world.make().status == "ok"
    check(world)


def test_what_no_receipt_tells_of_is_erased_where_no_scene_is_left(world: Filled) -> None:
    world.loaded.storage.delete(f"receipts/pyramid/{UTM}/{MONTHS[0]}.json")
    full = world.blocks()[-1]
    world.fill({full: some(world)[full]}, seed=3, days=0)
    world.make()
    check(world)
    assert not world.stored("red", level=1)[:32, -32:].any()


def test_a_block_that_fails_stays_in_the_levels_above_though_no_receipt_tells_of_it(
    world: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.loaded.storage.delete(f"receipts/pyramid/{UTM}/{MONTHS[0]}.json")
    last = world.blocks()[-1]
    failing(monkeypatch, of=last)
    assert world.make().status == "partial"
    check(world)
    assert world.stored("red", level=2)[:16, -16:].any()


def test_a_failure_that_the_composite_no_longer_lists_is_forgotten(
    world: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(iter(some(world)))
    world.fill({first: some(world)[first]}, seed=2)
    with monkeypatch.context() as patched:
        failing(patched, of=first)
        assert world.make().status == "partial"
    others = [b for b in world.plan().composite.blocks if (b.row, b.col) != (first.row, first.col)]
    world.receive(others)
    plan = world.plan()
    assert (plan.todo, plan.done) == ((), None)
    receipt = world.make()
    assert (receipt.status, len(receipt.blocks)) == ("ok", 3)
    assert world.plan().done == receipt


def test_the_picture_is_that_of_the_last_level(world: Filled) -> None:
    name = path.quicklook("pyramid", UTM, MONTHS[0])
    picture = decode_png(world.loaded.storage.read(name))
    assert picture is not None
    assert picture.shape == (16, 16, 3)
    world.loaded.storage.delete(f"receipts/pyramid/{UTM}/{MONTHS[0]}.json")
    world.fill(some(world), seed=3, days=0)
    world.make()  # erased, and drawn anew
    gone = decode_png(world.loaded.storage.read(name))
    assert gone is not None
    assert len(np.unique(gone.reshape(-1, 3), axis=0)) == 1
    world.loaded.storage.delete(f"receipts/pyramid/{UTM}/{MONTHS[0]}.json")
    world.make()
    assert world.loaded.storage.read(name) is None


def test_a_pyramid_of_another_cube_does_not_count(world: Filled) -> None:
    plan = world.plan()
    elsewhere = plan.previous.model_copy(update={"cube": "another"})
    world.loaded.storage.write_receipt(elsewhere)
    assert world.plan().reason == "missing"


def failing(monkeypatch: pytest.MonkeyPatch, *, of: Block | None, every: bool = False) -> None:
    """Let the tasks of a block, of the levels above (None) or of all blocks fail."""
    run = pyramid.run

    def fail(task: Any) -> Any:
        if task.block == of or (every and task.block):
            raise StoreError("variable red of the cube is damaged")
        return run(task)

    monkeypatch.setattr(pyramid, "run", fail)


def test_a_block_that_fails_keeps_its_levels_and_the_others_are_made(
    world: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(iter(some(world)))
    old = {name: world.stored(name, level=1) for name in world.arrays}
    version = world.loaded.storage.read_receipt("pyramid", UTM, MONTHS[0]).data_version
    world.fill(some(world), seed=7)
    before = objects(world)
    with monkeypatch.context() as patched:
        failing(patched, of=first)
        receipt = world.make()
    assert receipt.status == "partial"
    (bad,) = receipt.failures
    assert (bad.row, bad.col, bad.key, bad.cause) == (
        first.row, first.col, "key 1", "variable red of the cube is damaged",
    )  # fmt: skip
    assert (receipt.figures["blocks_made"], receipt.figures["blocks_failed"]) == (2, 1)
    assert written(world, before) == over(world, *[b for b in some(world) if b != first])
    for name in world.arrays:
        made, side = world.stored(name, level=1), 32
        np.testing.assert_array_equal(made[-side:, :side], old[name][-side:, :side])  # rows of blocks count northward
        np.testing.assert_array_equal(made[:side, -side:], halved(world.stored(name))[:side, -side:])
        np.testing.assert_array_equal(world.stored(name, level=2), halved(made))
    assert receipt.data_version != version
    assert [(t.block, t.reason) for t in world.plan().todo] == [(first, f"failed: {bad.cause}")]
    assert world.make().status == "ok"
    check(world)


def test_levels_that_do_not_agree_are_never_seen(world: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    world.fill(some(world), seed=8)
    history, old = commits(world), world.stored("red", level=1)
    with monkeypatch.context() as patched:
        failing(patched, of=None)
        receipt = world.make()
    assert receipt.status == "failed"
    assert receipt.figures["shards"] == 0
    assert len(receipt.failures) == 3
    assert commits(world) == history
    if world.loaded.project.cube.store == "icechunk":
        np.testing.assert_array_equal(world.stored("red", level=1), old)
    assert len(world.plan().todo) == 3
    assert world.make().status == "ok"
    check(world)


def test_nothing_is_committed_where_every_block_fails(world: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    world.fill(some(world), seed=8)
    history = commits(world)
    failing(monkeypatch, of=Block(0, 0), every=True)
    assert world.make().status == "failed"
    assert commits(world) == history
    assert len(world.ran) == 4 + 3  # no task for the levels above


def test_a_damaged_shard_of_the_composite_fails_its_block(tmp_path: Path) -> None:
    world = project(tmp_path, UTM, store="zarr")
    world.fill(some(world))
    first = next(iter(some(world)))
    rows, cols = world.grid.array_slices(world.grid.block_geobox(first))
    shard = Path(world.loaded.storage.uri("cube"), "utm32n/red/c/0", str(rows.start // 64), str(cols.start // 64))
    content = shard.read_bytes()
    shard.write_bytes(content[:20] + b"damaged" + content[27:])
    receipt = world.make()
    assert [(b.row, b.col) for b in receipt.failures] == [(first.row, first.col)]
    assert "red" in str(receipt.failures[0].cause)
    shard.write_bytes(content)
    assert world.make().status == "ok"
    check(world)


def test_blocks_whose_composite_failed_are_made_of_what_the_cube_holds(world: Filled) -> None:
    receipt = world.loaded.storage.read_receipt("composite", UTM, MONTHS[0])
    broken = [b.model_copy(update={"status": "failed", "cause": "gone"}) for b in receipt.blocks[:1]]
    never = BlockReceipt(row=receipt.blocks[1].row, col=receipt.blocks[1].col - 1, key="", chunks=[], status="failed")
    world.receive([*broken, *receipt.blocks[1:], never], status="partial")
    assert world.plan().todo == ()
    world.receive([never], MONTHS[1], status="failed")
    with pytest.raises(PartitionError, match="no composite"):
        world.plan(MONTHS[1])


def test_without_a_composite_the_error_says_what_to_make(world: Filled) -> None:
    with pytest.raises(PartitionError, match="not made yet; materialize asset composite for it first"):
        world.plan(MONTHS[1])


def test_the_time_axes_of_all_levels_are_those_of_the_cube(world: Filled) -> None:
    import xarray as xr

    for level in range(len(levels(world.grid)) + 1):
        place = level_path("utm32n", level)
        data = xr.open_zarr(world.loaded.cube.zarr_store(), group=place, consolidated=False, chunks=None)
        assert [str(t)[:7] for t in data.time.values] == MONTHS


def test_cost_when_the_levels_above_fail_then_that_of_the_blocks_own_tasks_stays():
    top = TaskResult(0, "error", cause="no room", usd=0.5, billed_s=1.0)
    kept = _at_cost_of(TaskResult(3, "ok", usd=1.0, billed_s=2.0), top)
    assert (kept.status, kept.cause, kept.usd, kept.billed_s) == ("error", "no room", 1.0, 2.0)
    assert _at_cost_of(None, top).usd == 0.0
