"""Names of yearly tiles, of what is stored for them, and where they lie.

A tile is named by two numbers of its grid, ``1035X727Y``. They are looked up in the grid's table: a place cannot be worked
out from them.
"""

import re
from dataclasses import dataclass

import shapely

from geo_assets.errors import ConfigError, PartitionError
from geo_assets.model import path
from geo_assets.model.lonlat import split_antimeridian

EXTENSIONS = (".npz", ".zarr", ".tif")
# Folder and first letters of the file, below the folder of a tile and year
PRODUCTS = {
    "dem": "misc/dem_",
    "s1": "s1/",
    "s1_dates": "misc/s1_dates_",
    "s2_10": "s2_10/",
    "s2_20": "s2_20/",
    "s2_dates": "misc/s2_dates_",
    "clouds": "clouds/clouds_",
}
EXPANSION = 300  # as requests give it: 30 for each pixel of 1/360 degree between a tile's centre and its edge
_PIXEL = 30
_PIXEL_DEG = 1 / 360
_CLOUD_TIMES = 15  # how much further clouds are looked for
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_NAME = re.compile(r"\s*(-?[0-9]{1,9})X(-?[0-9]{1,9})Y\s*")
_RAW = re.compile(r"(?P<year>[1-9][0-9]{3})/raw/(?P<x>-?[0-9]{1,9})/(?P<y>-?[0-9]{1,9})/raw/(?P<rest>.+)")
_PREDICTION = re.compile(
    r"(?P<year>[1-9][0-9]{3})/tiles/(?P<x>-?[0-9]{1,9})/(?P<y>-?[0-9]{1,9})/(?P<tag>.+)_FINAL\.(?:tif|json)"
)

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, order=True)
class TileId:
    """A tile of the grid."""

    x: int
    y: int

    @classmethod
    def parse(cls, text: str) -> "TileId":
        """The tile of ``1035X727Y``; blanks around it are allowed.

        Raises:
            PartitionError: Not the name of a tile.
        """
        match = _NAME.fullmatch(text)
        if not match:
            raise PartitionError(f"{text[:80]!r} is not a tile; one looks like 1035X727Y")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.x}X{self.y}Y"


@dataclass(frozen=True)
class RawKey:
    """What is stored of a tile and year.

    Attributes:
        year: The year.
        tile: The tile.
        product: One of ``PRODUCTS``.
        extension: One of ``EXTENSIONS``.
    """

    year: int
    tile: TileId
    product: str
    extension: str = ".npz"

    def __post_init__(self) -> None:
        _check_year(self.year)
        if self.product not in PRODUCTS:
            raise ConfigError(f"{self.product[:80]!r} is no product of a tile: one of {', '.join(PRODUCTS)}")
        if self.extension not in EXTENSIONS:
            raise ConfigError(f"{self.extension[:80]!r} is no extension of a tile: one of {', '.join(EXTENSIONS)}")

    def __str__(self) -> str:
        folder = f"{self.year}/raw/{self.tile.x}/{self.tile.y}/raw"
        return f"{folder}/{PRODUCTS[self.product]}{self.tile}{self.extension}"

    @classmethod
    def parse(cls, key: str) -> "RawKey":
        """The parts of a key.

        Raises:
            PartitionError: Not such a key.
        """
        match = _RAW.fullmatch(key)
        if match:
            tile = TileId(int(match["x"]), int(match["y"]))
            for product in PRODUCTS:
                for extension in EXTENSIONS:
                    found = cls(int(match["year"]), tile, product, extension)
                    if str(found) == key:
                        return found
        example = cls(2023, TileId(1035, 727), "s2_10")
        raise PartitionError(f"{key[:120]!r} is not the key of a tile; one looks like {example}")


@dataclass(frozen=True)
class PredictionKey:
    """A model's map of a tile and year, with its STAC item beside it.

    Attributes:
        year: The year.
        tile: The tile.
        tag: Name of the map; "" is the tile's own.
    """

    year: int
    tile: TileId
    tag: str = ""

    def __post_init__(self) -> None:
        _check_year(self.year)
        if self.tag and not _is_tag(self.tag):
            raise ConfigError(f"{self.tag[:80]!r} is not a name: use letters, digits, '_', '-' and '.'")

    @property
    def name(self) -> str:
        """Key without the extension."""
        return f"{self.year}/tiles/{self.tile.x}/{self.tile.y}/{self.tag or self.tile}_FINAL"

    @property
    def map(self) -> str:
        """Key of the map."""
        return f"{self.name}.tif"

    @property
    def item(self) -> str:
        """Key of its STAC item."""
        return f"{self.name}.json"

    @classmethod
    def parse(cls, key: str) -> "PredictionKey":
        """The parts of the key of a map or of its item.

        Raises:
            PartitionError: Not such a key.
        """
        match = _PREDICTION.fullmatch(key)
        if match:
            tile, tag = TileId(int(match["x"]), int(match["y"])), match["tag"]
            if tag == str(tile) or _is_tag(tag):
                found = cls(int(match["year"]), tile, "" if tag == str(tile) else tag)
                if key in (found.map, found.item):
                    return found
        example = cls(2023, TileId(1035, 727)).map
        raise PartitionError(f"{key[:120]!r} is not the key of a prediction; one looks like {example}")


def map_place(label: str, region: str, month: str, cell: str, *, source: str = "cube") -> str:
    """Files of a cell's map, without the ending that says their format.

    Args:
        label: Of the product behind ``prediction/``.
        region: Key of the region that owns the cell.
        month: Key of the period.
        cell: Its id.
        source: ``cube``, or ``tiles``, whose maps lie where those of yearly tiles always did.
    """
    if source == "tiles":
        return path.tiles(PredictionKey(int(month[:4]), TileId.parse(cell), label).name)
    return path.prediction(label, region, month, cell)


def tile_bounds(lon: float, lat: float, expansion: int = EXPANSION) -> Bounds:
    """West, south, east, north of a tile in degrees: 1/36 degree around its centre, or other whole pixels of 1/360.

    Raises:
        ConfigError: The centre is not on the globe, or the tile has no pixel.
    """
    return _around(lon, lat, expansion // _PIXEL)


def cloud_bounds(lon: float, lat: float, expansion: int = EXPANSION) -> Bounds:
    """West, south, east, north of where clouds are looked for: 150/360 degree around a tile's centre.

    Raises:
        ConfigError: The centre is not on the globe, or the tile has no pixel.
    """
    return _around(lon, lat, expansion * _CLOUD_TIMES // _PIXEL)


def area_of(bounds: Bounds) -> shapely.Geometry:
    """Polygons of bounds in EPSG:4326, split at the antimeridian."""
    return split_antimeridian(shapely.box(*bounds))


def _around(lon: float, lat: float, pixels: int) -> Bounds:
    if not (-180 <= lon <= 180 and -90 < lat < 90):
        raise ConfigError(f"({lon}, {lat}) is no centre of a tile: give longitude and latitude in degrees")
    if pixels < 1:
        raise ConfigError(f"the expansion of a tile must be at least {_PIXEL}")
    reach = pixels * _PIXEL_DEG
    return lon - reach, max(-90.0, lat - reach), lon + reach, min(90.0, lat + reach)


def _is_tag(text: str) -> bool:
    return bool(_TAG.fullmatch(text)) and ".." not in text


def _check_year(year: int) -> None:
    if not 1000 <= year <= 9999:
        raise ConfigError(f"{year} is no year of four digits")
