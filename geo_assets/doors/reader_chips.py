"""Chips for whoever reads them: the table, and pixels of its rows."""

from collections.abc import Sequence
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import shapely
import xarray as xr

from geo_assets.errors import ConfigError, StoreError
from geo_assets.model import path
from geo_assets.model.chip_table import best
from geo_assets.model.period import Month
from geo_assets.storage import Storage
from geo_assets.tasks.chip_group import bands_of, read_chips
from geo_assets.tasks.chip_table import read_rows


class ChipReader:
    """What reads chips below a storage root.

    Attributes:
        storage: Holds tables and pixels.
    """

    storage: Storage

    def chips(
        self, merged: bool = False, month: str | None = None, cell: str | None = None, sensor: str | None = None
    ) -> gpd.GeoDataFrame:
        """Chips, one row a scene and window of a cell; EPSG:4326.

        Args:
            merged: Whether gaps are to be filled from other days; no version makes such chips yet.
            month: Only of this period, such as ``2024-02``.
            cell: Only of this cell.
            sensor: Only of this sensor.

        Returns:
            The columns of ``model.chip_table.COLUMNS`` (``valid_fraction`` is the share of pixels with every band,
            ``clear_fraction`` of those that the mask calls clear), ``within_footprint``, ``solar_day`` and shares of pixels
            under cloud, shadow, snow and water, of those that are observed; and the outline.

        Raises:
            ConfigError: Merged ones are asked for.
            PartitionError: No such month can be.
            StoreError: There is no such table.
        """
        if merged:
            raise ConfigError("merged chips are not made yet: ask for chips(merged=False)")
        if month is not None:
            Month.parse(month)
        return _rows(self.storage, month=month, cell=cell, sensor=sensor)

    def chip_pixels(self, chips: pd.DataFrame, bands: Sequence[str] | None = None) -> xr.Dataset:
        """Pixels of some rows of ``chips()``, dims (chip, y, x), in their order.

        Args:
            chips: Rows of one sensor.
            bands: Names of bands; left out: all of them, ``clear`` (1 where every band is observed and clear) and the mask's own.

        Returns:
            Stored numbers: reflectances have to be multiplied by the band's scale; 0, or NaN for floats, is not observed.

        Raises:
            ConfigError: No such band, no row, or rows of several sensors.
            StoreError: The pixels are gone.
        """
        return _pixels(self.storage, chips, bands)


def _rows(storage: Storage, *, month: str | None, cell: str | None, sensor: str | None) -> gpd.GeoDataFrame:
    """Rows of the stored chips, EPSG:4326."""
    tables = []
    for name in storage.names(path.CHIPS):
        if not name.endswith(".parquet") or name.count("/") != 2:
            continue
        _, region, file = name.split("/")
        if month in (None, file.removesuffix(".parquet")):
            rows = read_rows(storage, region, file.removesuffix(".parquet"))
            tables += [rows] if rows is not None else []
    if not tables:
        wanted = f" of {month}" if month else ""
        raise StoreError(f"no chips{wanted} in {storage.root}: run the project with product chips first")
    table: pd.DataFrame = pa.concat_tables([best(t) for t in tables], promote_options="permissive").to_pandas()
    for column, value in (("cell_id", cell), ("sensor", sensor)):
        table = table if value is None else table[table[column] == value]
    shapes = shapely.from_wkb(table.pop("geometry").to_numpy())
    found = gpd.GeoDataFrame(table.reset_index(drop=True), geometry=gpd.GeoSeries(shapes, crs="EPSG:4326"))
    return found.sort_values(["chip_id", "datetime", "sensor"], ignore_index=True)


def _pixels(storage: Storage, table: pd.DataFrame, bands: Sequence[str] | None) -> xr.Dataset:
    """Pixels of rows of that table, dims (chip, y, x), in their order."""
    if not len(table):
        raise ConfigError("no chip to read: the table has no row")
    sensors = sorted(set(table["sensor"]))
    if len(sensors) > 1:
        raise ConfigError(f"chips of {' and '.join(sensors)} have other bands: read those of one sensor at a time")
    names = list(bands) if bands is not None else bands_of(storage.uri(str(table["href"].iloc[0])))
    made: dict[str, Any] = {}
    places, hrefs = table["index"].to_numpy(), table["href"].to_numpy()
    for href in dict.fromkeys(hrefs):  # one group a scene: its chips lie together
        rows = np.flatnonzero(hrefs == href)
        try:
            read = read_chips(storage.uri(str(href)), places[rows].tolist(), names)
        except KeyError as e:
            raise ConfigError(f"chips have no band {e}; they have {', '.join(bands_of(storage.uri(str(href))))}") from e
        except FileNotFoundError as e:
            raise StoreError(f"{storage.uri(str(href))} is gone: the chips were made anew; read the table again") from e
        for name, values in read.items():
            if name not in made:
                made[name] = np.empty((len(table), *values.shape[1:]), values.dtype)
            made[name][rows] = values
    coords = {"chip": table["chip_id"].to_numpy(), "time": ("chip", table["datetime"].dt.tz_localize(None).to_numpy())}
    return xr.Dataset({name: (("chip", "y", "x"), values) for name, values in made.items()}, coords=coords)
