"""What a report tells: one pass over the receipts of a storage root, each kept only as its figures."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from geo_assets.doors.reader import Store
from geo_assets.model.receipt import BlockReceipt, PartitionReceipt
from geo_assets.tasks.partition import PRODUCT

_PLACES = 6  # partitions that are remembered of a scene

Chunks = tuple[int, int, int, int]  # first and last row, first and last column of what is made of a block


@dataclass(frozen=True)
class Partition:
    """One partition of the composite."""

    region: str
    month: str
    status: str
    snapshot: str
    data_version: str
    recipe_hash: str
    code_version: str
    made_at: dt.datetime
    wall_s: float
    bytes_read: int
    pixels: int
    observed: int
    clear_days: float
    used: frozenset[str]
    dropped: frozenset[str]


@dataclass(frozen=True)
class Failure:
    """A block that could not be made."""

    region: str
    month: str
    block: str
    cells: tuple[str, ...]
    cause: str


@dataclass
class SceneFacts:
    """One scene over all partitions."""

    id: str
    time: str = ""
    solar_day: str = ""
    baseline: str = ""
    offset: int | None = None
    used_in: list[tuple[str, str]] = field(default_factory=list)
    uses: int = 0
    reason: str | None = None
    duplicate_of: str | None = None
    seen_in: tuple[str, str] = ("", "")


@dataclass
class Facts:
    """All that is told.

    Attributes:
        partitions: Of the composite, by month and region.
        failures: Of their blocks.
        scenes: By id.
        made: By region and block the chunks that are made in any month.
        products: Partitions by product.
    """

    partitions: list[Partition] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    scenes: dict[str, SceneFacts] = field(default_factory=dict)
    made: dict[str, dict[tuple[int, int], Chunks]] = field(default_factory=lambda: defaultdict(dict))
    products: Counter[str] = field(default_factory=Counter)

    @property
    def regions(self) -> list[str]:
        """Regions with a partition."""
        return sorted({p.region for p in self.partitions})

    @property
    def months(self) -> list[str]:
        """Months with a partition."""
        return sorted({p.month for p in self.partitions})

    @property
    def used(self) -> list[SceneFacts]:
        """Scenes that a composite was made from, by time."""
        return sorted((s for s in self.scenes.values() if s.uses), key=lambda s: (s.time, s.id))

    @property
    def dropped(self) -> list[SceneFacts]:
        """Scenes that were left out, by partition."""
        return sorted((s for s in self.scenes.values() if s.reason), key=lambda s: (s.seen_in[1], s.id))

    def scene(self, scene_id: str) -> SceneFacts:
        """The facts of a scene, new if it was not met before."""
        return self.scenes.setdefault(scene_id, SceneFacts(scene_id))


@dataclass(frozen=True)
class Figures:
    """Sums over some partitions."""

    ok: int
    partial: int
    failed: int
    observed_share: float
    clear_days: float
    used: int
    dropped: int
    bytes_read: int
    seconds: float

    @classmethod
    def of(cls, partitions: Iterable[Partition]) -> "Figures":
        """The sums; a scene of several partitions counts once."""
        chosen = list(partitions)
        status = Counter(p.status for p in chosen)
        pixels = sum(p.pixels for p in chosen)
        return cls(
            ok=status["ok"],
            partial=status["partial"],
            failed=status["failed"],
            observed_share=sum(p.observed for p in chosen) / pixels if pixels else 0.0,
            clear_days=sum(p.clear_days * p.pixels for p in chosen) / pixels if pixels else 0.0,
            used=len(frozenset().union(*(p.used for p in chosen))),
            dropped=len(frozenset().union(*(p.dropped for p in chosen))),
            bytes_read=sum(p.bytes_read for p in chosen),
            seconds=sum(p.wall_s for p in chosen),
        )


def collect(store: Store) -> Facts:
    """The facts of a storage root."""
    facts = Facts()
    for name in store.storage.names("receipts"):
        facts.products["/".join(name.split("/")[1:-2])] += 1
    for receipt in store.storage.receipts(PRODUCT):
        _add(facts, receipt)
    facts.partitions.sort(key=lambda p: (p.month, p.region))
    facts.failures.sort(key=lambda f: (f.month, f.region, f.block))
    return facts


def _add(facts: Facts, receipt: PartitionReceipt) -> None:
    month, blocks = receipt.month or "all", receipt.blocks
    used = frozenset(i for b in blocks for i in b.scene_ids)
    pixels = sum(b.pixels for b in blocks)
    facts.partitions.append(
        Partition(
            region=receipt.region,
            month=month,
            status=receipt.status,
            snapshot=receipt.snapshot,
            data_version=receipt.data_version,
            recipe_hash=receipt.recipe_hash,
            code_version=receipt.code_version,
            made_at=receipt.made_at,
            wall_s=receipt.wall_s,
            bytes_read=int(receipt.figures.get("bytes_read", 0)),
            pixels=pixels,
            observed=sum(b.observed for b in blocks),
            clear_days=sum(b.n_clear_mean * b.pixels for b in blocks) / pixels if pixels else 0.0,
            used=used,
            dropped=frozenset(d.id for d in receipt.dropped),
        )
    )
    _add_scenes(facts, receipt, used, month)
    for block in blocks:
        _add_block(facts, receipt.region, month, block)


def _add_scenes(facts: Facts, receipt: PartitionReceipt, used: frozenset[str], month: str) -> None:
    for use in receipt.scenes:
        scene = facts.scene(use.id)
        scene.time, scene.solar_day, scene.baseline, scene.offset = use.time, use.solar_day, use.baseline, use.offset
        if use.id in used:
            scene.uses += 1
            scene.used_in += [(month, receipt.region)] if len(scene.used_in) < _PLACES else []
    for gone in receipt.dropped:
        scene = facts.scene(gone.id)
        scene.reason, scene.duplicate_of, scene.seen_in = gone.reason, gone.duplicate_of, (receipt.region, month)


def _add_block(facts: Facts, region: str, month: str, block: BlockReceipt) -> None:
    if block.status == "failed":
        cause = block.cause or block.error or "no cause was recorded"
        facts.failures.append(Failure(region, month, f"{block.row},{block.col}", tuple(block.cells), cause))
    if block.chunks:
        rows, cols = [c[0] for c in block.chunks], [c[1] for c in block.chunks]
        had = facts.made[region].get((block.row, block.col), (min(rows), max(rows), min(cols), max(cols)))
        facts.made[region][block.row, block.col] = (
            min(had[0], *rows), max(had[1], *rows), min(had[2], *cols), max(had[3], *cols),
        )  # fmt: skip
