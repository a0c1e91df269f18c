"""A small Sentinel-1 ground range product whose every sample is known: where it lies, and what it would show without relief.

The radar flies past tilted ground. For each sample the place is found where the circle of its range, at a right angle to the
track, meets the ground, so nothing here shares a formula with the code that goes the other way. Look-up tables are written
as the processor writes them, in both formats of noise; they are made up, as are all amplitudes.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyproj
import rasterio
from rasterio.control import GroundControlPoint
from scipy.interpolate import RegularGridInterpolator

F64 = npt.NDArray[np.float64]

_START = dt.datetime(2021, 8, 9, 17, 39, 53, 153776, tzinfo=dt.UTC)
_TO_DEGREES = pyproj.Transformer.from_crs("EPSG:4978", "EPSG:4979", always_xy=True)
_TO_EARTH = pyproj.Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
_SLANT_M, _SPEED = 850_000.0, 7_590.0
_LINE_S, _PIXEL_M = 1.4991918e-3, 10.0
_STEP = 40  # samples between the nodes of tables


@dataclass(frozen=True)
class RadarWorld:
    """The product and its truth; arrays have dims (line, pixel).

    Attributes:
        lon: Degrees east of the middle.
        lat: Degrees north of the middle.
        heading_deg: Direction of flight: about -12 ascending, -168 descending.
        incidence_deg: At the middle.
        east: Rise of the ground per metre towards east.
        north: Rise of the ground per metre towards north.
        height_m: Of the ground in the middle, above the ellipsoid.
        shape: Lines and pixels.
        looks: Of the speckle; 0 is none.
        noise: Its power, DN^2; 0 is none.
        old_noise: Whether noise is written as before IPF 2.9.
        seed: Of the speckle.
        by_area: Whether slopes are as bright as the area that the radar sees in a sample, as in nature, or as the cosine of
            the angle under which it sees them.
        start: Time of the first line.
    """

    lon: float = 11.3
    lat: float = 46.8
    heading_deg: float = -12.0
    incidence_deg: float = 38.0
    east: float = 0.0
    north: float = 0.0
    height_m: float = 700.0
    shape: tuple[int, int] = (240, 220)
    looks: int = 0
    noise: float = 4000.0
    old_noise: bool = False
    seed: int = 1
    by_area: bool = False
    start: dt.datetime = _START

    @property
    def plane(self) -> pyproj.Transformer:
        """From degrees to metres east and north of the middle, true to scale around it."""
        text = f"+proj=tmerc +lat_0={self.lat} +lon_0={self.lon} +k=1 +datum=WGS84"
        return pyproj.Transformer.from_crs("EPSG:4326", pyproj.CRS.from_proj4(text), always_xy=True)

    def height(self, lon: F64, lat: F64) -> F64:
        """The ground's height above the ellipsoid in metres."""
        e, n = self.plane.transform(lon, lat)
        found: F64 = self.height_m + self.east * np.asarray(e) + self.north * np.asarray(n)
        return found

    def truth(self, lon: F64, lat: F64, polarization: str = "vv") -> F64:
        """Gamma0 without any effect of the terrain, linear power: smooth hills of brightness, VH a fifth of VV."""
        e, n = self.plane.transform(lon, lat)
        found: F64 = 0.12 + 0.05 * np.sin(np.asarray(e) / 260) * np.cos(np.asarray(n) / 310)
        return found if polarization == "vv" else found / 5

    def _local(self, lon: F64, lat: F64) -> tuple[F64, F64, F64]:
        """Unit vectors towards east, north and up, Earth-fixed, dims (..., 3)."""
        lam, phi = np.radians(lon), np.radians(lat)
        none = np.zeros_like(lam)
        east = np.stack([-np.sin(lam), np.cos(lam), none], -1)
        up = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)
        return east, np.cross(up, east), up

    @cached_property
    def _track(self) -> tuple[F64, F64, F64]:
        """Position, velocity and acceleration at the middle line."""
        middle = np.array(_TO_EARTH.transform(self.lon, self.lat, self.height_m))
        east, north, up = self._local(np.array(self.lon), np.array(self.lat))
        heading, theta = np.radians(self.heading_deg), np.radians(self.incidence_deg)
        forward = np.sin(heading) * east + np.cos(heading) * north
        right = np.cos(heading) * east - np.sin(heading) * north
        satellite = middle + _SLANT_M * (np.cos(theta) * up - np.sin(theta) * right)
        return satellite, _SPEED * forward, -8.3 * satellite / np.linalg.norm(satellite)

    def flight(self, seconds: F64) -> tuple[F64, F64]:
        """Position and velocity at seconds since the first line, dims (..., 3)."""
        t = (np.asarray(seconds) - self.shape[0] / 2 * _LINE_S)[..., None]
        position, velocity, acceleration = self._track
        return position + velocity * t + acceleration * t**2 / 2, velocity + acceleration * t

    @property
    def ranges(self) -> list[tuple[float, float, tuple[float, float, float]]]:
        """Seconds, slant range origin and polynomial of each conversion to ground range: they differ, as real ones do."""
        near = _SLANT_M - self.shape[1] / 2 * _PIXEL_M * np.sin(np.radians(self.incidence_deg))
        slope = 1 / np.sin(np.radians(self.incidence_deg))
        half = self.shape[0] * _LINE_S / 2
        return [(half + n * 0.34 - 0.1, near, (0.0, slope * (1 + 4e-3 * n), -3e-7)) for n in (-1, 0, 1)]

    @cached_property
    def places(self) -> tuple[F64, F64, F64, F64]:
        """Longitude, latitude and height of each sample, and the vector from there to the radar in metres (last axis)."""
        return self.place(*np.meshgrid(np.arange(self.shape[0]), np.arange(self.shape[1]), indexing="ij"))

    def place(self, line: npt.NDArray[np.generic], pixel: npt.NDArray[np.generic]) -> tuple[F64, F64, F64, F64]:
        """The same of any samples."""
        seconds = np.asarray(line, np.float64) * _LINE_S
        nearest = np.argmin([np.abs(seconds - t) for t, _, _ in self.ranges], 0)
        slant = np.zeros(seconds.shape)
        for n, (_, origin, (_, b, c)) in enumerate(self.ranges):
            ground = np.asarray(pixel, np.float64) * _PIXEL_M
            slant = np.where(nearest == n, origin + (-b + np.sqrt(b * b + 4 * c * ground)) / (2 * c), slant)
        satellite, velocity = self.flight(seconds)
        along = velocity / np.linalg.norm(velocity, axis=-1, keepdims=True)
        down = -(satellite - (satellite * along).sum(-1, keepdims=True) * along)
        down /= np.linalg.norm(down, axis=-1, keepdims=True)
        right = np.cross(down, along)

        def at(angle: F64) -> tuple[F64, F64]:
            way = np.cos(angle)[..., None] * down + np.sin(angle)[..., None] * right
            xyz = satellite + slant[..., None] * way
            lon, lat, height = _TO_DEGREES.transform(xyz[..., 0], xyz[..., 1], xyz[..., 2])
            return np.stack([lon, lat, height], -1), height - self.height(lon, lat)

        angle = np.full(seconds.shape, np.radians(self.incidence_deg - 4.5))
        for _ in range(40):  # as if the ground were level: each round leaves less than half of the error
            off = at(angle)[1]
            angle = angle - off / (slant * np.sin(np.radians(self.incidence_deg)))
            if np.abs(off).max() < 1e-3:
                break
        found, _ = at(angle)
        way = np.cos(angle)[..., None] * down + np.sin(angle)[..., None] * right
        return found[..., 0], found[..., 1], found[..., 2], -slant[..., None] * way

    @cached_property
    def cosines(self) -> tuple[F64, F64]:
        """Cosine of each sample's incidence on the ellipsoid, and on the ground."""
        lon, lat, _, to_radar = self.places
        east, north, up = self._local(lon, lat)
        to_radar = to_radar / np.linalg.norm(to_radar, axis=-1, keepdims=True)
        normal = up - self.east * east - self.north * north
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        return (up * to_radar).sum(-1), (normal * to_radar).sum(-1)

    @cached_property
    def seen_area(self) -> F64:
        """Ground between each sample's neighbours, across the line of sight, in m^2."""
        lon, lat, height, to_radar = self.places
        ground = np.stack(_TO_EARTH.transform(lon, lat, height), -1)
        line_to_line = np.gradient(ground, axis=0)
        # Another polynomial begins within the image: no difference may reach over that line
        nearest = np.argmin([np.abs(np.arange(self.shape[0]) * _LINE_S - t) for t, _, _ in self.ranges], 0)
        for n in np.unique(nearest):
            rows = np.flatnonzero(nearest == n)
            line_to_line[rows] = np.gradient(ground[rows], axis=0)
        patch = np.cross(line_to_line, np.gradient(ground, axis=1))
        area: F64 = np.abs((patch * to_radar).sum(-1)) / np.linalg.norm(to_radar, axis=-1)
        return area

    def _nodes(self) -> tuple[F64, F64]:
        lines = np.unique(np.append(np.arange(0, self.shape[0], 100), self.shape[0] - 1)).astype(np.float64)
        pixels = np.unique(np.append(np.arange(0, self.shape[1], _STEP), self.shape[1] - 1)).astype(np.float64)
        return lines, pixels

    def _table(self, of: Callable[[F64, F64], F64]) -> tuple[F64, F64]:
        """Values at the nodes, and at all samples: bilinear between them."""
        lines, pixels = self._nodes()
        values = of(*np.meshgrid(lines, pixels, indexing="ij"))
        samples = np.meshgrid(np.arange(self.shape[0]), np.arange(self.shape[1]), indexing="ij")
        return values, RegularGridInterpolator((lines, pixels), values)(np.stack(samples, -1))

    @cached_property
    def gamma_table(self) -> tuple[F64, F64]:
        """Calibration for gamma0 at the nodes and at all samples: it changes by a tenth from node to node."""
        return self._table(lambda line, pixel: 640 + 60 * np.sin(pixel / 25) + 15 * np.cos(line / 70))

    @cached_property
    def noise_table(self) -> tuple[F64, F64]:
        """Noise along range, likewise."""
        return self._table(lambda line, pixel: self.noise * (1 + 0.4 * np.cos(pixel / 60) + 0.1 * np.sin(line / 90)))

    def azimuth_noise(self) -> list[tuple[int, int, F64, F64]]:
        """First and last pixel, lines and factors of two swaths; none in the old format."""
        if self.old_noise:
            return []
        middle = self.shape[1] * 2 // 5
        lines = np.unique(np.append(np.arange(0, self.shape[0], 10), self.shape[0] - 1)).astype(np.float64)
        return [
            (0, middle - 1, lines, 1 + 0.1 * np.cos(lines / 30)),
            (middle, self.shape[1] - 1, lines, 1.1 + 0.05 * np.sin(lines / 20)),
        ]

    @cached_property
    def noise_power(self) -> F64:
        """Noise of all samples, DN^2."""
        power = self.noise_table[1].copy()
        for first, last, lines, factors in self.azimuth_noise():
            power[:, first : last + 1] *= np.interp(np.arange(self.shape[0]), lines, factors)[:, None]
        return power

    @cached_property
    def amplitudes(self) -> npt.NDArray[np.uint16]:
        """What the measurement of VV stores."""
        return self.amplitudes_of("vv")

    def amplitudes_of(self, polarization: str) -> npt.NDArray[np.uint16]:
        """What a measurement stores, with the effect of the terrain, noise and speckle; uint16, nowhere 0."""
        lon, lat, _, _ = self.places
        flat, local = self.cosines
        bright = self.seen_area / replace(self, east=0.0, north=0.0).seen_area if self.by_area else local / flat
        power = self.truth(lon, lat, polarization) * bright * self.gamma_table[1] ** 2 + self.noise_power
        if self.looks:
            power = power * np.random.default_rng(self.seed).gamma(self.looks, 1 / self.looks, self.shape)
        return np.clip(np.rint(np.sqrt(power)), 1, 65535).astype(np.uint16)

    def write(self, folder: Path, polarization: str = "vv") -> dict[str, Path]:
        """The files of a polarisation, in a product's folders and by its names: measurement, product, calibration and noise."""
        (folder / "measurement").mkdir(parents=True, exist_ok=True)
        (folder / "annotation" / "calibration").mkdir(parents=True, exist_ok=True)
        name = f"iw-{polarization}"
        found = {
            "measurement": folder / "measurement" / f"{name}.tiff",
            "product": folder / "annotation" / f"{name}.xml",
            "calibration": folder / "annotation" / "calibration" / f"calibration-{name}.xml",
            "noise": folder / "annotation" / "calibration" / f"noise-{name}.xml",
        }
        texts = {
            "product": self.product_xml(polarization), "calibration": self.calibration_xml(polarization), "noise": self.noise_xml(polarization),
        }  # fmt: skip
        for kind, text in texts.items():
            found[kind].write_text(text, encoding="utf-8")
        points = [GroundControlPoint(row=r, col=c, x=x, y=y, z=z) for r, c, x, y, z, _ in self._points()]
        with rasterio.open(
            found["measurement"], "w", driver="GTiff", dtype="uint16", count=1, height=self.shape[0],
            width=self.shape[1], tiled=True, blockxsize=128, blockysize=128,
        ) as sink:  # fmt: skip
            sink.write(self.amplitudes if polarization == "vv" else self.amplitudes_of(polarization), 1)
            sink.gcps = points, rasterio.crs.CRS.from_epsg(4326)
        return found

    def _points(self) -> list[tuple[float, ...]]:
        """Line, pixel, longitude, latitude, height and incidence angle of a geolocation grid."""
        lines, pixels = (np.unique(np.linspace(0, n - 1, 6).astype(int)) for n in self.shape)
        line, pixel = np.meshgrid(lines, pixels, indexing="ij")
        lon, lat, height, to_radar = self.place(line, pixel)
        up = self._local(lon, lat)[2]
        cosine = (up * to_radar).sum(-1) / np.linalg.norm(to_radar, axis=-1)
        columns = (line, pixel, lon, lat, height, np.degrees(np.arccos(cosine)))
        return [tuple(map(float, row)) for row in zip(*(c.ravel() for c in columns), strict=True)]

    def product_xml(self, polarization: str = "vv") -> str:
        """The product annotation."""
        states = "".join(self._state(seconds) for seconds in np.arange(-40.0, 41.0, 10.0))
        conversions = "".join(
            f"<coordinateConversion><azimuthTime>{self._time(t)}</azimuthTime><slantRangeTime>{_sci(2 * r / 299792458)}</slantRangeTime>"
            f"<sr0>{_sci(r)}</sr0><srgrCoefficients count='3'>{_list(np.array(c))}</srgrCoefficients></coordinateConversion>"
            for t, r, c in self.ranges
        )
        points = "".join(
            f"<geolocationGridPoint><azimuthTime>{self._time(line * _LINE_S)}</azimuthTime><line>{line:.0f}</line><pixel>{pixel:.0f}</pixel>"
            f"<latitude>{_sci(lat)}</latitude><longitude>{_sci(lon)}</longitude><height>{_sci(height)}</height>"
            f"<incidenceAngle>{_sci(angle)}</incidenceAngle></geolocationGridPoint>"
            for line, pixel, lon, lat, height, angle in self._points()
        )
        return (
            f"{_HEAD}<product>{self._header(polarization)}<generalAnnotation><orbitList count='9'>{states}</orbitList></generalAnnotation>"
            f"<imageAnnotation><imageInformation><productFirstLineUtcTime>{self._time(0)}</productFirstLineUtcTime>"
            f"<rangePixelSpacing>{_sci(_PIXEL_M)}</rangePixelSpacing><azimuthTimeInterval>{_sci(_LINE_S)}</azimuthTimeInterval>"
            f"<numberOfSamples>{self.shape[1]}</numberOfSamples><numberOfLines>{self.shape[0]}</numberOfLines>"
            f"</imageInformation></imageAnnotation><geolocationGrid><geolocationGridPointList count='36'>{points}"
            "</geolocationGridPointList></geolocationGrid><coordinateConversion><coordinateConversionList count='3'>"
            f"{conversions}</coordinateConversionList></coordinateConversion></product>"
        )

    def _state(self, seconds: float) -> str:
        vectors = dict(zip(("position", "velocity"), self.flight(np.array(seconds)), strict=True))
        inner = "".join(
            f"<{name}>"
            + "".join(f"<{axis}>{_sci(v)}</{axis}>" for axis, v in zip("xyz", vector, strict=True))
            + f"</{name}>"
            for name, vector in vectors.items()
        )
        return f"<orbit><time>{self._time(seconds)}</time><frame>Earth Fixed</frame>{inner}</orbit>"

    def calibration_xml(self, polarization: str = "vv") -> str:
        """The calibration annotation; sigma0 and beta0 have tables of their own, which nothing here uses."""
        lines, pixels = self._nodes()
        vectors = "".join(
            f"<calibrationVector><azimuthTime>{self._time(line * _LINE_S)}</azimuthTime><line>{line:.0f}</line>{_counted('pixel', pixels)}"
            f"{_counted('sigmaNought', row * 0.9)}{_counted('betaNought', row * 0.7)}{_counted('gamma', row)}"
            f"{_counted('dn', row)}</calibrationVector>"
            for line, row in zip(lines, self.gamma_table[0], strict=True)
        )
        return (
            f"{_HEAD}<calibration>{self._header(polarization)}<calibrationInformation><absoluteCalibrationConstant>1.000000e+00"
            f"</absoluteCalibrationConstant></calibrationInformation><calibrationVectorList count='{len(lines)}'>{vectors}"
            "</calibrationVectorList></calibration>"
        )

    def noise_xml(self, polarization: str = "vv") -> str:
        """The noise annotation in the format of the world."""
        name = "noise" if self.old_noise else "noiseRange"
        lines, pixels = self._nodes()
        vectors = "".join(
            f"<{name}Vector><azimuthTime>{self._time(line * _LINE_S)}</azimuthTime><line>{line:.0f}</line>{_counted('pixel', pixels)}"
            f"{_counted(f'{name}Lut', row)}</{name}Vector>"
            for line, row in zip(lines, self.noise_table[0], strict=True)
        )
        azimuth = "".join(
            f"<noiseAzimuthVector><swath>IW{n}</swath><firstAzimuthLine>0</firstAzimuthLine><firstRangeSample>{first}"
            f"</firstRangeSample><lastAzimuthLine>{self.shape[0] - 1}</lastAzimuthLine><lastRangeSample>{last}</lastRangeSample>"
            f"{_counted('line', at)}{_counted('noiseAzimuthLut', factors)}</noiseAzimuthVector>"
            for n, (first, last, at, factors) in enumerate(self.azimuth_noise(), 1)
        )
        if not self.old_noise:
            azimuth = f"<noiseAzimuthVectorList count='2'>{azimuth}</noiseAzimuthVectorList>"
        listed = f"<{name}VectorList count='{len(lines)}'>{vectors}</{name}VectorList>"
        return f"{_HEAD}<noise>{self._header(polarization)}{listed}{azimuth}</noise>"

    def _header(self, polarization: str) -> str:
        return (
            f"<adsHeader><missionId>S1A</missionId><productType>GRD</productType><polarisation>{polarization.upper()}</polarisation>"
            f"<mode>IW</mode><swath>IW</swath><startTime>{self._time(0)}</startTime></adsHeader>"
        )

    def _time(self, seconds: float) -> str:
        return (
            (self.start + dt.timedelta(seconds=float(seconds))).replace(tzinfo=None).isoformat(timespec="microseconds")
        )


_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def _sci(value: float) -> str:
    return f"{float(value):.15e}"


def _list(values: F64) -> str:
    return " ".join(f"{v:.0f}" if float(v).is_integer() and abs(v) > 1 else _sci(v) for v in values)


def _counted(name: str, values: F64) -> str:
    return f'<{name} count="{len(values)}">{_list(values)}</{name}>'
