"""What is sent to a worker and what comes back around a receipt."""

from dataclasses import dataclass
from typing import Any, Literal

from geo_assets.model.collection import SensorRecipe
from geo_assets.model.geometry import Block, PixelGrid
from geo_assets.model.recipe import CatalogRecipe, CubeRecipe, MaskRecipe, digest
from geo_assets.model.scene import Scene
from geo_assets.model.terrain import TerrainCorrection


@dataclass(frozen=True)
class CompositeTask:
    """One block and month of the composite.

    Attributes:
        region: Key of its region.
        month: Key of its period.
        time_index: Place of the period on the cube's time axis.
        block: Which block.
        grid: Pixel grid of the group.
        chunks: Chunks to compute as (row, column) within the block, from its upper left.
        scenes: Scenes that reach these chunks, in the order of datetime, then item id.
        cube: Recipe of the cube.
        mask: Recipe of the mask.
        sensor: The cube's sensor, as the project has it.
        catalog: Where the scenes came from: says what may be read and who signs.
        writer: Handle of the store's writer.
        key: Fingerprint of everything that the block's pixels depend on.
        terrain: What brings pixels onto a map, where the sensor's do not lie on one.
        cells: Cells that the block touches, for messages.
        adds: Whether the block's other chunks stay as they are; else they are emptied, whatever they hold.
        repeatable: Whether a second try may run beside a first one: the store takes one of both, whole.
    """

    region: str
    month: str
    time_index: int
    block: Block
    grid: PixelGrid
    chunks: tuple[tuple[int, int], ...]
    scenes: tuple[Scene, ...]
    cube: CubeRecipe
    mask: MaskRecipe
    sensor: SensorRecipe
    catalog: CatalogRecipe
    writer: bytes
    key: str
    terrain: TerrainCorrection | None = None
    cells: tuple[str, ...] = ()
    adds: bool = False
    repeatable: bool = False

    @property
    def name(self) -> str:
        """For messages: region, month and block."""
        return f"{self.region} {self.month} block {self.block.row},{self.block.col}"

    @property
    def source(self) -> str:
        """The sensor that it reads, by which ``compute.regions`` says where it runs."""
        return self.cube.sensor


@dataclass(frozen=True)
class PyramidTask:
    """What one block and month of the composite adds to a pyramid; or, without a block, the levels above for the region.

    Attributes:
        region: Key of the region.
        month: Key of its period.
        time_index: Place of the period on the cube's time axis.
        block: Which block; None for the levels whose shard is the region.
        grid: Pixel grid of the group.
        arrays: Name, fill and whether it holds classes, of each array of the group.
        chunks: Chunks of the block that the composite holds, as (row, column) within it.
        store: Kind of the cube's store.
        writer: Handle of the session.
        below: Without a block, what the levels above are made from: the blocks that hold something, each with the changes
            of the task that made it anew in this session, or b"".
        cells: Cells that the block touches, for messages.
    """

    region: str
    month: str
    time_index: int
    block: Block | None
    grid: PixelGrid
    arrays: tuple[tuple[str, float, bool], ...]
    chunks: tuple[tuple[int, int], ...]
    store: str
    writer: bytes
    below: tuple[tuple[Block, bytes], ...] = ()
    cells: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For messages: region, month and block."""
        place = f"block {self.block.row},{self.block.col}" if self.block else "coarse levels"
        return f"pyramid of {self.region} {self.month} {place}"


def scene_hash(scenes: tuple[Scene, ...] | list[Scene]) -> str:
    """Fingerprint of a set of scenes and of all decisions about them; their order does not count."""
    return digest(sorted([list(map(str, s.identity)) for s in scenes]))


Kind = Literal["", "error", "timeout", "memory", "lost", "payload"]


@dataclass(frozen=True)
class TaskResult:
    """How one task ended.

    Attributes:
        index: Place of the task in the list that was given.
        status: ok, error or skipped; retry is only told to who listens to every try.
        value: What the function returned, if it did.
        cause: One line of text, if it did not.
        error: Class of the error.
        kind: What went wrong: the task's own error, its time, its memory, its worker, or that it could not be sent.
        retryable: Whether another try may help.
        attempts: Tries that were made.
        queued_s: Seconds of the last try between being sent and its start, and on the way.
        run_s: Seconds of the last try, on the worker.
        cpu_s: CPU seconds of the last try's thread and what it waited for, where the backend can tell.
        peak_mb: Most memory that its process held during the last try, in MiB, where it had the process for itself.
        worker: Host and process that ran it, where it is not this process.
        region: Cloud region that it ran in, or "".
        ended_at: When it ended, in seconds since 1970: by the worker's clock, within what is possible by the one here.
        billed_s: Seconds that are paid for, of all tries; 0 where nobody is billed.
        start_s: Those of them that the last try's worker took to start, where it was its first.
        usd: What all tries cost.
    """

    index: int
    status: Literal["ok", "error", "skipped", "retry"]
    value: Any = None
    cause: str | None = None
    error: str | None = None
    kind: Kind = ""
    retryable: bool = False
    attempts: int = 1
    queued_s: float = 0.0
    run_s: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float | None = None
    worker: str = ""
    region: str = ""
    ended_at: float = 0.0
    billed_s: float = 0.0
    start_s: float = 0.0
    usd: float = 0.0
