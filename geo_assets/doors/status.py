"""``geo-assets status``: what is fresh, stale, failed or missing, with the reason; reads receipts and tables, no pixel."""

from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from geo_assets.assets.context import Workspace
from geo_assets.errors import PartitionError, SourceError
from geo_assets.model import path
from geo_assets.model.ard import by_region
from geo_assets.model.geometry import Block
from geo_assets.model.period import Periods
from geo_assets.model.receipt import BlockReceipt, PartitionReceipt
from geo_assets.registry import sensor_of
from geo_assets.storage import DamagedError
from geo_assets.tasks import cells as cell_task
from geo_assets.tasks import search as search_task
from geo_assets.tasks.ard_partition import ard_boxes, ard_sensors, plan_ard
from geo_assets.tasks.ard_partition import product as ard_product
from geo_assets.tasks.cells import cell_boxes, owns_cells
from geo_assets.tasks.chip_partition import chip_boxes, plan_chips
from geo_assets.tasks.chip_recipe import PRODUCT as CHIPS
from geo_assets.tasks.chip_recipe import chip_sensors
from geo_assets.tasks.layout import cube_id, refuse_other_layout, refuse_other_store
from geo_assets.tasks.partition import PRODUCT, plan_partition
from geo_assets.tasks.prediction_cube import plan_prediction
from geo_assets.tasks.prediction_plan import failures_of, stored_maps
from geo_assets.tasks.prediction_tiles import plan_tiles, read_maps, read_tiles, tile_cells
from geo_assets.tasks.predictor import Composites, Predictor, needed_regions
from geo_assets.tasks.previous import Previous, read_previous
from geo_assets.tasks.pyramid_partition import PRODUCT as PYRAMID
from geo_assets.tasks.pyramid_partition import plan_pyramid, read_composite
from geo_assets.tasks.search import product as scenes_product

State = Literal["fresh", "stale", "failed", "missing"]


@dataclass(frozen=True)
class PartitionState:
    """One partition."""

    product: str
    region: str
    month: str | None
    state: State
    reason: str


def status(workspace: Workspace, periods: Periods) -> list[PartitionState]:
    """State of every partition of the project, product by product.

    What is made of whole cells has no partition in a region that owns none, though cells of its neighbour reach into it.

    Raises:
        ConfigError: The areas cannot be read.
    """
    refuse_other_store(workspace.project, workspace.storage)
    refuse_other_layout(workspace.loaded.cube, workspace.project, periods)
    regions, there = workspace.cut.regions, cube_id(workspace.loaded.cube)
    keys = [(r, m) for r in regions for m in periods.keys]
    owning = [r for r in regions if owns_cells(workspace.cut.of_region(r), r)]
    owned = [(r, m) for r in owning for m in periods.keys]
    states = [_cells(workspace, r) for r in regions]
    for entry in workspace.project.sensors:
        dated = [(r, None) for r in regions] if sensor_of(entry).static else keys
        states += [_scenes(workspace, entry.sensor, r, m) for r, m in dated]
    for name in ard_sensors(workspace.project):
        if "ard" in workspace.project.products or workspace.storage.names(path.receipts(ard_product(name))):
            static = sensor_of(workspace.project.sensor(name)).static
            dated = [(r, None) for r in owning] if by_region(workspace.project.ard, static=static) else owned
            states += [_ard(workspace, name, r, m) for r, m in dated]
    wanted = workspace.project.products
    if {PRODUCT, PYRAMID} & {*wanted} or workspace.storage.names(path.receipts(PRODUCT)):
        states += [_composite(workspace, r, m, there=there) for r, m in keys]
    if PYRAMID in workspace.project.products or workspace.storage.names(path.receipts(PYRAMID)):
        states += [_pyramid(workspace, r, m, there=there) for r, m in keys]
    if CHIPS in wanted or workspace.storage.names(path.receipts(CHIPS)):
        states += [_chips(workspace, r, m) for r, m in owned]
    predictor = Predictor.of(workspace.project, periods)
    if predictor and ("prediction" in wanted or workspace.storage.names(path.receipts(predictor.product))):
        composites = Composites(workspace.storage, there)
        of = [(r, m) for r in (owning if predictor.of_tiles else regions) for m in predictor.series]
        if predictor.of_tiles:
            maps = [_of_tiles(workspace, predictor, r, m) for r, m in of]
        else:
            maps = [_prediction(workspace, predictor, composites, r, m, there) for r, m in of]
        states += _as_their_sources(workspace, predictor, maps, states)
    return _with_failures(workspace, states)


def _as_their_sources(
    workspace: Workspace, predictor: Predictor, maps: list[PartitionState], states: list[PartitionState]
) -> list[PartitionState]:
    """Maps that are as their sources are now are stale all the same where a source is: both are made by the next run."""
    old = {(s.product, s.region, s.month): s for s in states if s.state != "fresh"}

    def judged(state: PartitionState) -> PartitionState:
        month = str(state.month)
        if predictor.of_tiles:
            read = [(ard_product(sensor), state.region, month) for sensor in predictor.sensors.values()]
        else:
            regions = needed_regions(workspace.cut.of_region(state.region), state.region)
            read = [(PRODUCT, r, m) for m in predictor.series[month] for r in regions]
        first = next((old[key] for key in read if key in old), None)
        if first is None or state.state != "fresh":
            return state
        where = " ".join(filter(None, (first.product, first.region, first.month)))
        return replace(state, state="stale", reason=f"{where}, which it reads, is {first.state}: {first.reason}")

    return [judged(s) for s in maps]


def _with_failures(workspace: Workspace, states: list[PartitionState]) -> list[PartitionState]:
    """The states, where the last try of a partition brought nothing with its cause.

    A fresh partition stays so, but for a search: an older answer stands in its table.
    """
    noted = set(workspace.storage.names(path.FAILURES))  # once, so that the others ask nothing
    searches = {scenes_product(s.sensor) for s in workspace.project.sensors}
    found = []
    for s in states:
        name = path.failure(s.product, s.region, s.month)
        counts = name in noted and (s.state in ("missing", "stale") or s.product in searches)
        note = workspace.storage.failure(s.product, s.region, s.month) if counts else None
        found.append(replace(s, state="failed", reason=note.cause) if note else s)
    return found


def _cells(workspace: Workspace, region: str) -> PartitionState:
    try:
        receipt = workspace.storage.read_receipt("cells", region)
        if receipt is None:
            return PartitionState("cells", region, None, "missing", "not made yet")
        workspace.cells(region)
    except (DamagedError, PartitionError, SourceError) as e:
        return PartitionState("cells", region, None, "missing", str(e))
    if receipt.data_version != cell_task.cells_version(workspace.cut.of_region(region)):
        return PartitionState("cells", region, None, "stale", "areas, grid or code changed")
    return PartitionState("cells", region, None, "fresh", "")


def _scenes(workspace: Workspace, sensor: str, region: str, month: str | None) -> PartitionState:
    name = scenes_product(sensor)
    try:
        receipt = workspace.storage.read_receipt(name, region, month)
        if receipt is None:
            return PartitionState(name, region, month, "missing", "not searched yet")
        workspace.scenes(sensor, region, month)
    except (DamagedError, PartitionError, SourceError) as e:
        return PartitionState(name, region, month, "missing", str(e))
    if receipt.code_version != search_task.CODE_VERSION:
        return PartitionState(
            name, region, month, "stale", f"code {receipt.code_version} -> {search_task.CODE_VERSION}"
        )
    if receipt.recipe_hash != search_task.search_hash(workspace.project, sensor):
        cloudy = sensor_of(workspace.project.sensor(sensor)).cloud_cover_field is not None
        settings = "catalog, collections, exclude or max_cloud_cover" if cloudy else "catalog, collections or exclude"
        return PartitionState(name, region, month, "stale", f"{settings} changed")
    return PartitionState(name, region, month, "fresh", "")


def _ard(workspace: Workspace, sensor: str, region: str, month: str | None) -> PartitionState:
    name, project = ard_product(sensor), workspace.project
    try:
        previous = workspace.storage.read_receipt(name, region, month)
    except DamagedError as e:
        return PartitionState(name, region, month, "missing", str(e))
    if previous is None:
        return PartitionState(name, region, month, "missing", "not made yet")
    try:
        facts = sensor_of(project.sensor(sensor))
        plan = plan_ard(
            project, facts, region=region, month=month, cells=ard_boxes(workspace.cut.of_region(region), region, project),
            table=workspace.scenes(sensor, region, month), previous=previous, heights=workspace.heights(facts, region),
        )  # fmt: skip
    except (PartitionError, SourceError) as e:
        return _judged(previous, previous.failures, str(e), "layers")
    asked = {t.name for t in plan.todo}
    state = _judged(previous, [b for b in previous.failures if b.name in asked], plan.reason, "layers")
    return replace(state, reason=previous.emptiness) if state.state == "fresh" else state


def _chips(workspace: Workspace, region: str, month: str) -> PartitionState:
    project = workspace.project
    try:
        previous = workspace.storage.read_receipt(CHIPS, region, month)
    except DamagedError as e:
        return PartitionState(CHIPS, region, month, "missing", str(e))
    if previous is None:
        return PartitionState(CHIPS, region, month, "missing", "not made yet")
    try:
        facts = {name: sensor_of(project.sensor(name)) for name in chip_sensors(project)}
        plan = plan_chips(
            project, region=region, month=month, chips=chip_boxes(workspace.cut.of_region(region), region, project),
            tables={name: workspace.scenes(name, region, month) for name in facts}, previous=previous,
            heights={name: workspace.heights(sensor, region) for name, sensor in facts.items()},
        )  # fmt: skip
    except (PartitionError, SourceError) as e:
        return _judged(previous, previous.failures, str(e), "scenes")
    asked = {t.name for t in plan.todo}
    state = _judged(previous, [b for b in previous.failures if b.name in asked], plan.reason, "scenes")
    return replace(state, reason=previous.emptiness) if state.state == "fresh" else state


def _pyramid(workspace: Workspace, region: str, month: str, *, there: str | None) -> PartitionState:
    storage, grid = workspace.storage, workspace.grid(region)
    known = read_previous(storage, PYRAMID, region, month, grid)
    previous, missing = known.receipt, _missing(known, there=there)
    if previous is None or missing:
        return PartitionState(PYRAMID, region, month, "missing", missing)
    try:
        plan = plan_pyramid(read_composite(storage, region, month, grid, cube=there), grid, previous)
    except PartitionError as e:
        return _judged(previous, previous.failures, str(e))
    asked = {t.block for t in plan.todo}
    return _judged(previous, [b for b in previous.failures if Block(b.row, b.col) in asked], plan.reason)


def _composite(workspace: Workspace, region: str, month: str, *, there: str | None) -> PartitionState:
    project = workspace.project
    known = read_previous(workspace.storage, PRODUCT, region, month, workspace.grid(region))
    previous, missing = known.receipt, _missing(known, there=there)
    if previous is None or missing:
        return PartitionState(PRODUCT, region, month, "missing", missing)
    try:
        plan = plan_partition(
            project, workspace.loaded.sensor, region=region, month=month, grid=workspace.grid(region), blocks=workspace.planned(region),
            table=workspace.scenes(project.cube.sensor, region, month), previous=previous,
            heights=workspace.heights(workspace.loaded.sensor, region),
        )  # fmt: skip
    except (PartitionError, SourceError) as e:
        return _judged(previous, previous.failures, str(e))
    asked = {t.plan.block for t in plan.todo}
    state = _judged(previous, [b for b in previous.failures if Block(b.row, b.col) in asked], plan.reason)
    return replace(state, reason=previous.emptiness) if state.state == "fresh" else state


def _prediction(
    workspace: Workspace, predictor: Predictor, composites: Composites, region: str, month: str, there: str | None
) -> PartitionState:
    grid, table = workspace.grid(region), workspace.cut.of_region(region)
    known = read_previous(workspace.storage, predictor.product, region, month, grid)
    previous = known.receipt
    if previous is None:
        return PartitionState(predictor.product, region, month, "missing", known.fault or "not made yet")
    boxes = cell_boxes(table, region, grid)
    try:
        plan = plan_prediction(
            predictor, region=region, month=month, grid=grid, cells=boxes, regions=needed_regions(table, region), composites=composites,
            previous=previous, stored=stored_maps(workspace.storage, predictor, region, month, boxes), cube=there,
        )  # fmt: skip
    except PartitionError as e:
        return _judged(previous, previous.failures, str(e), "blocks of maps")
    state = _judged(previous, failures_of(plan), plan.reason, "blocks of maps")
    return replace(state, reason=previous.emptiness) if state.state == "fresh" else state


def _of_tiles(workspace: Workspace, predictor: Predictor, region: str, month: str) -> PartitionState:
    storage, table = workspace.storage, workspace.cut.of_region(region)
    known = read_maps(storage, predictor, region, month)
    previous = known.receipt
    if previous is None:
        return PartitionState(predictor.product, region, month, "missing", known.fault or "not made yet")
    boxes = tile_cells(table, region, workspace.project)
    try:
        plan = plan_tiles(
            predictor, region=region, month=month, grid=workspace.grid(region), cells=boxes, tiles=read_tiles(storage, predictor, region, month),
            previous=previous, stored=stored_maps(storage, predictor, region, month, boxes),
        )  # fmt: skip
    except PartitionError as e:
        return _judged(previous, previous.failures, str(e), "maps")
    state = _judged(previous, failures_of(plan), plan.reason, "maps")
    return replace(state, reason=previous.emptiness) if state.state == "fresh" else state


def _missing(known: Previous, *, there: str | None) -> str:
    """Why what a receipt tells of is not in the cube, or ""."""
    if known.receipt is None:
        return known.fault or "not made yet"
    return "" if known.receipt.cube == there else "the cube that held it is gone"


def _judged(
    previous: PartitionReceipt, failures: list[BlockReceipt], reason: str, what: str = "blocks"
) -> PartitionState:
    """State of a partition from the failures that still count, and from why it is not fresh."""
    product, region, month = previous.product, previous.region, previous.month
    if failures:
        cause = f"{len(failures)} of {len(previous.blocks)} {what}: {failures[0].cause}"
        return PartitionState(product, region, month, "failed", cause)
    return PartitionState(product, region, month, "stale" if reason else "fresh", reason)


def document(states: list[PartitionState]) -> dict[str, Any]:
    """For ``--json``: counts by product, every partition that is not fresh, and those that are and hold no pixel."""
    counts: dict[str, Counter[str]] = {}
    for s in states:
        counts.setdefault(s.product, Counter())[s.state] += 1
    products = {
        p: {"total": sum(c.values()), **{k: c[k] for k in ("fresh", "stale", "failed", "missing")}}
        for p, c in counts.items()
    }
    empty = [{k: v for k, v in asdict(s).items() if k != "state"} for s in states if s.state == "fresh" and s.reason]
    return {"products": products, "partitions": [asdict(s) for s in states if s.state != "fresh"], "empty": empty}
