"""``geo-assets run``: materializes through Dagster, strip by strip, and says what came of it."""

import contextlib
import resource
import shutil
import time
from collections.abc import Callable
from typing import Any

import dagster as dg

from geo_assets.assets.jobs import CALL
from geo_assets.assets.live import sharing
from geo_assets.assets.partitions import cube_key, register_regions
from geo_assets.doors.catalog import refuse_unusable
from geo_assets.doors.instance import Outcome, Runner, deployed, workspace
from geo_assets.doors.plan import refuse_unmakeable
from geo_assets.doors.plan_prediction import predictor_of, refuse_unrunnable, with_sources
from geo_assets.doors.run_options import RunOptions
from geo_assets.doors.spending import Ask, agreed, refuse
from geo_assets.doors.strips import Strip, cube_strips, region_strips, select
from geo_assets.doors.tally import ARD, OF_CUBE, PREDICTION, Assets, Summary, Tally
from geo_assets.doors.tiles import read_tiles
from geo_assets.errors import ConfigError, StoreError
from geo_assets.model import path
from geo_assets.model.cost import Estimate
from geo_assets.project import LoadedProject
from geo_assets.registry import available, load
from geo_assets.storage import Storage
from geo_assets.tasks import areas, cells
from geo_assets.tasks.chip_publish import project_table
from geo_assets.tasks.chip_recipe import PRODUCT as CHIPS
from geo_assets.tasks.layout import refuse_other_layout, refuse_other_store

Progress = Callable[[str, int, int], None]


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
    predictor = predictor_of(place.project, periods, products)
    if predictor is not None:
        refuse_unrunnable(predictor, load("compute", place.project.compute.backend), place.project.compute)
    if any(CHIPS in (p, *place.project.needs(p)) for p in products):
        _check_table(place)
    runner = Runner(loaded, console=console)
    runner.fail_orphans()
    if options.initialize and not set(products) & set(OF_CUBE):
        raise ConfigError("--initialize clears the cube, and what is to be made lies outside of it: leave one out")
    if not options.initialize:
        _check_storage(place)
    run = _Run(runner, place, Assets(place.project, products, predictor), options, progress)
    keys, named = [(r, m) for r in regions for m in months], None
    if options.tiles is not None:
        tiles = table.cells if loaded.project.grid.kind == "tiles" else None
        asked = read_tiles(options.tiles, regions, months, cells=tiles)
        keys, named = asked.partitions, asked.cells
        run.only(named)
    if options.retry_failed:
        keys = run.failed(keys)
    maps = keys[: options.limit]
    run.only_maps(maps)
    if predictor is not None and options.products == ["prediction"] and not any(m in predictor.series for _, m in maps):
        raise ConfigError(
            f"{predictor.product} has no partition among those: its months are {_listed(list(predictor.series))}"
        )
    keys = with_sources(maps, predictor, table)
    if predictor is not None:
        regions = [r for r in table.regions if r in regions or any(r == k[0] for k in keys)]
    if options.limit or options.retry_failed or options.tiles is not None:
        regions = [r for r in regions if any(r == k[0] for k in keys)]
    anew = options.overwrite or options.initialize
    run.expect(agreed(workspace(loaded), keys, periods, products, maps=maps, only=named, overwrite=anew, ask=ask))
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


def _check_table(loaded: LoadedProject) -> None:
    """Find out before work starts whether the table of chips can be used.

    Raises:
        ConfigError: It cannot.
        PluginError: Its library is not installed.
    """
    try:
        project_table(loaded.project, loaded.storage.root, CHIPS)
    except StoreError as e:
        raise ConfigError(f"{e}; nothing was started") from e


class _Run:
    def __init__(
        self, runner: Runner, loaded: LoadedProject, assets: Assets, options: RunOptions, progress: Progress | None
    ) -> None:  # fmt: skip
        self._runner, self._storage = runner, loaded.storage
        self._options, self._progress = options, progress
        self._assets = assets
        self._tally = Tally(loaded.storage, self._assets)
        self._cells: frozenset[str] = frozenset()  # those alone that are asked for; empty: all

    def expect(self, estimate: Estimate) -> None:
        """Note what was agreed to."""
        self._tally.summary.usd["predicted"] = estimate.usd

    def only(self, cells: frozenset[str] | None) -> None:
        """Make nothing of other cells, of what is made cell by cell."""
        self._cells = cells or frozenset()

    def only_maps(self, keys: list[tuple[str, str]]) -> None:
        """Run the model for these partitions alone."""
        self._assets.only_maps(keys)

    def failed(self, keys: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those of some partitions that failed, are partial, or have a receipt that cannot tell."""
        names, by_region = self._assets.names(), self._assets.by_region
        known = {key for name in names for key in self._runner.failed(name)}
        noted = set(self._storage.names(path.FAILURES))
        known |= {str(cube_key(*k)) for k in keys for n in names if path.failure(n, *k) in noted}
        known |= {k[0] for k in keys for n in names if by_region(n) and path.failure(n, k[0]) in noted}
        made = [n for n in names if n in (*OF_CUBE, CHIPS) or n.startswith((ARD, PREDICTION))]

        def bad(region: str, month: str) -> bool:
            keyed = {str(cube_key(region, month)), region} & known
            return bool(keyed) or any(self._is_partial(n, region, None if by_region(n) else month) for n in made)

        return [k for k in keys if bad(*k)]

    def _is_partial(self, product: str, region: str, month: str | None) -> bool:
        receipt = self._storage.sound_receipt(product, region, month)
        if receipt is None:
            return self._storage.read(path.receipt(product, region, month)) is not None
        return receipt.status != "ok"

    def go(self, regions: list[str], keys: list[tuple[str, str]], months: list[str]) -> Summary:
        began, cpu = time.perf_counter(), _cpu_s()
        summary = self._tally.summary
        summary.keys = [*((r, None) for r in regions), *keys]
        register_regions(self._runner.instance, regions)
        strips = self._strips(regions, keys, months)
        with sharing():
            for i, strip in enumerate(strips):
                if self._progress:
                    self._progress(_title(strip), i, len(strips))
                outcome = self._execute(strip)
                self._tally.note(outcome.run_id, outcome.causes.items(), strip.keys)
                if outcome.interrupted:
                    raise KeyboardInterrupt
        if self._progress:
            self._progress("done", len(strips), len(strips))
        self._tally.count(regions, keys)
        summary.wall_s, summary.cpu_s = time.perf_counter() - began, _cpu_s() - cpu
        return summary

    def _strips(self, regions: list[str], keys: list[tuple[str, str]], months: list[str]) -> list[Strip]:
        """Runs in the order in which what they make is needed: one run takes one set of partitions."""
        order = self._runner.instance.get_dynamic_partitions("region")
        names, by_region = self._assets.names(), self._assets.by_region
        strips = region_strips(["cells"], regions, order)
        if of_region := [n for n in names if by_region(n)]:
            strips += region_strips(of_region, regions, order)
        if of_month := [n for n in names if not by_region(n) and not n.startswith(PREDICTION)]:
            strips += cube_strips(of_month, keys, months)
        for name in (n for n in names if n.startswith(PREDICTION)):  # has partitions of some months only
            own = [m for m in months if self._assets.predictor and m in self._assets.predictor.series]
            strips += cube_strips([name], self._assets.keys(name, keys), own)
        return strips

    def _execute(self, strip: Strip) -> Outcome:
        config: dict[str, dict[str, Any]] = {}
        for asset in strip.assets:
            if asset in (*OF_CUBE, CHIPS) and self._options.overwrite:
                config[asset] = {"config": {"overwrite": True}}
            elif asset.startswith(PREDICTION) and self._options.overwrite and not self._by_cell(asset):
                config[dg.AssetKey(asset.split("/")).to_python_identifier()] = {"config": {"overwrite": True}}
            elif self._by_cell(asset) and (self._options.overwrite or self._cells):
                wanted = {"overwrite": self._options.overwrite, "cells": sorted(self._cells)}
                config[dg.AssetKey(asset.split("/")).to_python_identifier()] = {"config": wanted}
        return self._runner.run(
            strip.assets, strip.first, strip.last, config={"ops": config} if config else None, tags={CALL: self._tally.summary.id}
        )  # fmt: skip

    def _by_cell(self, asset: str) -> bool:
        """Whether cells of it can be made one by one."""
        predictor = self._assets.predictor
        return asset.startswith(ARD) or (asset.startswith(PREDICTION) and predictor is not None and predictor.of_tiles)


def _listed(months: list[str]) -> str:
    return ", ".join(months[:12]) + (", ..." if len(months) > 12 else "")


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
    receipts = [name for product in OF_CUBE[::-1] for name in storage.names(path.receipts(product))]
    notes = [name for product in OF_CUBE for name in storage.names(path.failures(product))]
    pictures = [name for product in OF_CUBE for name in storage.names(f"quicklooks/{product}")]
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
