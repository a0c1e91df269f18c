"""What was made: one receipt a block, and one a partition that holds them; and a note of what could not be made."""

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, field_validator

from geo_assets.model.recipe import digest
from geo_assets.model.scene import Scene

Status = Literal["ok", "partial", "failed"]
Chunk = Annotated[list[NonNegativeInt], Field(min_length=2, max_length=2)]
_NUMBERS = ("pixels", "observed_share", "n_clear_mean", "bytes_read", "requests", "blocks_made", "blocks_failed", "blocks_kept")  # fmt: skip

_FIGURE = re.compile(r"\d+(?:[.-]\d+)*")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")  # an older version reads a newer one's receipts


class BandFigures(_Record):
    """Stored values of one band over a block's observed pixels, from a regular sample of at most 65,536 pixels."""

    p01: float
    p50: float
    p99: float
    floor_share: float = Field(description="share of pixels at 1, the value below which an offset never takes them")


class BlockReceipt(_Record):
    """One task: what it read, made, took and cost."""

    row: int
    col: int
    name: str = Field(default="", description="what it is of a product that has no blocks, such as a scene")
    key: str = Field(description="fingerprint of scenes, recipe and code")
    chunks: list[Chunk] = Field(description="chunks that are made, as row and column within the block")
    cells: list[str] = Field(default_factory=list)
    missing: list[str] = Field(default_factory=list, description="cells that could not be made")
    status: Literal["ok", "failed"] = "ok"
    cause: str | None = None
    error: str | None = None
    scene_ids: list[str] = Field(default_factory=list, description="scenes that reached the block")
    height_ids: list[str] = Field(default_factory=list, description="scenes that heights of its ground came from")
    days: int = Field(default=0, description="solar days among them")
    cover: float = Field(default=0.0, description="scenes that a pixel has on average, by their footprints")
    pixels: int = 0
    observed: int = Field(default=0, description="pixels with every band")
    n_clear_mean: float = 0.0
    bands: dict[str, BandFigures] = Field(default_factory=dict)
    classes: dict[str, int] = Field(default_factory=dict, description="of a map, pixels of each class by its value")
    bytes_read: int = 0
    requests: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    attempts: int = 1
    backend: str = Field(default="", description="compute backend that made it, or tried to")
    place: str = Field(default="", description="cloud region that it ran in")
    worker: str = Field(default="", description="host and process")
    queued_s: float = Field(default=0.0, description="waited for a worker, and was on the way")
    run_s: float = Field(default=0.0, description="last try on the worker")
    billed_s: float = Field(default=0.0, description="paid for, of all tries")
    start_s: float = Field(
        default=0.0, description="those of them that its worker took to start, where it was its first task"
    )
    usd: float = 0.0
    usd_predicted: float = Field(default=0.0, description="what was expected before it started")
    peak_mb: float | None = Field(default=None, description="most memory of its process")
    ended_at: float = Field(default=0.0, description="seconds since 1970 by the driver's clock")
    run_id: str = Field(default="", description="run that made it, or tried to")
    kind: str = Field(default="", description="of a failure: error, timeout, memory, lost or payload")
    notes: list[str] = Field(default_factory=list)
    days_dropped: dict[str, int] = Field(
        default_factory=dict,
        description="of a yearly tile without a day, its candidates by the reason why they are not used",
    )
    faults: list[str] = Field(default_factory=list, description="of a yearly tile, what is certainly wrong")
    doubts: list[str] = Field(default_factory=list, description="of a yearly tile, what is rarely right")
    href: str = Field(default="", description="of chips, group with the pixels of a scene's")
    page: str = Field(default="", description="of a yearly tile, object with its page")


class SceneUse(_Record):
    """Provenance of one scene of a partition."""

    id: str
    collection: str
    time: str
    solar_day: str
    baseline: str
    offset: int
    hrefs: dict[str, str] = Field(description="by band, without signature")


def scene_use(scene: Scene) -> SceneUse:
    """Provenance of a scene."""
    return SceneUse(
        id=scene.item_id, collection=scene.collection, time=scene.time, solar_day=scene.solar_day, baseline=scene.baseline, offset=scene.dn_offset, hrefs=dict(scene.hrefs)
    )  # fmt: skip


class Dropped(_Record):
    """A scene that was left out, and why."""

    id: str
    reason: str
    duplicate_of: str | None = None


class PartitionReceipt(_Record):
    """One partition of a product: the truth about what the store holds."""

    product: str
    region: str
    month: str | None = None
    status: Status
    data_version: str
    recipe_hash: str = ""
    scene_hash: str = ""
    code_version: str = ""
    run_id: str = ""
    snapshot: str = ""
    cube: str = Field(default="", description="id of the cube that holds the partition")
    made_at: dt.datetime
    wall_s: float = 0.0
    scenes: list[SceneUse] = Field(default_factory=list)
    heights: list[SceneUse] = Field(default_factory=list, description="scenes that heights of the ground came from")
    dropped: list[Dropped] = Field(default_factory=list)
    blocks: list[BlockReceipt] = Field(default_factory=list)
    figures: dict[str, Any] = Field(default_factory=dict)

    @field_validator("figures")
    @classmethod
    def _are_figures(cls, figures: dict[str, Any]) -> dict[str, Any]:
        odd = [name for name in _NUMBERS if not isinstance(figures.get(name, 0), int | float)]
        if odd or not isinstance(figures.get("recipe", {}), dict):
            raise ValueError(f"figure {(odd or ['recipe'])[0]} has another type")
        return figures

    @property
    def failures(self) -> list[BlockReceipt]:
        """Blocks that failed."""
        return [b for b in self.blocks if b.status == "failed"]

    @property
    def emptiness(self) -> str:
        """Why a composite that is made holds no pixel, or ""."""
        if not self.blocks or self.failures or any(b.observed for b in self.blocks):
            return ""
        if self.product.startswith("prediction/"):
            return "no pixel has all that the model reads: all is nodata"
        if self.product == "chips" and self.scenes:
            return f"none of its {len(self.scenes)} scenes has enough pixels in a chip"
        scenes, left_out = len(self.scenes), len(self.dropped)
        if why := self._days_dropped:
            return why
        if scenes:
            return f"no pixel is clear in its {scenes} scenes: all is nodata"
        return (
            f"none of its {left_out} scenes is used: all is nodata"
            if left_out
            else "no scene in this period: all is nodata"
        )

    @property
    def _days_dropped(self) -> str:
        """Why no day of yearly tiles is used, or ""."""
        reasons = reasons_counted(pair for b in self.blocks for pair in b.days_dropped.items())
        if not reasons:
            return ""
        why, most = next(iter(reasons.items()))
        days, tiles = sum(reasons.values()), sum(1 for b in self.blocks if b.days_dropped)
        of = f" of {tiles} tiles" if tiles > 1 else ""
        like = " or the like" if most > 1 else ""
        return f"none of the {days} candidate days{of} is used: all is nodata; most often ({most}) since: {why}{like}"


def reasons_counted(reasons: Iterable[tuple[str, int]]) -> dict[str, int]:
    """How often each reason is given, the commonest first; those that differ only in figures are one, in the first's words."""
    words: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for reason, times in reasons:
        counts[words.setdefault(_FIGURE.sub("#", reason), reason)] += times
    return dict(counts.most_common())


class FailureNote(_Record):
    """Why the last try of a partition brought nothing; it goes once a try succeeds, and says nothing of what is stored."""

    product: str
    region: str
    month: str | None = None
    cause: str
    error: str = Field(description="class of the error")
    run_id: str = ""
    usd: float = Field(default=0.0, description="what its tasks cost all the same")
    at: dt.datetime


def composite_version(blocks: list[BlockReceipt] | list[tuple[int, int, str, list[list[int]]]]) -> str:
    """Data version of a composite partition from its blocks' keys and chunks; their order does not count."""
    rows = [(b.row, b.col, b.key, b.chunks) if isinstance(b, BlockReceipt) else b for b in blocks]
    return digest(sorted([r, c, key, sorted(map(list, chunks))] for r, c, key, chunks in rows))
