"""One Zarr group an image: an array a band, with the attributes by which xarray and rioxarray know values and place."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import zarr
from zarr.codecs import BloscCodec, BloscShuffle
from zarr.storage import MemoryStore

from geo_assets.formats._memory import objects
from geo_assets.model.band import Band
from geo_assets.model.cf import band_attributes
from geo_assets.model.image import Image

_CHUNK_PX = 256


class ZarrFormat:
    """Zarr v3, each array one shard of chunks of 256 pixels."""

    ending = ".zarr"
    one_dtype = False

    def encode(self, image: Image) -> dict[str, bytes]:
        """Objects of the group, the root's metadata last."""
        store = MemoryStore()
        group = zarr.create_group(
            store, zarr_format=3, attributes=dict(image.tags) | ({"datetime": image.time} if image.time else {})
        )
        _coordinates(group, image)
        for band, values in zip(image.bands, image.values, strict=True):
            _array(group, band, values)
        return objects(store, self.ending)


def _coordinates(group: zarr.Group, image: Image) -> None:
    crs = pyproj.CRS.from_user_input(image.box.crs)
    xs, ys = image.box.centers()
    names = ("longitude", "latitude") if crs.is_geographic else ("projection_x_coordinate", "projection_y_coordinate")
    units = ("degrees_east", "degrees_north") if crs.is_geographic else ("metre", "metre")
    for name, values, standard, unit in (("x", xs, names[0], units[0]), ("y", ys, names[1], units[1])):
        _coordinate(group, name, values, {"standard_name": standard, "units": unit, "axis": name.upper()})
    attrs = json.loads(json.dumps(crs.to_cf()))
    transform = " ".join(str(v) for v in image.box.transform.to_gdal())
    spatial_ref = group.create_array(
        "spatial_ref", shape=(), dtype="int64", dimension_names=(), attributes={**attrs, "GeoTransform": transform}
    )
    spatial_ref[...] = crs.to_epsg() or 0


def _coordinate(group: zarr.Group, name: str, values: npt.NDArray[Any], attrs: Mapping[str, Any]) -> None:
    array = group.create_array(
        name, shape=values.shape, chunks=values.shape, dtype=values.dtype, fill_value=0, dimension_names=(name,), attributes=dict(attrs),
        config={"write_empty_chunks": True},
    )  # fmt: skip
    array[:] = values


def _array(group: zarr.Group, band: Band, values: npt.NDArray[Any]) -> None:
    chunk = min(_CHUNK_PX, max(values.shape))
    shard = tuple(-(-side // chunk) * chunk for side in values.shape)
    array = group.create_array(
        band.name, shape=values.shape, shards=shard, chunks=(chunk, chunk), dtype=band.dtype, fill_value=band.fill,
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle=BloscShuffle.shuffle), dimension_names=("y", "x"),
        attributes={**band_attributes(band), "grid_mapping": "spatial_ref", "coordinates": "spatial_ref"},
    )  # fmt: skip
    array[...] = np.asarray(values)


PLUGIN = ZarrFormat()
