"""Vector files, with caps on what a file may hold: the content is looked at before any driver opens it."""

import glob
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pyarrow
import pyarrow.parquet as pq
import pyogrio
import pyproj
import shapely

from geo_assets.eo.geopackage import feature_tables
from geo_assets.errors import ConfigError

MAX_FILE_BYTES = 500_000_000
MAX_FEATURES = 5_000_000
_FREE_ZIP_BYTES = 50_000_000  # below this a high compression ratio does no harm
_MAX_ZIP_RATIO = 100
_HEAD = 4096

# What a file of that extension begins with; for text what its head contains. The Virtual Format of OGR, which could name
# other files and addresses, begins like none of them.
_BEGINS: dict[str, tuple[bytes, ...]] = {
    ".gpkg": (b"SQLite format 3\0",),
    ".shp": (b"\x00\x00\x27\x0a",),
    ".fgb": (b"fgb\x03",),
    ".parquet": (b"PAR1",),
    ".geoparquet": (b"PAR1",),
    ".geojson": (b"{", b"["),
    ".json": (b"{", b"["),
    ".gml": (b"<",),
    ".kml": (b"<",),
    ".zip": (b"PK\x03\x04",),
}
_CONTAINS = {".gml": b"gml", ".kml": b"kml"}
_DRIVERS = {
    "GPKG",
    "ESRI Shapefile",
    "FlatGeobuf",
    "GeoJSON",
    "GeoJSONSeq",
    "ESRIJSON",
    "TopoJSON",
    "GML",
    "KML",
    "LIBKML",
}
# What zipfile raises: for a method that it does not know NotImplementedError, for a password RuntimeError
_ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError)
_KNOWN = ", ".join(sorted(k for k in _BEGINS if k != ".geoparquet"))

Geometries = npt.NDArray[np.object_]


def read_vector(path: Path, *, layer: str | None = None) -> tuple[Geometries, str, tuple[str, ...]]:
    """Geometries of a vector file, their CRS as PROJ text, and notes on what was assumed.

    Raises:
        ConfigError: Not there, not a vector file, too large, or without the layer.
    """
    table = read_table(path, layer=layer, columns=[])
    notes: tuple[str, ...] = ()
    crs = table.crs
    if crs is None or crs.name.lower().startswith(("undefined", "unknown")):
        notes = (
            f"{path.name} has no CRS: EPSG:4326 (longitude, latitude in degrees) was assumed; write the CRS into the file if that is wrong",
        )
        crs = pyproj.CRS("EPSG:4326")
    return table.geometry.to_numpy(), _text(crs), notes


def read_table(path: Path, *, layer: str | None = None, columns: list[str] | None = None) -> gpd.GeoDataFrame:
    """A vector file as a table, with all its columns or those named.

    Raises:
        ConfigError: As ``read_vector``.
    """
    suffix = _checked(path)
    if suffix in (".parquet", ".geoparquet"):
        return _parquet(path, columns)
    if suffix != ".zip":
        return _read(path, path.name, layer, columns)
    member = _member(path, layer)
    name = f"{path.name}/{member.filename}"
    if not member.filename.lower().endswith(".gpkg"):
        return _read(f"/vsizip/{{{path.resolve()}}}/{member.filename}", name, None, columns)
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                file = Path(archive.extract(member, folder))
        except _ZIP_FAULTS as e:
            raise _bad_zip(path, e) from e
        return _read(file, name, None, columns)


def _read(file: Path | str, name: str, layer: str | None, columns: list[str] | None) -> gpd.GeoDataFrame:
    suffix = Path(file).suffix.lower()
    source: str | bytes = str(file.resolve()) if isinstance(file, Path) else file
    if suffix == ".gml":
        # From memory, because the driver writes a .gfs file beside what it opens
        source = file.read_bytes() if isinstance(file, Path) else source
        pyogrio.set_gdal_config_options({"GML_DOWNLOAD_SCHEMA": "NO"})
    try:
        chosen = _layer(_layers(file, source, name, layer), name, layer)
        info = pyogrio.read_info(source, layer=chosen)
        if info["driver"] not in _DRIVERS:
            raise ConfigError(
                f"{name} is read by the driver {info['driver']}, which is not allowed: convert it to one of {_KNOWN}"
            )
        _refuse_many(info["features"], name)
        table = pyogrio.read_dataframe(source, layer=chosen, columns=columns)
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        UnicodeDecodeError,
        shapely.errors.ShapelyError,
    ) as e:
        raise ConfigError(
            f"{name} cannot be read as {suffix}: {str(e)[:200]}; is it complete? Convert it to gpkg if in doubt"
        ) from e
    if table.crs is None and suffix == ".shp":
        _refuse_unread_prj(file, name)
    return table


def _refuse_unread_prj(shp: Path | str, name: str) -> None:
    """A CRS that is declared and cannot be read is not the same as none, for which degrees are assumed."""
    if isinstance(shp, Path):
        texts = [p.read_bytes() for p in shp.parent.glob(f"{glob.escape(shp.stem)}.*") if p.suffix.lower() == ".prj"]
    else:
        inside, archive = PurePosixPath(shp.rpartition("}/")[2]), shp.removeprefix("/vsizip/{").rpartition("}/")[0]
        with zipfile.ZipFile(archive) as packed:
            names = [n for n in packed.namelist() if n.lower() == str(inside.with_suffix(".prj")).lower()]
            texts = [packed.read(n) for n in names]
    if any(text.strip() for text in texts):
        stem = name.removesuffix(PurePosixPath(name).suffix)
        raise ConfigError(
            f"{stem}.prj does not name a CRS that can be read: restore it, or delete it if {name} is in degrees"
        )


def _layers(file: Path | str, source: str | bytes, name: str, layer: str | None) -> list[str]:
    if isinstance(file, Path) and file.suffix.lower() == ".gpkg":
        return feature_tables(file, name, layer=layer)
    return [str(n) for n, kind in pyogrio.list_layers(source) if kind is not None]


def _checked(path: Path) -> str:
    suffix = path.suffix.lower()
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ConfigError(
            f"the file {path} {what}: give the path of a vector file; in a project file it counts from there"
        )
    if suffix not in _BEGINS:
        raise ConfigError(
            f"{path.name} has the extension {suffix or '(none)'}: give one of {_KNOWN}, or a .csv table of tiles"
        )
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise ConfigError(
            f"{path.name} has {size / 1e6:,.0f} MB and {MAX_FILE_BYTES / 1e6:,.0f} is the most: simplify the area"
        )
    with path.open("rb") as f:
        _sniff(f.read(_HEAD), suffix, path.name)
    return suffix


def _sniff(head: bytes, suffix: str, name: str) -> None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip() if suffix in (".geojson", ".json", ".gml", ".kml") else head
    fits = text.startswith(_BEGINS[suffix]) and _CONTAINS.get(suffix, b"") in text.lower() and b"<OGRVRT" not in text
    if not head:
        raise ConfigError(f"{name} is empty: give a vector file with polygons")
    if not fits or b"<!ENTITY" in text or b"<!DOCTYPE" in text:
        raise ConfigError(f"{name} is not what its extension {suffix} says: rename it, or convert it to gpkg")


def _layer(layers: list[str], name: str, layer: str | None) -> str:
    if not layers:
        raise ConfigError(f"{name} has no layer with geometries: give a vector file with polygons")
    if layer is None and len(layers) > 1:
        raise ConfigError(f"{name} has several layers: set layer to one of {', '.join(layers)}")
    if layer is not None and layer not in layers:
        raise ConfigError(f"{name} has no layer {layer!r}: it has {', '.join(layers)}")
    return layer or layers[0]


def _member(path: Path, layer: str | None) -> zipfile.ZipInfo:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            total = sum(e.file_size for e in entries)
            _refuse_bomb(path, total)
            found = [
                e
                for e in entries
                if Path(e.filename).suffix.lower() in _BEGINS and not Path(e.filename).name.startswith(".")
            ]
            found = [e for e in found if Path(e.filename).suffix.lower() not in (".zip", ".parquet", ".geoparquet")]
            by_stem = {Path(e.filename).stem: e for e in found}
            if not found:
                raise ConfigError(
                    f"{path.name} holds no vector file: put a .shp with its .dbf, .shx and .prj, or a .gpkg or .geojson, into it"
                )
            if layer is None and len(found) > 1:
                raise ConfigError(f"{path.name} has several layers: set layer to one of {', '.join(sorted(by_stem))}")
            if layer is not None and layer not in by_stem:
                raise ConfigError(f"{path.name} has no layer {layer!r}: it has {', '.join(sorted(by_stem))}")
            entry = by_stem[layer] if layer is not None else found[0]
            with archive.open(entry) as f:
                _sniff(f.read(_HEAD), Path(entry.filename).suffix.lower(), f"{path.name}/{entry.filename}")
    except _ZIP_FAULTS as e:
        raise _bad_zip(path, e) from e
    return entry


def _bad_zip(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"{path.name} is not a readable zip file ({error}): pack it again, without a password")


def _refuse_bomb(path: Path, total: int) -> None:
    ratio = total / max(1, path.stat().st_size)
    if total > MAX_FILE_BYTES or (total > _FREE_ZIP_BYTES and ratio > _MAX_ZIP_RATIO):
        raise ConfigError(
            f"{path.name} unpacks to {total / 1e6:,.0f} MB, {ratio:,.0f} times its size; {MAX_FILE_BYTES / 1e6:,.0f} MB and "
            f"{_MAX_ZIP_RATIO} times are the most: give the vector file itself"
        )


def _refuse_many(features: int, name: str) -> None:
    if features > MAX_FEATURES:
        raise ConfigError(
            f"{name} has {features:,} features and {MAX_FEATURES:,} is the most: dissolve or simplify the area"
        )


def _parquet(path: Path, columns: list[str] | None) -> gpd.GeoDataFrame:
    try:
        meta = pq.ParquetFile(path).metadata
        _refuse_many(meta.num_rows, path.name)
        unpacked = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        if unpacked > MAX_FILE_BYTES:
            raise ConfigError(
                f"{path.name} unpacks to {unpacked / 1e6:,.0f} MB and {MAX_FILE_BYTES / 1e6:,.0f} is the most: simplify the area"
            )
        table = gpd.read_parquet(path)
    except (pyarrow.ArrowException, ValueError, OSError) as e:
        if isinstance(e, ConfigError):
            raise
        raise ConfigError(f"{path.name} is not a readable GeoParquet file: {str(e)[:200]}") from e
    return table if columns is None else table[[*columns, table.geometry.name]]


def _text(crs: pyproj.CRS) -> str:
    authority = crs.to_authority(min_confidence=100)
    return f"{authority[0]}:{authority[1]}" if authority else crs.to_wkt()
