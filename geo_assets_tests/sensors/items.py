"""Real STAC items, and whether a sensor's facts are what they say of themselves."""

import gzip
import json
import math
import re

from geo_assets_tests.realdata import real_data


def real_items(pattern):
    """Name of the file and item, of all files whose name holds a pattern."""
    found = [path for path in sorted(real_data("stac_items").glob("*.ndjson.gz")) if re.search(pattern, path.name)]
    assert found, f"no real items named {pattern}"
    for path in found:
        yield from ((path.name, json.loads(line)) for line in gzip.decompress(path.read_bytes()).splitlines())


def asset_of(item, band):
    """Name of the asset that is read for a band, or None."""
    return next((name for name in band.assets if name in item["assets"]), None)


def found_bands(item, sensor):
    """Asset by band, for those that the item has; what the item says of each is what the sensor states.

    Bands of a sensor without map geometry are what is made of the assets, of which items say something else.
    """
    found = {band.name: asset_of(item, band) for band in sensor.bands.values()}
    found = {band: asset for band, asset in found.items() if asset}
    for name, asset in found.items() if sensor.geocoded else ():
        band = sensor.bands[name]
        [said] = item["assets"][asset].get("raster:bands", [{}])
        where = item["id"], asset, said
        assert said.get("data_type", band.dtype) == band.dtype, where
        assert said.get("scale", band.scale) == band.scale, where
        assert said.get("offset", band.offset) == band.offset, where
        nodata = said.get("nodata", band.nodata)
        assert nodata == band.nodata or (math.isnan(nodata) and math.isnan(band.nodata)) or name in ("vv", "vh"), where
    return found
