"""What came of a run, partition by partition, from the receipts that it left and the causes that Dagster tells."""

import datetime as dt
import resource
import sys
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from geo_assets.assets.partitions import cube_key, region_and_month
from geo_assets.doors.doubted import doubted_tiles
from geo_assets.errors import ConfigError
from geo_assets.model import path
from geo_assets.model.ard import by_region
from geo_assets.model.project import Product, Project
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.registry import sensor_of
from geo_assets.storage import Storage
from geo_assets.tasks.ard_partition import ard_sensors
from geo_assets.tasks.ard_partition import product as ard_product
from geo_assets.tasks.chip_recipe import PRODUCT as CHIPS
from geo_assets.tasks.chip_recipe import chip_sensors
from geo_assets.tasks.predictor import Predictor
from geo_assets.tasks.search import product as scenes_product

OF_CUBE = ("composite", "pyramid")  # assets that lie in the cube
ARD = "ard/"
PREDICTION = "prediction/"
_READ = ("composite", "ard")  # products that models read
_WORST = ("failed", "partial", "ok", "skipped")


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
    doubted: list[dict[str, Any]] = field(default_factory=list)
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
            "failures": self.failures, "empty": self.empty, "doubted": self.doubted, "outputs": self.outputs, "report": self.report,
        }  # fmt: skip


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


class Assets:
    """Which assets a run is about.

    Args:
        project: The recipes.
        products: What is made, with all that it needs.
        predictor: The model that is run, if one is.
    """

    def __init__(self, project: Project, products: Sequence[Product], predictor: Predictor | None = None) -> None:
        self._project, self.products, self.predictor = project, list(products), predictor
        self._maps: frozenset[tuple[str, str]] | None = None

    def only_maps(self, keys: Iterable[tuple[str, str]]) -> None:
        """Make maps of these partitions alone; the others are what those are made from."""
        self._maps = frozenset(keys)

    def keys(self, asset: str, keys: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those of some regions and months of which an asset has partitions."""
        if not asset.startswith(PREDICTION) or self.predictor is None:
            return list(keys)
        series = self.predictor.series
        return [k for k in keys if k[1] in series and (self._maps is None or k in self._maps)]

    def of(self, product: str) -> list[str]:
        """Names of a product's assets."""
        project = self._project
        if product == "prediction":
            return [self.predictor.product] if self.predictor else []
        if product == "ard":
            return [ard_product(name) for name in ard_sensors(project)]
        if product != "scenes":
            return [product]
        return [scenes_product(s.sensor) for s in project.sensors]

    def by_region(self, asset: str) -> bool:
        """Whether an asset is partitioned by region alone."""
        kind, _, sensor = asset.partition("/")
        if kind not in ("scenes", "ard"):
            return False
        static = sensor_of(self._project.sensor(sensor)).static
        return by_region(self._project.ard, static=static) if kind == "ard" else static

    @property
    def of_tiles(self) -> set[str]:
        """Products whose files are those of yearly tiles."""
        maps = self.predictor is not None and self.predictor.of_tiles
        return ({"ard"} if self._project.ard.layout == "tiles" else set()) | ({"prediction"} if maps else set())

    def names(self) -> list[str]:
        """All of them but the cells."""
        return [n for p in self.products if p != "cells" for n in self.of(p)]

    def finals(self) -> list[str]:
        """Those from which nothing else that is wanted is made; of scenes those of the last sensor.

        What a model reads is some of them: composites of many months for one map, or tiles of which some may be missing.
        """
        needed = {n for p in self.products for n in self._project.needs(p) if p != "prediction" or n not in _READ}
        finals = [names for p in self.products if p not in needed and (names := self.of(p))]
        return [a for assets in finals for a in (assets[-1:] if assets[0].startswith("scenes/") else assets)]

    def feeding(self, asset: str) -> tuple[str, ...]:
        """An asset and those without which nothing of it can be made; what fails in a pyramid says nothing of its composite."""
        if asset == "composite":
            return asset, scenes_product(self._project.cube.sensor), "cells"
        if asset.startswith(ARD):
            return asset, scenes_product(asset.removeprefix(ARD)), "cells"
        if asset == CHIPS:
            return asset, *(scenes_product(name) for name in chip_sensors(self._project)), "cells"
        return (asset,) if asset == "pyramid" or asset.startswith(PREDICTION) else (asset, "cells")


class Tally:
    """Counts what came of a run.

    Args:
        storage: Holds receipts and notes.
        assets: What the run was about.
    """

    def __init__(self, storage: Storage, assets: Assets) -> None:
        self._storage, self._assets = storage, assets
        self._causes: dict[tuple[str, str], str] = {}  # by asset and key; of a step as a whole its first key
        self._failed: dict[tuple[str, str], str] = {}  # by asset and every key
        self.summary = Summary()

    def note(self, run_id: str, causes: Iterable[tuple[tuple[str, str], str]], keys: Sequence[str]) -> None:
        """Take why partitions of one run failed; a cause without a key is that of a step as a whole, of all keys."""
        self.summary.run_ids.append(run_id)
        for (asset, key), cause in causes:
            self._causes[asset, key or keys[0]] = cause
            self._failed |= {(asset, k): cause for k in ([key] if key else keys)}

    def _cause(self, asset: str, key: str, region: str) -> str:
        """Why a partition could not be made, or ""."""
        found = (self._failed.get((a, k)) for a in self._assets.feeding(asset) for k in (key, region))
        return next(filter(None, found), "")

    def count(self, regions: list[str], keys: list[tuple[str, str]]) -> None:
        """Count the partitions of the products from which nothing else is made (by the worse of both in the cube)."""
        wanted: list[tuple[str, str | None]] = [*keys]
        for asset in self._assets.finals():
            counted = OF_CUBE if asset == "pyramid" else (asset,)
            by_region = asset == "cells" or self._assets.by_region(asset)
            for region, month in [(r, None) for r in regions] if by_region else self._assets.keys(asset, keys):
                states = [self._count_one(product, region, month) for product in counted]
                self.summary.partitions["total"] += 1
                self.summary.partitions[min(states, key=_WORST.index)] += 1
        named = {(f["product"], f["region"], f["month"]) for f in self.summary.failures}
        for (product, key), cause in self._causes.items():
            region, month = region_and_month(key)
            if (product, region, month) not in named:
                self._fail(product, region, month, cause)
        self._doubt(regions, keys)
        self.summary.refused = self._is_refused()
        self.summary.outputs = {
            p: self._storage.uri(path.CUBE if p in OF_CUBE else p)
            for p in self._assets.products
            if self._is_there(p, wanted)
        }
        if self._assets.of_tiles & {*self.summary.outputs}:
            self.summary.outputs[path.TILES] = self._storage.uri(path.TILES)

    def _doubt(self, regions: list[str], keys: list[tuple[str, str]]) -> None:
        """List the yearly tiles that are faulty or doubtful, also where only a model reads them."""
        for asset in self._assets.names():
            if asset.startswith(ARD) and "ard" in self._assets.of_tiles:
                places = [(r, None) for r in regions] if self._assets.by_region(asset) else keys
                receipts = (self._storage.sound_receipt(asset, *place) for place in places)
                self.summary.doubted += doubted_tiles(self._storage, filter(None, receipts))

    def _is_there(self, product: str, wanted: list[tuple[str, str | None]]) -> bool:
        """Whether something of a product is stored for what was asked for."""
        regions = list(dict.fromkeys((r, None) for r, _ in wanted))
        for name in self._assets.of(product):
            keys = regions if product == "cells" or self._assets.by_region(name) else [(r, m) for r, m in wanted if m]
            if any(self._storage.sound_receipt(name, *k) for k in keys):
                return True
        return False

    def _count_one(self, product: str, region: str, month: str | None) -> str:
        """Count the tasks of a partition; returns what it came to."""
        receipt = self._storage.sound_receipt(product, region, month)
        key = region if month is None else str(cube_key(region, month))
        made = receipt is not None and receipt.run_id in self.summary.run_ids
        cause = self._cause(product, key, region)
        if receipt is None or (not made and cause):
            note = self._storage.failure(product, region, month)
            self.summary.usd["actual"] += note.usd if note and note.run_id in self.summary.run_ids else 0.0
            told = {(a, k) for a in self._assets.feeding(product) for k in (key, region)}
            if not told & self._causes.keys():
                self._fail(product, region, month, cause or "it was not made; see the run in the UI")
            return "failed"
        if receipt.emptiness:
            where = {"product": product, "region": region, "month": month}
            self.summary.empty.append(where | {"reason": receipt.emptiness})
        if made or receipt.status != "ok":
            self._count_tasks(receipt)
            return receipt.status
        self.summary.tasks["skipped"] += len(receipt.blocks)
        return "skipped"

    def _is_refused(self) -> bool:
        """Whether nothing was made for faults of the project alone."""
        counted = self.summary.partitions
        if not self._causes or self.summary.tasks["ok"] or any(counted[k] for k in ("ok", "partial", "skipped")):
            return False
        notes = [self._storage.failure(product, *region_and_month(key)) for product, key in self._causes]
        return all(n and n.error == ConfigError.__name__ and n.run_id in self.summary.run_ids for n in notes)

    def _count_tasks(self, receipt: PartitionReceipt) -> None:
        tasks, figures = self.summary.tasks, receipt.figures
        tasks["ok"] += int(figures.get("blocks_made", 0))
        tasks["failed"] += int(figures.get("blocks_failed", 0))
        tasks["skipped"] += int(figures.get("blocks_kept", 0))
        self.summary.bytes_read += int(figures.get("bytes_read", 0))
        self.summary.requests += int(figures.get("requests", 0))
        if receipt.run_id in self.summary.run_ids:
            self.summary.usd["actual"] += float(figures.get("usd", 0.0))
        for block in receipt.failures:
            self._fail(
                receipt.product,
                receipt.region,
                receipt.month,
                str(block.cause),
                block=block.name or f"{block.row},{block.col}",
                cells_=block.missing or block.cells,
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
        self.summary.failures.append(
            {
                "product": product,
                "region": region,
                "month": month,
                "block": block,
                "cells": cells_ or [],
                "cause": cause,
            }
        )
