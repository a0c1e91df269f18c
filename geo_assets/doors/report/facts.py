"""What a report tells: one pass over the receipts of a storage root, each kept only as its figures."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from geo_assets.doors.reader import Store
from geo_assets.model.receipt import BlockReceipt, Dropped, PartitionReceipt, SceneUse
from geo_assets.tasks.partition import PRODUCT

_PLACES = 6  # partitions that are remembered of a scene

Key = tuple[object, ...]  # what tells a row from others: a catalog may have several items of one id
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
    work_s: float
    bytes_read: int
    pixels: int
    observed: int
    clear_days: float
    used: frozenset[Key]
    dropped: frozenset[Key]


@dataclass(frozen=True)
class Failure:
    """A block that could not be made."""

    region: str
    month: str
    block: str
    cells: tuple[str, ...]
    cause: str


@dataclass
class UsedScene:
    """One version of a scene that composites were made from, over all partitions."""

    id: str
    time: str
    solar_day: str
    baseline: str
    offset: int
    used_in: list[tuple[str, str]] = field(default_factory=list)
    uses: int = 0


@dataclass
class DroppedScene:
    """One scene that was left out for a reason, over all partitions; when it was acquired its receipts do not say."""

    id: str
    reason: str
    duplicate_of: str | None
    seen_in: tuple[str, str]
    time: str = ""
    solar_day: str = ""
    baseline: str = ""


@dataclass
class Facts:
    """All that is told.

    Attributes:
        partitions: Of the composite, by month and region.
        failures: Of their blocks.
        used_scenes: By their key.
        dropped_scenes: By their key.
        made: By region and block the chunks that are made in any month.
        products: Partitions by product.
    """

    partitions: list[Partition] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    used_scenes: dict[Key, UsedScene] = field(default_factory=dict)
    dropped_scenes: dict[Key, DroppedScene] = field(default_factory=dict)
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
    def used(self) -> list[UsedScene]:
        """Scenes that a composite was made from, by time."""
        return sorted(self.used_scenes.values(), key=lambda s: (s.time, s.id))

    @property
    def dropped(self) -> list[DroppedScene]:
        """Scenes that were left out, by partition."""
        return sorted(self.dropped_scenes.values(), key=lambda s: (s.seen_in[1], s.id))


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
            seconds=sum(p.work_s for p in chosen),
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
    reached = {i for b in blocks for i in b.scene_ids}
    used = {_use_key(s): s for s in receipt.scenes if s.id in reached}
    gone = {_gone_key(d): d for d in receipt.dropped}
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
            # Partitions are made side by side: their own time counts what others took
            work_s=sum(b.run_s or b.wall_s for b in blocks if b.run_id in ("", receipt.run_id)),
            bytes_read=int(receipt.figures.get("bytes_read", 0)),
            pixels=pixels,
            observed=sum(b.observed for b in blocks),
            clear_days=sum(b.n_clear_mean * b.pixels for b in blocks) / pixels if pixels else 0.0,
            used=frozenset(used),
            dropped=frozenset(gone),
        )
    )
    _add_scenes(facts, used, gone, (receipt.region, month))
    for block in blocks:
        _add_block(facts, receipt.region, month, block)


def _use_key(use: SceneUse) -> Key:
    return use.collection, use.id, use.time, use.baseline, use.offset


def _gone_key(gone: Dropped) -> Key:
    return gone.id, gone.reason, gone.duplicate_of


def _add_scenes(facts: Facts, used: dict[Key, SceneUse], gone: dict[Key, Dropped], place: tuple[str, str]) -> None:
    region, month = place
    for key, use in used.items():
        scene = facts.used_scenes.setdefault(key, UsedScene(use.id, use.time, use.solar_day, use.baseline, use.offset))
        scene.uses += 1
        scene.used_in += [(month, region)] if len(scene.used_in) < _PLACES else []
    for key, left in gone.items():
        facts.dropped_scenes.setdefault(key, DroppedScene(left.id, left.reason, left.duplicate_of, place))


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
