"""What a model reads of a yearly tile: twelve months of each band, worked out from the arrays that are stored of it.

The days of Sentinel-2 become 24 even steps and these twelve smooth months (``eo.series``), band by band and index by index, as
the tree-cover pipeline of the World Resources Institute makes them (github.com/wri/sentinel-tree-cover): an index is made of
each day, not of the months. Radar is stored by the month; what does not change with time is the same in every month.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from geo_assets.eo.backscatter import to_db, to_unit
from geo_assets.eo.indices import INDICES, index
from geo_assets.eo.radar_steps import POLARISATIONS
from geo_assets.eo.tile_clouds import BAD_CLASSES, NODATA_CLASS
from geo_assets.eo.tile_scale import NODATA, TOP, from_uint16
from geo_assets.errors import ConfigError
from geo_assets.model.geometry import GeoBox
from geo_assets.model.mlm import InputBand

BANDS_10 = ("blue", "green", "red", "nir")
BANDS_20 = ("rededge1", "rededge2", "rededge3", "nir08", "swir16", "swir22")
SLOPE = "slope"
MONTHS = 12

Form = Literal["optical", "radar", "terrain"]
F32 = npt.NDArray[np.float32]
Stored = npt.NDArray[np.uint16]
Bits = npt.NDArray[np.bool_]

_FORMS: Mapping[str, Form] = {
    **dict.fromkeys((*BANDS_10, *BANDS_20, *INDICES), "optical"), **dict.fromkeys(POLARISATIONS, "radar"), SLOPE: "terrain",
}  # fmt: skip
# Units that a band can be had in; the first one is that of a band that says none
UNITS: Mapping[Form, tuple[str, ...]] = {"optical": ("1",), "radar": ("unit", "dB", "1"), "terrain": ("degree",)}
_PRODUCTS: Mapping[Form, tuple[str, ...]] = {"optical": ("clouds",), "radar": ("s1",), "terrain": ("dem",)}


def form_of(band: InputBand) -> Form:
    """The kind of sensor that a band is made from.

    Raises:
        ConfigError: Tiles have no such band, or not in its unit.
    """
    form = _FORMS.get(band.name)
    if form is None:
        raise ConfigError(f"yearly tiles have no band {band.name[:80]!r}; they have {', '.join(_FORMS)}")
    if band.unit and band.unit not in UNITS[form]:
        raise ConfigError(
            f"yearly tiles have no {band.name} in {band.unit[:40]!r}: its unit is one of {', '.join(UNITS[form])}"
        )
    return form


def products_of(bands: Sequence[InputBand]) -> dict[str, Form]:
    """Stored arrays that some bands are made from (``eo.tile_keys.PRODUCTS``), and the kind of sensor of each."""
    found: dict[str, Form] = {}
    for band in bands:
        form = form_of(band)
        needed = INDICES[band.name].bands if band.name in INDICES else (band.name,)
        more = [p for p, own in (("s2_10", BANDS_10), ("s2_20", BANDS_20)) if set(needed) & set(own)]
        found |= dict.fromkeys([*_PRODUCTS[form], *more], form)
    return found


def clear_pixels(codes: npt.NDArray[np.uint8], coarse: GeoBox, fine: GeoBox) -> Bits:
    """Whether pixels are seen clearly, from class codes of larger pixels that cover them.

    Args:
        codes: Dims (time, y, x), class codes, nodata 0.
        coarse: Their pixels.
        fine: Pixels that nest in those.

    Returns:
        Dims (time, y, x) of ``fine``; every class of ``BAD_CLASSES`` and nodata is not clear.

    Raises:
        ValueError: The pixels do not nest, or are not covered.
    """
    times = coarse.resolution / fine.resolution
    above, before = (coarse.top - fine.top) / fine.resolution, (fine.left - coarse.left) / fine.resolution
    if (coarse.crs, times.denominator, above.denominator, before.denominator) != (fine.crs, 1, 1, 1):
        raise ValueError("pixels of the clouds and of the bands do not nest")
    places = [
        (int(first) + np.arange(size)) // int(times) for first, size in zip((above, before), fine.shape, strict=True)
    ]
    if any(at[0] < 0 or at[-1] >= size for at, size in zip(places, codes.shape[1:], strict=True)):
        raise ValueError("the clouds do not cover the bands")
    table = np.ones(256, bool)
    table[[NODATA_CLASS, *BAD_CLASSES]] = False
    clear: Bits = table[codes][:, places[0][:, None], places[1][None, :]]
    return clear


@dataclass(frozen=True, eq=False)
class TileYear:
    """A tile's year as it is stored; what a model does not read may be left out.

    Attributes:
        year: The year.
        shape: Rows and columns of its 10 m pixels.
        days: Days of the year of the optical steps, dims (time), int64, as ``series.days_of_year`` counts them.
        reflectance: By band, dims (time, y, x), uint16 as ``eo.tile_scale`` stores it; of ``BANDS_20`` pixels of 20 m.
        clear: Whether a 10 m pixel is seen clearly, dims (time, y, x).
        power: By polarisation, dims (month, y, x), uint16 as ``eo.tile_scale`` stores it.
        slope: Dims (y, x), float32, degrees, nodata NaN.
    """

    year: int
    shape: tuple[int, int]
    days: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    reflectance: Mapping[str, Stored] = field(default_factory=dict)
    clear: Bits = field(default_factory=lambda: np.empty((0, 0, 0), bool))
    power: Mapping[str, Stored] = field(default_factory=dict)
    slope: F32 = field(default_factory=lambda: np.empty((0, 0), np.float32))

    def months(self, bands: Sequence[InputBand], rows: slice, cols: slice) -> F32:
        """Twelve months of a window.

        Args:
            bands: What is wanted; ``form_of`` knows each. Bands and indices are reflectance; ``vv`` and ``vh`` decibels from
                -22 to 0 as 0 to 1 (unit "unit", where a band says none), decibels ("dB") or linear gamma0 ("1"); slope
                is degrees.
            rows: Rows of the 10 m pixels.
            cols: Columns of them.

        Returns:
            Dims (month, band, y, x), float32, nodata NaN. A pixel of a 20 m band is that under it.
        """
        window, out = _Window(self, rows, cols), np.empty((MONTHS, len(bands), *_size(rows, cols)), np.float32)
        for n, band in enumerate(bands):
            form = form_of(band)
            if form == "terrain":
                out[:, n] = self.slope[rows, cols]
            elif form == "radar":
                out[:, n] = _RADAR[band.unit or UNITS[form][0]](from_uint16(self.power[band.name][:, rows, cols]))
            else:
                out[:, n] = window.index(band.name) if band.name in INDICES else window.reflectance(band.name)
        return out


def _size(rows: slice, cols: slice) -> tuple[int, int]:
    return rows.stop - rows.start, cols.stop - cols.start


_RADAR: Mapping[str, Callable[[F32], npt.NDArray[Any]]] = {
    "unit": lambda power: to_unit(to_db(power)), "dB": to_db, "1": lambda power: power,
}  # fmt: skip


class _Window:
    """The optical months of a window; what several indices share is scaled once."""

    def __init__(self, year: TileYear, rows: slice, cols: slice) -> None:
        self._year, self._rows, self._cols = year, rows, cols
        self._scaled: dict[str, F32] = {}

    def reflectance(self, name: str) -> F32:
        """Months of a band; of one of 20 m they are made at 20 m, which is the same and takes a quarter of the time."""
        stack, clear = self._year.reflectance[name], self._year.clear
        if name in BANDS_10:
            made = _monthly(stack[:, self._rows, self._cols], clear[:, self._rows, self._cols], self._year, NODATA)
        else:
            rows, cols = _halved(self._rows), _halved(self._cols)
            made = self._doubled(_monthly(stack[:, rows, cols], clear[:, ::2, ::2][:, rows, cols], self._year, NODATA))
        return made / np.float32(TOP)

    def index(self, name: str) -> F32:
        """Months of an index, which is made of each day and brought to its limits."""
        made = index(name, {band: self._band(band) for band in INDICES[name].bands}, clip=True)
        return _monthly(made, self._year.clear[:, self._rows, self._cols], self._year, np.nan)

    def _band(self, name: str) -> F32:
        if name not in self._scaled:
            stack = self._year.reflectance[name]
            if name in BANDS_10:
                part = stack[:, self._rows, self._cols]
            else:
                part = self._doubled(stack[:, _halved(self._rows), _halved(self._cols)])
            self._scaled[name] = from_uint16(part)
        return self._scaled[name]

    def _doubled(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Pixels of 20 m as those of 10 m in the window."""
        wide = values.repeat(2, axis=-2).repeat(2, axis=-1)
        top, left = self._rows.start % 2, self._cols.start % 2
        height, width = _size(self._rows, self._cols)
        return wide[..., top : top + height, left : left + width]


def _halved(part: slice) -> slice:
    """Pixels of 20 m under those of 10 m."""
    return slice(part.start // 2, -(-part.stop // 2))


def _monthly(stack: npt.NDArray[Any], clear: Bits, year: TileYear, nodata: float) -> F32:
    """Smooth months of one band, dims (month, y, x), in the stack's unit."""
    from geo_assets.eo import series  # takes a third of a second, which only workers have to spend

    steps = series.composites(stack[:, None], clear, year.days, series.step_days(year.year), nodata=nodata)
    return series.monthly(steps)[:, 0]
