"""One band of a sensor."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

RADAR = "surface_backwards_scattering_coefficient_of_radar_wave"  # quantity of radar bands, in linear power


@dataclass(frozen=True)
class Band:
    """How a band's stored numbers are to be read: ``value = DN * scale + offset``.

    Attributes:
        name: Our name, the STAC common name where there is one (``red``, ``nir``, ``scl``).
        assets: Names that catalogs give the asset, in the order to try.
        gsd_m: Ground sampling distance of the sensor.
        dtype: Numpy dtype of the stored numbers.
        scale: Value of one DN.
        offset: Value of DN 0, before any offset that depends on the scene.
        nodata: DN that means "not observed"; None where the files say it, or nothing is unobserved within them.
        unit: Unit of the value; ``1`` for reflectance, ``class`` for categories.
        wavelength_um: Centre wavelength, for optical bands.
        quantity: What is measured, as CF names it (``standard_name``), or "".
        shown: Values that a picture shows black and white.
        plausible: Least and greatest value that the quantity can have.
        classes: Names of categories, by their code.
        colours: Colours of categories as ``#rrggbb``, by their code.
    """

    name: str
    assets: tuple[str, ...]
    gsd_m: float
    dtype: str = "uint16"
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = 0
    unit: str = "1"
    wavelength_um: float | None = None
    quantity: str = ""
    shown: tuple[float, float] = (0.0, 0.3)
    plausible: tuple[float, float] = (-math.inf, math.inf)
    classes: Mapping[int, str] = field(default_factory=dict)
    colours: Mapping[int, str] = field(default_factory=dict)

    @property
    def floating(self) -> bool:
        """Whether the numbers are floats."""
        return np.dtype(self.dtype).kind == "f"

    @property
    def fill(self) -> float:
        """What a pixel of ours holds that was not observed: NaN for floats, else the band's nodata, or 0 where it has none."""
        return math.nan if self.floating else float(self.nodata or 0)

    def value(self, stored: float) -> float:
        """The value of a stored number."""
        return stored * self.scale + self.offset

    @property
    def categorical(self) -> bool:
        """Whether the numbers are classes, which are only ever resampled by nearest or mode."""
        return self.unit == "class"

    def kernel(self, resampling: str) -> str:
        """How the band is resampled where ``resampling`` is asked for: as it says, but classes are never interpolated."""
        return resampling if not self.categorical or resampling == "mode" else "nearest"
