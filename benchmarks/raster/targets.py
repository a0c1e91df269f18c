"""What is asked of every candidate: which pixels, of which scenes, masked how."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from geo_assets.model.crs import parse_resolution
from geo_assets.model.geometry import Block, GeoBox, PixelGrid

RGB = ("red", "green", "blue")
KEEP = (2, 4, 5, 6, 7, 11)
KEEP_STRICT = (4, 5)


@dataclass(frozen=True)
class Target:
    """Composites of some blocks.

    Attributes:
        name: Of the target in tables.
        crs: Of its pixels.
        resolution: Side of a pixel in CRS units; a fraction is allowed.
        block_px: Side of a block in pixels.
        blocks: Row and column of each block on the grid of such blocks.
        scenes: How many scenes, or 0 for one a day and site on ``days`` days.
        days: How many days, where ``scenes`` is 0.
        bands: Which bands.
        keep: Classes that count as clear.
        clean: Radius of the closing, then of the opening, of the mask in pixels; 0 for none.
        part: Only the middle chunk of the first block: to warm up, and to know what starting costs.
    """

    name: str
    crs: str
    resolution: str
    block_px: int
    blocks: tuple[tuple[int, int], ...]
    scenes: int = 16
    days: int = 0
    bands: tuple[str, ...] = RGB
    keep: tuple[int, ...] = KEEP
    clean: int = 0
    part: bool = False

    @property
    def grid(self) -> PixelGrid:
        """The grid that its blocks lie on."""
        return PixelGrid.build(self.crs, parse_resolution(self.resolution), block_px=self.block_px)

    @property
    def chunks(self) -> tuple[tuple[int, int], ...]:
        """Chunks of a block that are made, as row and column within it."""
        n = self.block_px // self.grid.chunk_px
        return ((n // 2, n // 2),) if self.part else tuple((r, c) for r in range(n) for c in range(n))

    @property
    def places(self) -> tuple[Block, ...]:
        """Its blocks."""
        return tuple(Block(*b) for b in self.blocks[: 1 if self.part else None])

    @property
    def boxes(self) -> list[GeoBox]:
        """Windows that are made: its blocks, or the middle chunk of the first."""
        boxes = [self.grid.block_geobox(block) for block in self.places]
        if not self.part:
            return boxes
        chunk, ((row, col),) = self.grid.chunk_px, self.chunks
        return [boxes[0].window(row * chunk, col * chunk, chunk, chunk)]

    @property
    def megapixels(self) -> float:
        """Pixels of all windows, in millions."""
        return sum(box.shape[0] * box.shape[1] for box in self.boxes) / 1e6

    def only_part(self) -> "Target":
        """The same work on its middle chunk only."""
        return replace(self, part=True)

    def next_to_nothing(self) -> "Target":
        """One band of one scene on one chunk: what remains is what starting costs."""
        return replace(self, part=True, bands=self.bands[:1], scenes=min(self.scenes, 1), days=min(self.days, 1))

    def as_json(self) -> dict[str, Any]:
        """For a child process and for the result file."""
        return asdict(self)

    @classmethod
    def of_json(cls, document: dict[str, Any]) -> "Target":
        """From ``as_json`` by way of JSON, which knows no tuples."""
        lists = ("blocks", "bands", "keep")
        known = {k: tuple(v) for k, v in document.items() if k in lists}
        known["blocks"] = tuple((int(r), int(c)) for r, c in known["blocks"])
        return cls(**{**document, **known})


# Blocks are counted from the grid's origin, so these numbers say where the targets lie: all in the scenes of scenes.py
LONLAT = Target("4326", "EPSG:4326", "1/3600", 1200, ((128, 564),))
UTM = Target("utm", "EPSG:32632", "10", 2400, ((217, 17),))


def cleaned(target: Target) -> Target:
    """The same with the strict mask and its clean-up."""
    return replace(target, name=f"{target.name}-clean", keep=KEEP_STRICT, clean=5)


MAIN = (LONLAT, UTM, cleaned(LONLAT), cleaned(UTM))
QUICK = (
    replace(LONLAT, block_px=600, blocks=((256, 1128),), scenes=4),
    replace(UTM, block_px=1200, blocks=((434, 35),), scenes=4),
    cleaned(replace(UTM, block_px=1200, blocks=((434, 35),), scenes=4)),
)


def _area(name: str, block_px: int, rows: range, cols: range) -> Target:
    blocks = tuple((r, c) for r in rows for c in cols)
    return Target(name, "EPSG:32632", "10", block_px, blocks, scenes=0, days=4)


_ONE = _area("1 Mpx", 1000, range(521, 522), range(41, 42))
_TWO = range(260, 261), range(20, 21)
SERIES: dict[str, tuple[tuple[float, Target], ...]] = {
    "scenes, EPSG:4326": tuple((n, replace(LONLAT, name=f"{n} scenes", scenes=n)) for n in (4, 8, 16, 32, 64)),
    "scenes, UTM": tuple((n, replace(UTM, name=f"{n} scenes", scenes=n)) for n in (4, 8, 16, 32, 64)),
    "area in blocks of 4 Mpx": (
        (1, _ONE),
        (4, _area("4 Mpx", 2000, *_TWO)),
        (16, _area("16 Mpx", 2000, range(260, 262), range(20, 22))),
        (64, _area("64 Mpx", 2000, range(260, 264), range(20, 24))),
    ),
    "area in one block": (
        (1, _ONE),
        (4, _area("4 Mpx", 2000, *_TWO)),
        (16, _area("16 Mpx", 4000, range(130, 131), range(10, 11))),
    ),
    "bands, UTM": tuple(
        (n, replace(UTM, name=f"{n} bands", bands=("red", "green", "blue", "nir")[:n])) for n in (1, 2, 3, 4)
    ),
}
QUICK_SERIES = {
    "scenes, UTM": tuple((n, replace(QUICK[1], name=f"{n} scenes", scenes=n)) for n in (2, 4)),
}
