"""Attributes of a band's array as the CF conventions have them."""

import re
from typing import Any

from geo_assets.model.band import Band

CATEGORICAL = "categorical"  # attribute of arrays of classes
NOT_OBSERVED = "not_observed"  # among flag_meanings: the number of pixels that no scene shows


def band_attributes(band: Band) -> dict[str, Any]:
    """Attributes of a band's array as the CF conventions have them, so that xarray makes values of the stored numbers."""
    attrs: dict[str, Any] = {"long_name": band.name}
    if band.quantity:
        attrs["standard_name"] = band.quantity
    attrs["units"] = "1" if band.categorical else band.unit
    if band.wavelength_um is not None:
        attrs["wavelength_um"] = band.wavelength_um
    if band.classes or band.categorical:
        names = {int(band.fill): NOT_OBSERVED, **band.classes} if band.categorical else dict(band.classes)
        attrs |= {"flag_values": sorted(names), "flag_meanings": " ".join(_word(names[c]) for c in sorted(names))}
    if band.categorical:  # without _FillValue, which would make xarray read floats: the class of its name says it
        return attrs | {CATEGORICAL: 1}
    if band.floating:
        return attrs | (
            {"scale_factor": band.scale, "add_offset": band.offset} if (band.scale, band.offset) != (1, 0) else {}
        )
    return attrs | {"scale_factor": band.scale, "add_offset": band.offset, "_FillValue": int(band.fill)}


def _word(name: str) -> str:
    """A name as one word: blanks part the names of CF's flag_meanings."""
    return re.sub(r"[^A-Za-z0-9_.+@-]+", "_", name)
