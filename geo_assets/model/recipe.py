"""Every option a user has, with its default, range and description, as frozen pydantic models.

An option's default stands here and nowhere else. Fields are scalars, lists or dicts, so that each model is also a Dagster
config (``class XConfig(dg.Config, XRecipe)``).
"""

import datetime as dt
import hashlib
import json
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from geo_assets.errors import ConfigError, PartitionError
from geo_assets.model.crs import canonical_crs, parse_resolution
from geo_assets.model.geometry import PixelGrid
from geo_assets.model.period import Month, Periods

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
TAKEN = ("n_clear", "time", "x", "y", "band", "spatial_ref")  # arrays and dimensions that every cube has
MASK_PRESETS: dict[str, dict[str, Any]] = {
    "default": {"keep": [2, 4, 5, 6, 7, 11], "close_px": 0, "open_px": 0},
    "strict": {"keep": [4, 5], "close_px": 5, "open_px": 5},
}


def _month(value: Any) -> str:
    if isinstance(value, dt.date):
        value = f"{value:%Y-%m}"
    try:
        month = Month.parse(str(value)[:80])
    except PartitionError as e:
        raise ValueError(str(e)) from e
    if not 1900 <= month.year <= 2200:
        raise ValueError(f"{month} does not lie between 1900 and 2200")
    return str(month)


def _crs(value: Any) -> str:
    if isinstance(value, str) and value.strip().lower() == "utm":
        return "utm"
    if isinstance(value, int) or (isinstance(value, str) and value.strip().isdigit()):
        value = f"EPSG:{value}"
    return canonical_crs(str(value))


def _resolution(value: Any) -> str:
    return str(parse_resolution(value))


def _step(value: Any) -> str:
    return str(parse_resolution(value, "step"))


def _array_name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", value) or value in TAKEN:
        taken = ", ".join(TAKEN)
        raise ValueError(f"{str(value)[:80]!r} is no name for it: use letters, digits and '_', and none of {taken}")
    return value


def _safe_name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(NAME, value) or ".." in value:
        raise ValueError(
            f"{str(value)[:80]!r} is not a name: use letters, digits, '_', '-' and '.', beginning with a letter or digit"
        )
    return value


MonthText = Annotated[str, BeforeValidator(_month)]
CrsText = Annotated[str, BeforeValidator(_crs)]
ResolutionText = Annotated[str, BeforeValidator(_resolution)]
StepText = Annotated[str, BeforeValidator(_step)]
ArrayName = Annotated[str, BeforeValidator(_array_name)]
SafeName = Annotated[str, BeforeValidator(_safe_name)]


class Recipe(BaseModel):
    """Base of all recipes: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def hash(self) -> str:
        """Fingerprint of the settings, 16 hex digits; equal for equal settings."""
        return digest(self.model_dump(mode="json"))


def digest(value: Any) -> str:
    """First 16 hex digits of the SHA-256 of a JSON-like value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class AoiRecipe(Recipe):
    """One area of interest: a vector file or a bounding box."""

    path: str | None = Field(
        default=None,
        description="vector file that geopandas reads: gpkg, shp, geojson, gml, kml, fgb, parquet; or a csv table of tiles with X, Y, Y_tile and X_tile",
    )
    layer: str | None = Field(default=None, description="layer of the file; its first layer if it has only one")
    bbox: list[float] | None = Field(
        default=None, description="west, south, east, north in degrees; west > east crosses the antimeridian"
    )

    @model_validator(mode="after")
    def _one_source(self) -> "AoiRecipe":
        if (self.path is None) == (self.bbox is None):
            raise ValueError("give either path or bbox")
        if self.bbox is not None and len(self.bbox) != 4:
            raise ValueError("bbox needs four numbers: west, south, east, north")
        return self


class MonthsRecipe(Recipe):
    """The time span as periods of whole months counted from its start."""

    start: MonthText = Field(description="first month, such as 2023-01; fixed once data is stored")
    end: MonthText | None = Field(default=None, description="last month; left out: every period that is complete today")
    step: int = Field(default=1, ge=1, le=24, description="months a period")

    def periods(self, today: dt.date) -> Periods:
        """The time axis as of ``today``.

        Raises:
            ConfigError: The end lies before the start, or nothing is complete yet.
        """
        return Periods.build(self.start, self.end, self.step, today=today)


class CatalogRecipe(Recipe):
    """Where scenes are searched."""

    kind: str = Field(
        default="earth-search",
        description="catalog plugin: earth-search, planetary-computer, stac-api, static, geoparquet",
    )
    url: str | None = Field(default=None, description="address of a stac-api")
    path: str | None = Field(default=None, description="catalog.json of a static catalog, or a stac-geoparquet file")
    retries: int = Field(default=5, ge=0, le=20, description="further tries after a failed request")
    backoff_s: float = Field(
        default=0.5, ge=0, le=60, description="wait before the first retry; doubled each time, with jitter"
    )
    timeout_s: float = Field(default=30, gt=0, le=600, description="limit of one request")
    deadline_s: float = Field(
        default=300, gt=0, le=3600, description="limit of one search with all its pages and retries"
    )
    page_size: int = Field(default=200, ge=1, le=1000, description="items a page")
    max_pages: int = Field(
        default=500, ge=1, le=10_000, description="pages a search may have before it counts as endless"
    )
    hosts: list[str] = Field(
        default_factory=list,
        description="hosts, host suffixes (.example.org) and buckets (s3://name) that pixels may be read from, buckets with the environment's credentials; empty: those the plugin knows, or any public one without credentials",
    )

    @model_validator(mode="after")
    def _one_place(self) -> "CatalogRecipe":
        if self.url is not None and self.path is not None:
            raise ValueError("give either url or path")
        return self


class GridRecipe(Recipe):
    """How an area is cut into cells."""

    kind: str = Field(
        default="majortom",
        description="grid plugin: majortom, majortom-eg, square, lonlat, geohash, mgrs, tiles, custom",
    )
    size_m: float = Field(default=10_240, gt=0, le=2_000_000, description="side of a cell in metres")
    overlap: bool = Field(
        default=False, description="add half-shifted cells between the primary ones (majortom, majortom-eg)"
    )
    margin_m: float = Field(default=0, ge=0, le=100_000, description="width added to each side of a majortom patch")
    crs: CrsText | None = Field(
        default=None, description="CRS of square cells; left out: the cube's, or EPSG:3857 where that is utm"
    )
    precision: int = Field(default=5, ge=1, le=12, description="geohash length")
    step: StepText = Field(default="23/1000", validate_default=True, description="side of a lonlat cell in degrees")
    path: str | None = Field(
        default=None,
        description="table of cells for tiles: a vector file, or CSV with X, Y in degrees and a name (id_column, or columns X_tile and Y_tile)",
    )
    layer: str | None = Field(default=None, description="layer of that file")
    id_column: str | None = Field(
        default=None, description="column with the cell id in a table or a custom grid's answer"
    )
    callable: str | None = Field(
        default=None,
        description="package.module:function of a custom grid, called with the area (a GeoDataFrame in EPSG:4326) and these settings; it returns cells as a GeoDataFrame; the module may lie beside the project file",
    )
    clip: bool = Field(default=False, description="cut cells at the AOI's border")


class CubeRecipe(Recipe):
    """The monthly composite and the cube it is stored in."""

    sensor: str = Field(
        default="sentinel-2-l2a",
        description="sensor that is composited; left out: sentinel-2-l2a where it is listed, else the first of sensors",
    )
    crs: CrsText = Field(default="utm", description="utm (one group a zone) or a CRS such as EPSG:3035")
    resolution: ResolutionText = Field(default="10", description="side of a pixel in CRS units; 1/3600 is allowed")
    bands: list[str] = Field(
        default_factory=lambda: ["red", "green", "blue", "nir"],
        min_length=1,
        max_length=64,
        description="bands by name; left out: the usual ones of the sensor",
    )
    statistic: Literal["median", "mean", "percentile", "medoid", "geomedian", "mode"] = Field(
        default="median",
        description="statistic over the clear solar days; mode, the most frequent one, is for classes and the only one for them, and theirs where this is left out",
    )
    percentile: float = Field(default=50, ge=0, le=100, description="which one, where the statistic is percentile")
    resampling: Literal["nearest", "bilinear", "cubic", "average"] = Field(
        default="bilinear", description="for bands; classes are always nearest"
    )
    layout: Literal["bands", "stacked"] = Field(
        default="bands", description="one array a band, or one array (time, y, x, band)"
    )
    varname: ArrayName = Field(default="composite", description="name of the stacked array")
    store: str = Field(default="icechunk", description="store plugin: icechunk or zarr")
    reader: str = Field(default="native", description="reader plugin: native, gdal or stackstac")
    memory_mb: int = Field(
        default=384,
        ge=192,
        le=1_000_000,
        description="most memory that the pixels of one block take; less means lower strips and more requests",
    )
    block_px: int | None = Field(default=None, ge=16, le=16_384, description="side of a block (shard) in pixels")
    chunk_px: int | None = Field(
        default=None, ge=8, le=8_192, description="side of a chunk in pixels; divides block_px"
    )
    region_blocks: int | None = Field(default=None, ge=1, le=1_000, description="side of a region in blocks")

    @field_validator("bands")
    @classmethod
    def _distinct(cls, bands: list[str]) -> list[str]:
        if len(set(bands)) != len(bands):
            raise ValueError("a band is listed twice")
        return bands

    def pixel_grid(self, crs: str) -> PixelGrid:
        """The pixel grid of one group.

        Raises:
            ConfigError: The sizes do not fit each other.
        """
        grid = PixelGrid.build(
            crs,
            parse_resolution(self.resolution),
            block_px=self.block_px,
            chunk_px=self.chunk_px,
            region_blocks=self.region_blocks,
        )
        if grid.geographic and grid.resolution > 1:
            raise ConfigError(
                f"cube.resolution {self.resolution} is in degrees, since {crs} is: give a part of one, such as 1/9000 (some 12 m)"
            )
        return grid

    def any_grid(self) -> PixelGrid:
        """The pixel grid of one of its groups; in all zones of UTM blocks and regions have as many pixels.

        Raises:
            ConfigError: The sizes do not fit each other.
        """
        return self.pixel_grid("EPSG:32601" if self.crs == "utm" else self.crs)


_MOST_BIT = 15
BIT_KINDS = ("qa_pixel", "bits")  # of mask.kind: a pixel is judged by bits, and not by its class
_SCL_MOST = 11  # snow or ice; Sentinel-2 Level-2A Algorithm Theoretical Basis Document, table of classes


class MaskRecipe(Recipe):
    """Which pixels of a scene count as clear."""

    kind: str = Field(
        default="scl",
        description="scl (Sentinel-2 classes), qa_pixel (Landsat bits), classes or bits (of a collection that is described here), none, or a function of yours, package.module:function; left out: the one that the sensor has. Other sensors than the cube's have their own, unless it is none",
    )
    preset: Literal["default", "strict"] | None = Field(
        default=None,
        description="named values for keep, close_px and open_px, which may still be given beside it and then count; strict keeps 4 and 5, closes and opens by 5",
    )
    keep: list[int] = Field(
        default_factory=lambda: list(MASK_PRESETS["default"]["keep"]), description="classes that count as clear (scl)"
    )
    bits: list[int] = Field(
        default_factory=list,
        description="bits of which none may be set in a clear pixel (qa_pixel); empty: those that the sensor names",
    )
    close_px: int = Field(
        default=0, ge=0, le=64, description="radius of the closing of the cloud mask in pixels of the cube"
    )
    open_px: int = Field(default=0, ge=0, le=64, description="radius of the opening that follows")
    resampling: Literal["nearest", "mode"] = Field(
        default="nearest",
        description="class of a pixel of the cube: the one under its centre, or the one that covers most of it",
    )
    band: str | None = Field(
        default=None, description="band that a function of yours judges; left out: that of the sensor's own mask"
    )
    max_cloud_cover: float = Field(
        default=100, ge=0, le=100, description="scenes with more cloud than this (percent, by the item) are left out"
    )

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, data: Any) -> Any:
        preset = data.get("preset") if isinstance(data, dict) else None
        return {**MASK_PRESETS[preset], **data} if preset in MASK_PRESETS else data

    @field_validator("keep")
    @classmethod
    def _classes(cls, keep: list[int]) -> list[int]:
        if not keep or min(keep) < 1 or max(keep) > 255:
            raise ValueError("keep needs classes between 1 and 255; 0 is nodata and is never clear")
        return sorted(set(keep))

    @field_validator("bits")
    @classmethod
    def _bits(cls, bits: list[int]) -> list[int]:
        return check_bits(bits)

    @property
    def is_function(self) -> bool:
        """Whether a function of the user's own tells which pixels are clear."""
        return ":" in self.kind

    @model_validator(mode="after")
    def _known(self) -> "MaskRecipe":
        if self.kind == "scl" and max(self.keep) > _SCL_MOST:
            raise ValueError(
                f"keep names class {max(self.keep)}; the scene classification has classes 1 to {_SCL_MOST}"
            )
        return self


def check_bits(bits: list[int]) -> list[int]:
    """Numbers of bits, each once, in order.

    Raises:
        ValueError: One is none.
    """
    if bits and (min(bits) < 0 or max(bits) > _MOST_BIT):
        raise ValueError(f"bits are counted from 0, the lowest, to {_MOST_BIT}")
    return sorted(set(bits))


class EmbeddingRecipe(Recipe):
    """One embedding of the chips."""

    name: SafeName = Field(description="name of the product")
    model: str = Field(description="embedder with its settings, such as rcf:features=512,seed=7")
    weights: str | None = Field(default=None, description="path or URI of the weights")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", description="checksum of the weights")


class ReleaseRecipe(Recipe):
    """An immutable ML dataset."""

    recipe: SafeName = Field(default="landcover", description="kind of release")
    name: SafeName = Field(description="name of the release")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$", description="semantic version")


class StacRecipe(Recipe):
    """Catalogs of what was read and made."""

    copy_raw: bool = Field(default=False, description="copy the scenes' assets to the own storage")


class TablesRecipe(Recipe):
    """Where tables are kept."""

    kind: Literal["iceberg", "geoparquet"] = Field(default="geoparquet", description="table format")
    catalog: Literal["sqlite", "glue", "rest"] = Field(default="sqlite", description="for iceberg: catalog")
    config: dict[str, str] = Field(
        default_factory=dict,
        description="for iceberg: the library's own settings, such as uri of a rest catalog; no secrets",
    )
