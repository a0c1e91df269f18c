"""``geo-assets run``: materializes through Dagster, strip by strip, and says what came of it."""

import contextlib
import datetime as dt
import resource
import shutil
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from geo_assets.assets.jobs import CALL
from geo_assets.assets.live import sharing
from geo_assets.assets.partitions import cube_key, region_and_month, register_regions
from geo_assets.doors.catalog import refuse_unusable
from geo_assets.doors.instance import Outcome, Runner, deployed, workspace
from geo_assets.doors.plan import refuse_unmakeable
from geo_assets.doors.spending import Ask, agreed, refuse
from geo_assets.doors.strips import Strip, cube_strips, region_strips, select
from geo_assets.doors.tiles import read_tiles
from geo_assets.errors import ConfigError, StoreError
from geo_assets.model import path
from geo_assets.model.cost import Estimate
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.project import LoadedProject
from geo_assets.registry import available, load
from geo_assets.storage import Storage
from geo_assets.tasks import areas, cells
from geo_assets.tasks.layout import refuse_other_layout, refuse_other_store
from geo_assets.tasks.search import product as scenes_product

Progress = Callable[[str, int, int], None]
_OF_CUBE = ("composite", "pyramid")  # assets that lie in the cube, and take a run's --overwrite
_WORST = ("failed", "partial", "ok", "skipped")


@dataclass(frozen=True)
class RunOptions:
    """What to run."""

    first_month: str | None = None
    last_month: str | None = None
    regions: list[str] | None = None
    products: list[str] | None = None
    limit: int | None = None
    overwrite: bool = False
    initialize: bool = False
    retry_failed: bool = False
    tiles: str | None = None


def _call_id() -> str:
    return f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"


@dataclass
class Summary:
    """What came of it; ``document`` is what ``--json`` prints.

    Attributes:
        id: Of the call, of which each Dagster run has a tag: its report has it as a name.
        keys: Regions and months that it was about.
    """

    id: str = field(default_factory=_call_id)
    keys: list[tuple[str, str | None]] = field(default_factory=list)
    report: str = ""
    run_ids: list[str] = field(default_factory=list)
    partitions: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("total", "ok", "partial", "failed", "skipped"), 0)
    )
    tasks: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("ok", "failed", "skipped"), 0))
    bytes_read: int = 0
    requests: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)
    empty: list[dict[str, Any]] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    cpu_s: float = 0.0
    wall_s: float = 0.0
    usd: dict[str, float] = field(default_factory=lambda: {"predicted": 0.0, "actual": 0.0})
    refused: bool = False  # nothing was made, and only the project can be at fault

    @property
    def complete(self) -> bool:
        """Whether nothing failed."""
        return not self.failures and not self.partitions["failed"] and not self.partitions["partial"]

    def document(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "run_ids": self.run_ids, "partitions": self.partitions, "tasks": self.tasks, "bytes_read": self.bytes_read, "requests": self.requests,
            "cpu_s": round(self.cpu_s, 2), "wall_s": round(self.wall_s, 2), "peak_rss_mb": round(_peak_mb(), 1), "usd": {k: round(v, 6) for k, v in self.usd.items()},
            "failures": self.failures, "empty": self.empty, "outputs": self.outputs, "report": self.report,
        }  # fmt: skip


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def run_project(
    loaded: LoadedProject,
    options: RunOptions,
    *,
    ask: Ask = refuse,
    progress: Progress | None = None,
    console: bool = False,
) -> Summary:
    """Make what the options select.

    Args:
        loaded: The project.
        options: What to make.
        ask: Called with a question before money is spent; raises if the answer is no.
        progress: Told the title of each run, how many are done, and how many there are.
        console: Whether Dagster's own log goes to the terminal.

    Raises:
        ConfigError: The project or the selection is wrong; nothing was started.
    """
    _refuse_contradictions(options)
    products, place = loaded.wanted(options.products), deployed(loaded)
    table = cells.cut(areas.areas(place), loaded.project.grid, loaded.project.cube)
    regions = select(table.regions, options.regions)
    periods = loaded.periods()
    months = [p.key for p in periods.between(options.first_month, options.last_month)]
    if products != ["cells"]:
        refuse_unusable(place)
    runner = Runner(loaded, console=console)
    runner.fail_orphans()
    if options.initialize and products[-1] not in _OF_CUBE:
        raise ConfigError("--initialize clears the cube, and what is to be made lies outside of it: leave one out")
    if not options.initialize:
        _check_storage(place)
    run = _Run(runner, place, products, options, progress)
    keys = [(r, m) for r in regions for m in months]
    if options.tiles is not None:
        tiles = table.cells if loaded.project.grid.kind == "tiles" else None
        keys = read_tiles(options.tiles, regions, months, cells=tiles).partitions
    if options.retry_failed:
        keys = run.failed(keys)
    keys = keys[: options.limit]
    if options.limit or options.retry_failed or options.tiles is not None:
        regions = [r for r in regions if any(r == k[0] for k in keys)]
    anew = options.overwrite or options.initialize
    run.expect(agreed(workspace(loaded), keys, periods, products, overwrite=anew, ask=ask))
    if options.initialize:
        # Before anything is deleted: a run that made nothing would leave nothing
        refuse_unmakeable(workspace(loaded), periods.between(options.first_month, options.last_month), regions)
        initialize(place.storage)
        _check_storage(place)
    return run.go(regions, keys, periods.keys)


def _refuse_contradictions(options: RunOptions) -> None:
    """Refuses options of which one takes away what the other is about.

    Raises:
        ConfigError: There are some.
    """
    if options.retry_failed and (options.initialize or options.overwrite):
        other = "--initialize" if options.initialize else "--overwrite"
        raise ConfigError(f"{other} makes everything again and --retry-failed only what failed: leave one out")


def _check_storage(loaded: LoadedProject) -> None:
    """Find out before work starts what would stop every partition.

    Raises:
        ConfigError: The storage cannot be written, or holds a cube that does not fit the project.
    """
    try:
        refuse_other_store(loaded.project, loaded.storage)
        refuse_other_layout(loaded.cube, loaded.project, loaded.periods())
        loaded.cube.probe()
    except StoreError as e:
        raise ConfigError(f"{e}; nothing was started") from e


class _Run:
    def __init__(
        self,
        runner: Runner,
        loaded: LoadedProject,
        products: list[Any],
        options: RunOptions,
        progress: Progress | None,
    ) -> None:
        self._runner, self._storage, self._loaded, self._products = runner, loaded.storage, loaded, products
        self._options, self._progress = options, progress
        self._causes: dict[tuple[str, str], str] = {}
        self._failed: dict[tuple[bool, str], str] = {}  # causes by keys of regions or partitions; True: of a pyramid
        self._summary = Summary()

    def expect(self, estimate: Estimate) -> None:
        """Note what was agreed to."""
        self._summary.usd["predicted"] = estimate.usd

    def failed(self, keys: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those of some partitions that failed, are partial, or have a receipt that cannot tell."""
        names = [n for p in self._products if p != "cells" for n in self._assets(p)]
        known = {key for name in names for key in self._runner.failed(name)}
        noted = set(self._storage.names(path.FAILURES))
        cube = [n for n in names if n in _OF_CUBE]
        known |= {str(cube_key(*k)) for k in keys for n in names if path.failure(n, *k) in noted}
        return [k for k in keys if str(cube_key(*k)) in known or any(self._is_partial(name, *k) for name in cube)]

    def _is_partial(self, product: str, region: str, month: str) -> bool:
        receipt = self._storage.sound_receipt(product, region, month)
        if receipt is None:
            return self._storage.read(path.receipt(product, region, month)) is not None
        return receipt.status != "ok"

    def go(self, regions: list[str], keys: list[tuple[str, str]], months: list[str]) -> Summary:
        began, cpu = time.perf_counter(), _cpu_s()
        self._summary.keys = [*((r, None) for r in regions), *keys]
        register_regions(self._runner.instance, regions)
        strips = region_strips("cells", regions, self._runner.instance.get_dynamic_partitions("region"))
        names = [n for p in self._products if p != "cells" for n in self._assets(p)]
        strips += cube_strips(names, keys, months) if names else []
        with sharing():
            for i, strip in enumerate(strips):
                if self._progress:
                    self._progress(_title(strip), i, len(strips))
                self._note(strip, self._execute(strip))
        if self._progress:
            self._progress("done", len(strips), len(strips))
        self._count(regions, keys)
        self._summary.wall_s, self._summary.cpu_s = time.perf_counter() - began, _cpu_s() - cpu
        return self._summary

    def _assets(self, product: str) -> list[str]:
        return [scenes_product(s.sensor) for s in self._loaded.project.sensors] if product == "scenes" else [product]

    def _execute(self, strip: Strip) -> Outcome:
        again = [a for a in strip.assets if a in _OF_CUBE] if self._options.overwrite else []
        config = {"ops": {asset: {"config": {"overwrite": True}} for asset in again}} if again else None
        return self._runner.run(strip.assets, strip.first, strip.last, config=config, tags={CALL: self._summary.id})

    def _note(self, strip: Strip, outcome: Outcome) -> None:
        self._summary.run_ids.append(outcome.run_id)
        for (asset, key), cause in outcome.causes.items():
            self._causes[asset, key or strip.first] = cause
            keys = [key] if key else strip.keys  # without a key a step failed as a whole
            self._failed |= {(asset == "pyramid", k): cause for k in keys}
        if outcome.interrupted:
            raise KeyboardInterrupt

    def _count(self, regions: list[str], keys: list[tuple[str, str]]) -> None:
        """Count the partitions of the last product (by the worse of both in the cube), and every failure of the others."""
        last = self._assets(self._products[-1])[-1]
        wanted: list[tuple[str, str | None]] = [(r, None) for r in regions] if last == "cells" else [*keys]
        self._summary.partitions["total"] = len(wanted)
        counted = _OF_CUBE if last == "pyramid" else (last,)
        for region, month in wanted:
            states = [self._count_one(product, region, month) for product in counted]
            self._summary.partitions[min(states, key=_WORST.index)] += 1
        named = {(f["product"], f["region"], f["month"]) for f in self._summary.failures}
        for (product, key), cause in self._causes.items():
            region, month = region_and_month(key)
            if (product, region, month) not in named:
                self._fail(product, region, month, cause)
        self._summary.refused = self._is_refused()
        self._summary.outputs = {
            p: self._storage.uri(path.CUBE if p in _OF_CUBE else p) for p in self._products if self._is_there(p, wanted)
        }

    def _is_there(self, product: str, wanted: list[tuple[str, str | None]]) -> bool:
        """Whether something of a product is stored for what was asked for."""
        keys = [(r, None) for r, _ in wanted] if product == "cells" else [(r, m) for r, m in wanted if m]
        return any(self._storage.sound_receipt(name, *k) for name in self._assets(product) for k in keys)

    def _count_one(self, product: str, region: str, month: str | None) -> str:
        """Count the tasks of a partition; returns what it came to."""
        receipt = self._storage.sound_receipt(product, region, month)
        key = region if month is None else str(cube_key(region, month))
        made = receipt is not None and receipt.run_id in self._summary.run_ids
        late = product == "pyramid"  # what failed in one says nothing of the composite
        cause = self._failed.get((late, key)) or self._failed.get((late, region))
        if receipt is None or (not made and cause):
            note = self._storage.failure(product, region, month)
            self._summary.usd["actual"] += note.usd if note and note.run_id in self._summary.run_ids else 0.0
            if not any(k[1] in (key, region) for k in self._causes):
                self._fail(product, region, month, cause or "it was not made; see the run in the UI")
            return "failed"
        if receipt.emptiness:
            where = {"product": product, "region": region, "month": month}
            self._summary.empty.append(where | {"reason": receipt.emptiness})
        if made or receipt.status != "ok":
            self._count_tasks(receipt)
            return receipt.status
        self._summary.tasks["skipped"] += len(receipt.blocks)
        return "skipped"

    def _is_refused(self) -> bool:
        """Whether nothing was made for faults of the project alone."""
        counted = self._summary.partitions
        if not self._causes or self._summary.tasks["ok"] or any(counted[k] for k in ("ok", "partial", "skipped")):
            return False
        notes = [self._storage.failure(product, *region_and_month(key)) for product, key in self._causes]
        return all(n and n.error == ConfigError.__name__ and n.run_id in self._summary.run_ids for n in notes)

    def _count_tasks(self, receipt: PartitionReceipt) -> None:
        tasks, figures = self._summary.tasks, receipt.figures
        tasks["ok"] += int(figures.get("blocks_made", 0))
        tasks["failed"] += int(figures.get("blocks_failed", 0))
        tasks["skipped"] += int(figures.get("blocks_kept", 0))
        self._summary.bytes_read += int(figures.get("bytes_read", 0))
        self._summary.requests += int(figures.get("requests", 0))
        if receipt.run_id in self._summary.run_ids:
            self._summary.usd["actual"] += float(figures.get("usd", 0.0))
        for block in receipt.failures:
            self._fail(
                receipt.product,
                receipt.region,
                receipt.month,
                str(block.cause),
                block=f"{block.row},{block.col}",
                cells_=block.cells,
            )

    def _fail(
        self,
        product: str,
        region: str,
        month: str | None,
        cause: str,
        *,
        block: str | None = None,
        cells_: list[str] | None = None,
    ) -> None:
        self._summary.failures.append(
            {
                "product": product,
                "region": region,
                "month": month,
                "block": block,
                "cells": cells_ or [],
                "cause": cause,
            }
        )


def _title(strip: Strip) -> str:
    if strip.region is None:
        return strip.assets[0]
    span = strip.months[0] if len(strip.months) == 1 else f"{strip.months[0]} to {strip.months[-1]}"
    return f"{strip.assets[-1]} {strip.region} {span}"


def _cpu_s() -> float:
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(p.ru_utime + p.ru_stime for p in parts)


def initialize(storage: Storage) -> None:
    """Clear the cube with its receipts and pictures; cells, scenes and areas stay.

    Raises:
        ConfigError: What lies in the cube's place is none of ours; nothing was deleted.
    """
    cube = storage.names(path.CUBE)
    receipts = [name for product in _OF_CUBE[::-1] for name in storage.names(path.receipts(product))]
    notes = [name for product in _OF_CUBE for name in storage.names(path.failures(product))]
    pictures = [name for product in _OF_CUBE for name in storage.names(f"quicklooks/{product}")]
    if cube and not receipts and not _is_cube(storage.uri(path.CUBE)):
        raise ConfigError(
            f"{storage.uri(path.CUBE)} holds files and is no cube of geo_assets: move it away, or choose another storage"
        )
    # Receipts last: after a cube that is damaged, or half deleted, they tell that it is ours
    for name in (*cube, *pictures, *notes, *receipts):
        storage.delete(name)
    if "://" not in storage.root:
        shutil.rmtree(storage.uri(path.CUBE), ignore_errors=True)


def _is_cube(uri: str) -> bool:
    for kind in available("stores"):
        with contextlib.suppress(StoreError, ConfigError):  # foreign, damaged, or of a store that cannot be there
            if load("stores", kind).open(uri).describe() is not None:
                return True
    return False
