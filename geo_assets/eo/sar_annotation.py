"""What the annotation files of a Sentinel-1 Level-1 product say: look-up tables, geolocation grid, orbit.

Formats follow the Sentinel-1 Product Specification (S1-RS-MDA-52-7441), sections 6.2 (calibration), 6.3 (noise, before and
after IPF 2.9) and 6.1 (product). Lines and pixels count samples from 0: a whole number is the middle of a sample.
"""

import datetime as dt
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from xml.parsers import expat

import numpy as np
import numpy.typing as npt

from geo_assets.errors import SourceError

MOST_BYTES = 8 * 2**20  # real ones have up to 3 MiB
_LEAST_NOISE = 1.0  # DN^2: noise of GRD products is hundreds, and was normalised otherwise by the first processors

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Vectors of values along range, each at a line, with pixel positions of its own.

    Attributes:
        lines: Line of each vector, ascending, dims (vector).
        pixels: Pixels of each vector's values, ascending.
        values: Values of each vector.
    """

    lines: F64
    pixels: tuple[F64, ...]
    values: tuple[F64, ...]

    def at(self, lines: F64, pixels: F64) -> F64:
        """Values at each line and pixel, bilinear between the nodes; beyond the outer nodes those of the outer nodes.

        Returns:
            Dims (line, pixel), float64, unit of the table, no nodata.
        """
        last = len(self.lines) - 1
        upper = np.clip(np.searchsorted(self.lines, lines, side="right") - 1, 0, max(last - 1, 0))
        lower = np.minimum(upper + 1, last)
        span = np.maximum(self.lines[lower] - self.lines[upper], 1)
        share = np.clip((lines - self.lines[upper]) / span, 0, 1)[:, None]
        along = {n: np.interp(pixels, self.pixels[n], self.values[n]) for n in np.unique([upper, lower])}
        return _rows(along, upper) * (1 - share) + _rows(along, lower) * share


def _rows(along: dict[int, F64], numbers: npt.NDArray[np.int64]) -> F64:
    result: F64 = np.stack([along[n] for n in numbers])
    return result


@dataclass(frozen=True)
class Calibration:
    """Look-up tables by which amplitudes are divided, unit DN.

    Attributes:
        sigma: For sigma0, backscatter of a unit area on the ellipsoid.
        beta: For beta0, of a unit area in the slant plane.
        gamma: For gamma0, of a unit area across the line of sight.
    """

    sigma: Table
    beta: Table
    gamma: Table


@dataclass(frozen=True)
class AzimuthNoise:
    """How noise varies along azimuth within a part of a swath.

    Attributes:
        first_line: First line of the part.
        last_line: Last line of the part.
        first_pixel: First pixel of the part.
        last_pixel: Last pixel of the part.
        lines: Lines of the factors, ascending.
        factors: What the noise along range is multiplied with, unit 1.
    """

    first_line: int
    last_line: int
    first_pixel: int
    last_pixel: int
    lines: F64
    factors: F64


@dataclass(frozen=True)
class Noise:
    """Thermal noise in the product, unit DN^2.

    Attributes:
        along_range: Noise along range.
        azimuth: Factors along azimuth; none in products of processors before IPF 2.9 and of strip maps.
    """

    along_range: Table
    azimuth: tuple[AzimuthNoise, ...] = ()

    def at(self, lines: F64, pixels: F64) -> F64:
        """Noise power at each line and pixel, dims (line, pixel), float64, unit DN^2.

        NaN where a product has factors along azimuth, but none for that place.
        """
        power = self.along_range.at(lines, pixels)
        if not self.azimuth:
            return power
        factors = np.full(power.shape, np.nan)
        for part in self.azimuth:
            rows = np.flatnonzero((lines >= part.first_line) & (lines <= part.last_line))
            cols = np.flatnonzero((pixels >= part.first_pixel) & (pixels <= part.last_pixel))
            factors[np.ix_(rows, cols)] = np.interp(lines[rows], part.lines, part.factors)[:, None]
        scaled: F64 = power * factors
        return scaled


@dataclass(frozen=True)
class GridPoints:
    """Places on the ground whose image coordinates are known, dims (line, pixel), float64.

    Attributes:
        lines: Line of each row of points.
        pixels: Pixel of each column of points.
        lon: Degrees east, WGS 84.
        lat: Degrees north, WGS 84.
        height: Metres above the ellipsoid.
        incidence: Incidence angle on the ellipsoid, degrees; empty where it is not known.
    """

    lines: F64
    pixels: F64
    lon: F64
    lat: F64
    height: F64
    incidence: F64


@dataclass(frozen=True)
class Orbit:
    """State vectors in the Earth-fixed frame.

    Attributes:
        seconds: Seconds since the image's first line, ascending.
        position: Metres, dims (vector, 3).
        velocity: Metres a second, dims (vector, 3).
    """

    seconds: F64
    position: F64
    velocity: F64


@dataclass(frozen=True)
class GroundRange:
    """Polynomials from slant range to ground range.

    Attributes:
        seconds: Since the image's first line, ascending, dims (polynomial).
        origin_m: Slant range that each polynomial counts from.
        coefficients: Metres of ground range by powers of metres of slant range, one array each.
    """

    seconds: F64
    origin_m: F64
    coefficients: tuple[F64, ...]


@dataclass(frozen=True)
class Product:
    """A measurement's geometry.

    Attributes:
        shape: Lines and pixels.
        line_s: Seconds from line to line.
        pixel_m: Metres of ground range from pixel to pixel.
        points: Geolocation grid.
        orbit: Where the satellite was.
        ground_range: From slant range to pixels.
    """

    shape: tuple[int, int]
    line_s: float
    pixel_m: float
    points: GridPoints
    orbit: Orbit
    ground_range: GroundRange


def parse_calibration(content: bytes, where: str) -> Calibration:
    """Calibration tables of an annotation file.

    Args:
        content: The file.
        where: Its address, for messages.

    Raises:
        SourceError: It is no calibration annotation, or its numbers make no sense.
    """
    root = _root(content, where, "calibration")
    vectors = list(root.iterfind("calibrationVectorList/calibrationVector"))
    sigma, beta, gamma = (_table(vectors, name, where) for name in ("sigmaNought", "betaNought", "gamma"))
    for table in (sigma, beta, gamma):
        if min(float(v.min()) for v in table.values) <= 0:
            raise SourceError(f"{where}: a calibration value is not above 0")
    return Calibration(sigma, beta, gamma)


def parse_noise(content: bytes, where: str) -> Noise:
    """Noise tables of an annotation file, in either format.

    Raises:
        SourceError: It is no noise annotation, its numbers make no sense, or they are not in DN^2, as in the products of
            2014 and 2015: whoever accepts those calibrates them without noise.
    """
    root = _root(content, where, "noise")
    vectors, name = list(root.iterfind("noiseRangeVectorList/noiseRangeVector")), "noiseRangeLut"
    if not vectors:
        vectors, name = list(root.iterfind("noiseVectorList/noiseVector")), "noiseLut"
    table = _table(vectors, name, where)
    if min(float(v.min()) for v in table.values) < 0:
        raise SourceError(f"{where}: a noise value is below 0")
    if max(float(v.max()) for v in table.values) < _LEAST_NOISE:
        raise SourceError(
            f"{where}: noise of at most {max(float(v.max()) for v in table.values):.3g} is not in DN^2, as early processors "
            "wrote it: calibrate this scene without noise, or take a reprocessed one"
        )
    return Noise(table, tuple(_azimuth(root, where)))


def _azimuth(root: ET.Element, where: str) -> Iterator[AzimuthNoise]:
    for vector in root.iterfind("noiseAzimuthVectorList/noiseAzimuthVector"):
        names = ("firstAzimuthLine", "lastAzimuthLine", "firstRangeSample", "lastRangeSample")
        first_line, last_line, first_pixel, last_pixel = (int(_number(vector, name, where)) for name in names)
        lines, factors = _numbers(vector, "line", where), _numbers(vector, "noiseAzimuthLut", where)
        if len(lines) != len(factors) or (np.diff(lines) <= 0).any() or (factors < 0).any():
            raise SourceError(f"{where}: a noiseAzimuthVector has {len(lines)} lines and {len(factors)} factors")
        yield AzimuthNoise(first_line, last_line, first_pixel, last_pixel, lines, factors)


def parse_product(content: bytes, where: str) -> Product:
    """Geometry of a measurement from its product annotation.

    Raises:
        SourceError: It is no product annotation of a ground range product, or its numbers make no sense.
    """
    root = _root(content, where, "product")
    image = _one(root, "imageAnnotation/imageInformation", where)
    start = _time(_text(image, "productFirstLineUtcTime", where), where)
    shape = int(_number(image, "numberOfLines", where)), int(_number(image, "numberOfSamples", where))
    line_s, pixel_m = _number(image, "azimuthTimeInterval", where), _number(image, "rangePixelSpacing", where)
    if min(shape) < 1 or not (0 < line_s < 1 and 0 < pixel_m < 1000):
        raise SourceError(f"{where}: {shape[0]} lines every {line_s} s and {shape[1]} pixels every {pixel_m} m")
    return Product(
        shape, line_s, pixel_m, _points(root, where), _orbit(root, start, where), _ranges(root, start, where)
    )


def _points(root: ET.Element, where: str) -> GridPoints:
    found = list(root.iterfind("geolocationGrid/geolocationGridPointList/geolocationGridPoint"))
    names = ("line", "pixel", "longitude", "latitude", "height", "incidenceAngle")
    table = np.array([[_number(point, name, where) for name in names] for point in found]).reshape(-1, 6)
    return grid_points(table, where)


def grid_points(table: F64, where: str) -> GridPoints:
    """Ground control points as a grid.

    Args:
        table: Line, pixel, longitude, latitude, height and, if known, incidence angle of each point, dims (point, 5 or 6).
        where: Address of their file, for messages.

    Raises:
        SourceError: They are no grid of at least 3 x 3 points on the globe.
    """
    lines, pixels = np.unique(table[:, 0]), np.unique(table[:, 1])
    shape = len(lines), len(pixels)
    if min(shape) < 3 or len(table) != shape[0] * shape[1]:
        raise SourceError(
            f"{where}: {len(table)} points are no grid of at least 3 lines and 3 pixels: {shape[0]} and {shape[1]}"
        )
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    line, pixel, lon, lat, height, *rest = (column.reshape(shape) for column in table.T)
    whole = (line == lines[:, None]).all() and (pixel == pixels[None, :]).all()
    if not whole or not np.isfinite(table).all() or np.abs(lat).max() > 90 or np.abs(lon).max() > 360:
        raise SourceError(f"{where}: the points of its geolocation grid are not on the globe, or some are there twice")
    return GridPoints(lines, pixels, lon, lat, height, rest[0] if rest else np.empty((0, 0)))


def _orbit(root: ET.Element, start: dt.datetime, where: str) -> Orbit:
    vectors = list(root.iterfind("generalAnnotation/orbitList/orbit"))
    if len(vectors) < 2:
        raise SourceError(f"{where}: {len(vectors)} orbit state vectors; at least 2 are needed")
    seconds = np.array([(_time(_text(v, "time", where), where) - start).total_seconds() for v in vectors])
    position, velocity = (
        np.array([[_number(v, f"{name}/{axis}", where) for axis in "xyz"] for v in vectors])
        for name in ("position", "velocity")
    )
    if (np.diff(seconds) <= 0).any():
        raise SourceError(f"{where}: its orbit state vectors are not in the order of time")
    return Orbit(seconds, position, velocity)


def _ranges(root: ET.Element, start: dt.datetime, where: str) -> GroundRange:
    found = list(root.iterfind("coordinateConversion/coordinateConversionList/coordinateConversion"))
    if not found:
        raise SourceError(f"{where}: no conversion to ground range: is it a slant range (SLC) product?")
    seconds = np.array([(_time(_text(v, "azimuthTime", where), where) - start).total_seconds() for v in found])
    if (np.diff(seconds) <= 0).any():
        raise SourceError(f"{where}: its conversions to ground range are not in the order of time")
    origin = np.array([_number(v, "sr0", where) for v in found])
    coefficients = tuple(_numbers(v, "srgrCoefficients", where) for v in found)
    if min(map(len, coefficients)) < 2:
        raise SourceError(f"{where}: a conversion to ground range has fewer than 2 coefficients")
    return GroundRange(seconds, origin, coefficients)


def _root(content: bytes, where: str, tag: str) -> ET.Element:
    """The root of an XML file that declares no document type: entities could read files, or fill the memory."""
    if len(content) > MOST_BYTES:
        raise SourceError(f"{where}: {len(content)} bytes are more than any annotation has")
    builder = ET.TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler, parser.buffer_text = builder.data, True

    def refuse(*_: object) -> None:
        raise SourceError(f"{where}: it declares a document type, which annotations do not do: refused")

    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError as e:
        raise SourceError(f"{where}: no well-formed XML: {e}") from e
    root = builder.close()
    if root.tag != tag:
        raise SourceError(f"{where}: its root is <{root.tag[:40]}>, not <{tag}>: it is another kind of annotation")
    return root


def _one(element: ET.Element, path: str, where: str) -> ET.Element:
    found = element.find(path)
    if found is None:
        raise SourceError(f"{where}: no <{path}> in <{element.tag}>")
    return found


def _text(element: ET.Element, path: str, where: str) -> str:
    return (_one(element, path, where).text or "").strip()


def _number(element: ET.Element, path: str, where: str) -> float:
    values = _numbers(element, path, where)
    if len(values) != 1:
        raise SourceError(f"{where}: <{path}> holds {len(values)} numbers, not one")
    return float(values[0])


def _numbers(element: ET.Element, path: str, where: str) -> F64:
    found = _one(element, path, where)
    try:
        values = np.array((found.text or "").split(), np.float64)
        count = int(found.get("count", len(values)))
    except ValueError as e:
        raise SourceError(f"{where}: <{path}> holds what is no number") from e
    if not np.isfinite(values).all() or count != len(values):
        raise SourceError(f"{where}: <{path}> should hold {count} finite numbers and holds {len(values)}")
    return values


def _table(vectors: list[ET.Element], name: str, where: str) -> Table:
    if not vectors:
        raise SourceError(f"{where}: no vectors with <{name}>")
    lines = np.array([_number(vector, "line", where) for vector in vectors])
    pixels = tuple(_numbers(vector, "pixel", where) for vector in vectors)
    values = tuple(_numbers(vector, name, where) for vector in vectors)
    for at, of in zip(pixels, values, strict=True):
        if len(at) != len(of) or len(at) < 1 or (np.diff(at) <= 0).any():
            raise SourceError(f"{where}: a vector has {len(of)} values of {name} at {len(at)} ascending pixels")
    if (np.diff(lines) <= 0).any():
        raise SourceError(f"{where}: its vectors are not in the order of lines")
    return Table(lines, pixels, values)


def _time(text: str, where: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
    except ValueError as e:
        raise SourceError(f"{where}: {text[:40]!r} is no time") from e
