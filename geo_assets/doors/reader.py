"""``geo_assets.open(root)``: what was made, without Dagster and without credentials in the project file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import pandas as pd
import xarray as xr
import zarr

from geo_assets.doors.reader_chips import ChipReader
from geo_assets.eo.scenes import read_scenes
from geo_assets.eo.tile_keys import map_place
from geo_assets.errors import ConfigError, SourceError, StoreError
from geo_assets.model import path
from geo_assets.model.crs import parse_resolution
from geo_assets.model.geometry import PixelGrid, Region
from geo_assets.model.levels import level_path
from geo_assets.model.period import Month
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.registry import available, load
from geo_assets.storage import Storage
from geo_assets.tasks.ard_table import read_layers
from geo_assets.tasks.cells import read_cells

_COLUMNS = (
    "product", "region", "month", "status", "data_version", "recipe_hash", "scene_hash", "code_version", "run_id", "snapshot", "made_at", "wall_s",
)  # fmt: skip
_ENDINGS = {"cog": ".tif", "zarr": ".zarr"}
_OF_ALL = ("multiscales", "proj:", "spatial:", "zarr_conventions")  # attributes about the whole group


@dataclass(frozen=True)
class Store(ChipReader):
    """Everything below one storage root.

    Attributes:
        storage: Tables, receipts and pictures.
    """

    storage: Storage

    @classmethod
    def open(cls, root: str) -> "Store":
        """The store at a path or URI.

        Raises:
            StoreError: Nothing made by geo_assets lies there.
        """
        storage = Storage(str(root))
        if not storage.names("receipts"):
            raise StoreError(
                f"{storage.root} holds nothing made by geo_assets yet: give the project's storage, or run the project first"
            )
        return cls(storage)

    def __repr__(self) -> str:
        return f"<geo_assets store {self.storage.root}: {', '.join(self._products())}>"

    def cells(self) -> gpd.GeoDataFrame:
        """Cells with ``cell_id, region, regions, crs, geometry``; EPSG:4326, one row a cell.

        Raises:
            SourceError: A stored table is damaged.
        """
        tables = list(self._tables("cells", read_cells))
        if not tables:
            return gpd.GeoDataFrame(
                {"cell_id": [], "region": [], "regions": [], "crs": []}, geometry=[], crs="EPSG:4326"
            )
        return (
            pd.concat(tables, ignore_index=True)
            .drop_duplicates("cell_id", ignore_index=True)
            .sort_values("cell_id", ignore_index=True)
        )

    def scenes(
        self, month: str | None = None, region: str | None = None, sensor: str | None = None
    ) -> gpd.GeoDataFrame:
        """Scenes with stac-geoparquet's columns and our decisions, and ``region`` and ``month`` of the partition; EPSG:4326.

        Args:
            month: Only of this period, such as ``2024-02``.
            region: Only of this region, such as ``utm33n_r52_c5``.
            sensor: Only of this sensor.

        Raises:
            PartitionError: No such month or region can be.
            StoreError: There is no such table.
        """
        if month is not None:
            Month.parse(month)
        if region is not None:
            Region.parse(region)
        tables, months = [], set()
        for name in self.storage.names("scenes"):
            _, made_by, of_region, file = name.split("/")
            of_month = file.removesuffix(".parquet")
            if of_month != path.ALL:
                months.add(of_month)
            if (
                (month in (None, of_month) or of_month == path.ALL)
                and region in (None, of_region)
                and sensor in (None, made_by)
            ):
                tables += [t.assign(region=of_region, month=of_month) for t in self._table(name, read_scenes)]
        if not tables:
            wanted = " ".join(filter(None, (sensor, region, month))) or "any partition"
            there = f"; there are months {min(months)} to {max(months)}" if months else ""
            raise StoreError(
                f"no scene table for {wanted} in {self.storage.root}{there}: materialize scenes for it first"
            )
        filled = [t for t in tables if len(t)] or tables[:1]
        return gpd.GeoDataFrame(pd.concat(filled, ignore_index=True), geometry="geometry", crs="EPSG:4326")

    def ard(self, sensor: str, month: str | None = None, cell: str | None = None) -> gpd.GeoDataFrame:
        """Analysis-ready layers of a sensor, one row a scene and cell; EPSG:4326.

        Args:
            sensor: Such as ``sentinel-1-rtc``.
            month: Only of this period, such as ``2024-02``.
            cell: Only of this cell.

        Returns:
            ``cell_id, layer, item_ids, time, solar_day, observed_share, crs, transform, shape, offset, baseline, bands``
            (statistics by band, in values), ``cog`` and ``zarr`` (full path or URI of the file, or None), the footprint, and
            ``region`` and ``month`` of the partition. ``offset`` is what was already added to a scene's DN; it is not to be
            taken off again. Yearly tiles have keys of their ``arrays`` by name instead of files.

        Raises:
            PartitionError: No such month can be.
            StoreError: There is no such table.
        """
        if month is not None:
            Month.parse(month)
        tables = []
        for name in self.storage.names(f"ard/{sensor}"):
            if not name.endswith(".parquet"):
                continue
            *_, of_region, file = name.split("/")
            of_month = file.removesuffix(".parquet")
            if month in (None, of_month) or of_month == path.ALL:
                dated = None if of_month == path.ALL else of_month
                tables.append(read_layers(self.storage, sensor, of_region, dated).assign(region=of_region, month=dated))
        if not tables:
            wanted = " ".join(filter(None, (sensor, month)))
            raise StoreError(
                f"no analysis-ready layers of {wanted} in {self.storage.root}: run the project with product ard first"
            )
        filled = [t for t in tables if len(t)] or tables[:1]
        table = gpd.GeoDataFrame(pd.concat(filled, ignore_index=True), geometry="geometry", crs="EPSG:4326")
        for kind in ("cog", "zarr"):
            table[kind] = [self.storage.uri(name) if isinstance(name, str) else None for name in table[kind]]
        return table if cell is None else table[table["cell_id"] == cell].reset_index(drop=True)

    def predictions(
        self, name: str | None = None, month: str | None = None, cell: str | None = None
    ) -> gpd.GeoDataFrame:
        """Maps of a model, one row a cell and month; EPSG:4326.

        Args:
            name: Of the product behind ``prediction/``; may be left out where there is only one.
            month: Only those for this period, such as ``2024-12``.
            cell: Only of this cell.

        Returns:
            ``cell_id, region, month, cog, zarr`` (full path or URI of the file, or None), ``item`` (that of its STAC item) and
            the cell's outline. Of a partition that failed in part, the maps that are stored. Maps whose files are gone are left out.

        Raises:
            ConfigError: There are several models and none is named.
            StoreError: There is no such map.
        """
        made = sorted({n.split("/")[2] for n in self.storage.names(path.receipts("prediction"))})
        if name is None and len(made) > 1:
            raise ConfigError(f"there are maps of several models: name one of {', '.join(made)}")
        label = name or (made[0] if made else "")
        there = {
            n
            for folder in (f"prediction/{label}", path.TILES)
            for n in self.storage.names(folder)
            if n.endswith(".json")
        }
        rows = []
        for receipt in self.storage.receipts(f"prediction/{label}") if label in made else ():
            kinds, source = receipt.figures.get("formats", []), receipt.figures.get("source", "cube")
            for one in (c for b in receipt.blocks if b.key for c in b.cells):
                base = map_place(label, receipt.region, str(receipt.month), one, source=source)
                files = {k: self.storage.uri(base + end) if k in kinds else None for k, end in _ENDINGS.items()}
                row = {"cell_id": one, "region": receipt.region, "month": receipt.month, **files}
                rows += [row | {"item": self.storage.uri(f"{base}.json")}] if f"{base}.json" in there else []
        rows = [r for r in rows if month in (None, r["month"]) and cell in (None, r["cell_id"])]
        if not rows:
            others = f"; there are some of {', '.join(made)}" if made else ""
            raise StoreError(
                f"no map of {' '.join(filter(None, (name, month, cell))) or 'any model'} in {self.storage.root}{others}: run the project with product prediction first"
            )
        outlines = self.cells().set_index("cell_id").geometry
        table = pd.DataFrame(rows).sort_values(["month", "cell_id"], ignore_index=True)
        return gpd.GeoDataFrame(table, geometry=outlines.reindex(table["cell_id"]).to_numpy(), crs="EPSG:4326")

    def _tables(self, folder: str, read: Any) -> Iterator[gpd.GeoDataFrame]:
        for name in self.storage.names(folder):
            yield from self._table(name, read)

    def _table(self, name: str, read: Any) -> Iterator[gpd.GeoDataFrame]:
        """One table, or none if it was just deleted."""
        content = self.storage.read(name)
        if content is None:
            return
        try:
            table = read(content)
        except SourceError as e:
            raise SourceError(f"{self.storage.uri(name)}: {e}") from e
        yield table

    def receipts(self, product: str = "composite", *, blocks: bool = False) -> pd.DataFrame:
        """What each partition (or each of its blocks) read, made, took and cost.

        Args:
            product: ``cells``, ``scenes/<sensor>``, ``ard/<sensor>``, ``composite``, ``pyramid`` or
                ``prediction/<model>``.
            blocks: One row a block, that is a task, in place of one a partition.

        Raises:
            ConfigError: Nothing was made of such a product; names those that have receipts.
        """
        found = self._receipts(product)
        rows = list(_block_rows(found)) if blocks else [_partition_row(r) for r in found]
        return pd.DataFrame(rows)

    def partitions(self, product: str = "composite") -> list[PartitionReceipt]:
        """The receipts themselves, with provenance: scenes, offsets, duplicates dropped and why.

        Raises:
            ConfigError: Nothing was made of such a product; names those that have receipts.
        """
        return self._receipts(product)

    def _receipts(self, product: str) -> list[PartitionReceipt]:
        found = list(self.storage.receipts(product))
        if not found:
            names = self._products()
            made = f"there are some of {', '.join(names)}" if names else "nothing was made yet"
            raise ConfigError(f"no receipt of a product {product!r} in {self.storage.root}; {made}")
        return found

    def _products(self) -> list[str]:
        """Those that have receipts."""
        names = self.storage.names(path.RECEIPTS)
        return sorted({n.removeprefix(f"{path.RECEIPTS}/").rsplit("/", 2)[0] for n in names})

    def groups(self) -> list[str]:
        """Groups of the cube that hold a partition, one a CRS."""
        return sorted({Region.parse(r).group for r in self._regions()})

    def _regions(self, product: str = "composite") -> list[str]:
        prefix = path.receipts(product) + "/"
        return sorted({n.removeprefix(prefix).split("/")[0] for n in self.storage.names(path.receipts(product))})

    def cube(
        self, tag: str | None = None, group: str | None = None, level: int = 0, *, chunks: Any = None
    ) -> xr.Dataset:
        """The cube, lazy, dims (time, y, x): reflectance as float, NaN where not observed, and ``n_clear``.

        Args:
            tag: A release; the newest state if left out.
            group: A CRS's group such as ``utm33n``; may be left out where there is only one.
            level: Of the pyramid: pixels are 2**level times as wide as those of level 0, the composite itself.
            chunks: As in ``xarray.open_zarr``; left out, no dask is used.

        Returns:
            The part of the group that holds its regions; of a level, those whose pyramid was made.

        Raises:
            StoreError: There is no cube, or no such group or tag.
            ConfigError: There are several groups and none is named, or there is no such level.
        """
        groups = self.groups()
        if not groups:
            raise StoreError(f"no cube in {self.storage.root} yet: materialize composite first")
        if group is None and len(groups) > 1:
            raise ConfigError(
                f"the cube has several groups, one a CRS: name one of {', '.join(groups)}, as in cube(group={groups[0]!r})"
            )
        group = group or groups[0]
        if group not in groups:
            raise StoreError(f"the cube has no group {group!r}; it has {', '.join(groups)}")
        cube = load("stores", self._kind()).open(self.storage.uri(path.CUBE))
        store, layout = cube.zarr_store(tag), cube.describe().get("geo_assets", {})
        place = _level_place(store, group, level)
        whole = xr.open_zarr(store, group=place, consolidated=False, chunks=chunks, drop_variables=["x", "y"])
        names = [layout["varname"]] if layout.get("layout") == "stacked" else layout.get("bands", [])
        whole = whole[[*names, *(n for n in whole if n not in names)]]  # in the project's order
        regions = self._regions("pyramid" if level else "composite")
        return _sliced(whole, group, [r for r in regions if Region.parse(r).group == group])

    def _kind(self) -> str:
        for kind in sorted(available("stores")):  # icechunk before zarr: an Icechunk repository is no Zarr group
            described = load("stores", kind).open(self.storage.uri(path.CUBE)).describe()
            if described is not None and "geo_assets" in described:
                return kind
        raise StoreError(f"no cube at {self.storage.uri(path.CUBE)}")


def _level_place(store: Any, group: str, level: int) -> str:
    """Where a level of a group lies.

    Raises:
        ConfigError: There is no such level; names those that there are.
    """
    if level == 0:
        return group
    attrs = zarr.open_group(store, path=group, mode="r", zarr_format=3).attrs
    described: Any = attrs.get("multiscales", {})
    layout = described.get("layout", [None])
    if level not in range(1, len(layout)):
        size = parse_resolution(str(attrs["resolution"]))
        listed = ", ".join(f"{n} (pixels of {float(size * 2**n):g})" for n in range(len(layout)))
        advice = "" if len(layout) > 1 else "; run the project with --products pyramid to make others"
        raise ConfigError(f"the cube has no level {level} of {group}; it has {listed}{advice}")
    return level_path(group, level)


def stored_grid(attrs: Any) -> PixelGrid:
    """Pixel grid from the attributes of a cube's group."""
    return PixelGrid(
        attrs["crs"],
        parse_resolution(attrs["resolution"]),
        attrs["block_px"],
        attrs["chunk_px"],
        attrs["region_blocks"],
    )


def _sliced(whole: xr.Dataset, group: str, regions: Iterable[str]) -> xr.Dataset:
    grid = stored_grid(whole.attrs)
    boxes = [grid.region_geobox(Region.parse(r)) for r in regions]
    left, top = min(b.left for b in boxes), max(b.top for b in boxes)
    right = max(b.left + b.shape[1] * b.resolution for b in boxes)
    bottom = min(b.top - b.shape[0] * b.resolution for b in boxes)
    box = boxes[0].__class__(
        grid.crs,
        grid.resolution,
        left,
        top,
        (int((top - bottom) / grid.resolution), int((right - left) / grid.resolution)),
    )
    rows, cols = grid.array_slices(box)
    xs, ys = box.centers()
    units = (
        {"x": ("longitude", "degrees_east"), "y": ("latitude", "degrees_north")}
        if grid.geographic
        else {"x": ("projection_x_coordinate", "metre"), "y": ("projection_y_coordinate", "metre")}
    )
    coords = {
        n: (n, v, {"standard_name": units[n][0], "units": units[n][1], "axis": n.upper()})
        for n, v in (("y", ys), ("x", xs))
    }
    part = whole.isel(y=rows, x=cols).assign_coords(coords)
    part.attrs = {k: v for k, v in part.attrs.items() if not k.startswith(_OF_ALL)}
    return part.assign_attrs(group=group, regions=",".join(regions))


def _partition_row(receipt: PartitionReceipt) -> dict[str, Any]:
    plain = {k: v for k, v in receipt.figures.items() if isinstance(v, int | float | str)}
    base = {name: getattr(receipt, name) for name in _COLUMNS}
    return (
        base
        | plain
        | {
            "scenes": len(receipt.scenes) or plain.get("scenes", 0),
            "dropped": len(receipt.dropped),
            "blocks": len(receipt.blocks),
        }
    )


def _block_rows(receipts: Iterable[PartitionReceipt]) -> Iterator[dict[str, Any]]:
    for receipt in receipts:
        for block in receipt.blocks:
            row = block.model_dump(exclude={"bands", "chunks"})
            yield {
                "product": receipt.product,
                "region": receipt.region,
                "month": receipt.month,
                **row,
                "chunks": len(block.chunks),
            }
