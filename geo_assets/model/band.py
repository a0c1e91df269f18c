"""One band of a sensor."""

from dataclasses import dataclass


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
        nodata: DN that means "not observed".
        unit: Unit of the value; ``1`` for reflectance, ``class`` for categories.
        wavelength_um: Centre wavelength, for optical bands.
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

    @property
    def categorical(self) -> bool:
        """Whether the numbers are classes, which are only ever resampled by nearest or mode."""
        return self.unit == "class"

    def kernel(self, resampling: str) -> str:
        """How the band is resampled where ``resampling`` is asked for: as it says, but classes are never interpolated."""
        return resampling if not self.categorical or resampling == "mode" else "nearest"
