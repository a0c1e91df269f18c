"""Copernicus digital surface model (GLO-30, or GLO-90 if that collection is named): metres above the EGM2008 geoid."""

import math

from geo_assets.model.band import Band
from geo_assets.model.sensor import Sensor

PLUGIN = Sensor(
    name="dem",
    title="Copernicus digital elevation model",
    collections={"*": ("cop-dem-glo-30",)},  # GLO-90 shows the same ground again: whoever wants it names it
    bands={
        "elevation": Band(
            "elevation",
            ("data",),
            30,
            dtype="float32",
            nodata=math.nan,  # the files name none: sea is 0 m, which is a height
            unit="m",
            quantity="surface_altitude",
            shown=(0.0, 3000.0),
            plausible=(-500.0, 9000.0),
        )
    },
    default_bands=("elevation",),
    cloud_cover_field=None,
    static=True,
    heights="elevation",
    derived={
        "slope": Band(
            "slope", (), 30, dtype="float32", nodata=math.nan, unit="degree", shown=(0.0, 45.0), plausible=(0.0, 90.0)
        ),
        # From north, clockwise, where the ground falls to
        "aspect": Band(
            "aspect",
            (),
            30,
            dtype="float32",
            nodata=math.nan,
            unit="degree",
            shown=(0.0, 360.0),
            plausible=(0.0, 360.0),
        ),
    },
)
