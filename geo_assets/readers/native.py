"""Our own engine: byte ranges of tiled TIFFs, inflated once, warped by our own kernels.

What the fast path does not know (JPEG 2000, LZW, strips, headers at the end of the file, ...) is decoded by GDAL and warped by
the same kernels, so that the result is the same; the receipt says so. Sessions may be used by several threads.
"""

import functools
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine

from geo_assets.eo.lattice import nodes
from geo_assets.eo.warp import Placement, Raster, Scale, coarsest, scale_of
from geo_assets.errors import SourceError
from geo_assets.model.band import Band
from geo_assets.model.geometry import GeoBox
from geo_assets.model.href import Access, without_query
from geo_assets.model.plugin import FETCH_BYTES, Layer, Sweep, Usage
from geo_assets.model.scene import Said
from geo_assets.readers._chips import Seat, SharedLevel, TiffWindow, plan
from geo_assets.readers._datasets import Rasters
from geo_assets.readers._fetch import Fetcher, Parcel
from geo_assets.readers._files import Source, Sources
from geo_assets.readers._place import check_header, check_place
from geo_assets.readers._strips import TiffSweep, TurnedSweep, joined, parts
from geo_assets.readers._sweep import TiffRows
from geo_assets.readers._tiff import Layout, Unfit, layout
from geo_assets.readers._tiles import STREAM_BYTES, Room
from geo_assets.threads import Crew

FETCH_THREADS = 16
_KEPT_POINTS = 2**21
_MOST_WAITING = 192 * 2**20  # bytes of inflated tiles: the more there are, the more heaps keep beside them
_FILLED = 0.95  # share of what may be fetched ahead that is in use at once; the rest is for what comes next

Array = npt.NDArray[Any]
Place = Callable[[Layer, str, Affine, Sequence[tuple[int, int]], float | None], tuple[int, Placement]]


@dataclass
class _Fast:
    """An asset whose tiles we read ourselves."""

    source: Source
    layout: Layout

    @property
    def crs(self) -> str:
        return self.layout.crs

    @property
    def shapes(self) -> list[tuple[int, int]]:
        return [level.shape for level in self.layout.levels]

    @functools.cached_property
    def alike(self) -> tuple[Any, ...]:
        """The same for all assets whose pixels lie in the same places."""
        levels = tuple((level.shape, level.tile) for level in self.layout.levels)
        return self.layout.crs, tuple(self.layout.transform), levels, self.layout.nodata


class NativeSession:
    """Files of one task, opened once each."""

    def __init__(self, access: Access, sign: Callable[[str], str], *, fetch_bytes: int = FETCH_BYTES) -> None:
        self.usage = Usage()
        self.threads = os.cpu_count() or 1
        self._sources = Sources(access, sign, self.usage)
        self._fetcher = Fetcher(FETCH_THREADS, fetch_bytes, cancel=self._sources.cancel)
        self._fetch_bytes = fetch_bytes
        self._openers = Crew(FETCH_THREADS)
        self._gdal = _Gdal(access, sign, self.usage)
        self._open: dict[str, Future[_Fast | None]] = {}
        self._lattices = _Kept(nodes)
        self._placements = _Kept(self._new_placement)
        self._placed: set[tuple[str, Said]] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> "NativeSession":
        return self

    def __exit__(self, *exc: object) -> None:
        if exc[0] is not None:  # what is on its way is for nobody
            self._sources.cancel()
            self._gdal.cancel()
        self._openers.leave()
        self._fetcher.close()
        self._gdal.close()
        self._sources.close()

    def sweep(self, layers: Sequence[Layer], strip_rows: int, *, spare_bytes: int = 0) -> list[Sweep | None]:
        """Layers to be read side by side; see ``ReadSession``."""
        opened = self._opened([layer.href for layer in layers])
        sweeps: list[Sweep | None] = []
        fast: list[TiffSweep] = []
        room = Room(spare_bytes)
        for layer, asset in zip(layers, opened, strict=True):
            if asset is None:
                sweeps.append(self._gdal.sweep(layer, self._place))
                continue
            made = self._tiff_sweep(layer, asset, room)
            height = layer.box.shape[0]
            if made and not made.placement.descends and (strip_rows < height or len(made.parts(0, height)) > 1):
                sweeps.append(TurnedSweep(self.strip, layer, made))
                continue
            sweeps.append(made)
            fast += [made] if made else []
        self._plan(fast, strip_rows, room)
        return sweeps

    def strip(self, layer: Layer) -> TiffSweep | None:
        """A layer of the fast path whose rows are asked for all at once; None if none of its pixels is needed."""
        (asset,) = self._opened([layer.href])
        room = Room(0)
        made = None if asset is None else self._tiff_sweep(layer, asset, room)
        self._plan([made] if made else [], layer.box.shape[0], room)
        return made

    def read(self, href: str, band: Band, box: GeoBox, *, resampling: str, said: Said | None = None) -> Array | None:
        """One band of an asset on a target window; see ``ReadSession``."""
        (sweep,) = self.sweep([Layer(href, band, box, resampling, said)], box.shape[0])
        if sweep is None:
            return None
        try:
            return sweep.rows(0, box.shape[0])
        finally:
            sweep.close()

    def windows(self, layers: Sequence[Layer]) -> Iterator[Array | None]:
        """Each layer as a whole, in order; see ``ReadSession``."""
        layers = list(layers)  # seats are known by objects that have to stay
        assets = self._opened([layer.href for layer in layers])
        shared: dict[tuple[str, int], SharedLevel] = {}
        try:
            yield from self._windows(layers, assets, shared)
        finally:
            for level in shared.values():
                level.close()

    def _windows(
        self, layers: list[Layer], assets: list[_Fast | None], shared: dict[tuple[str, int], SharedLevel]
    ) -> Iterator[Array | None]:
        seats: dict[Any, tuple[int, Seat]] = {}
        found: list[TiffWindow | None] = []
        for layer, asset in zip(layers, assets, strict=True):
            found.append(None if asset is None else self._tiff_window(layer, asset, shared, seats))
        plan(list(shared.values()), self._fetcher)
        for layer, asset, window in zip(layers, assets, found, strict=True):
            if window is None:
                yield (
                    None
                    if asset is not None
                    else self.read(layer.href, layer.band, layer.box, resampling=layer.resampling, said=layer.said)
                )
                continue
            fill = 0 if layer.band.nodata is None else layer.band.nodata
            seat = window.seat
            place = seat.rows[0], seat.cols[0]
            yield seat.placement.warp(window.pixels(), place, 0, layer.box.shape[0], None, fill)
            window.done()

    def _tiff_window(
        self, layer: Layer, asset: _Fast, shared: dict[tuple[str, int], SharedLevel], seats: dict[Any, tuple[int, Seat]]
    ) -> TiffWindow | None:
        """A window of an asset; ``seats`` holds those of assets that lie alike, by the window's box, an object of the caller."""
        self._check(layer, asset)
        alike = id(layer.box), id(layer.cells), asset.alike, layer.band.kernel(layer.resampling), layer.band.nodata
        if alike not in seats:
            number, placement = self._place(layer, asset.crs, asset.layout.transform, asset.shapes, asset.layout.nodata)
            seats[alike] = number, Seat(placement, asset.layout.levels[number].tile, layer.cells)
        number, seat = seats[alike]
        if not seat.ends:
            return None
        key = layer.href, number
        if key not in shared:
            shared[key] = SharedLevel(asset.source, asset.layout, asset.layout.levels[number])
        window = TiffWindow(shared[key], seat)
        shared[key].add(window)
        return window

    def _opened(self, hrefs: Sequence[str]) -> list[_Fast | None]:
        """The assets, opened side by side; None for those that GDAL has to read."""
        with self._lock:
            for href in hrefs:
                if href not in self._open:
                    self._open[href] = self._openers.submit(self._header, href)
            waiting = [self._open[href] for href in hrefs]
        return [future.result() for future in waiting]

    def _header(self, href: str) -> _Fast | None:
        source = self._sources.open(href, keep=True)  # headers serve all tasks of a process
        try:
            found = layout(source)
        except Unfit as e:
            self.usage.note(f"{without_query(href)}: read by GDAL: {e}")
            return None
        check_header(found, found.crs, source.shown)
        return _Fast(source, found)

    def _place(
        self, layer: Layer, crs: str, transform: Affine, shapes: Sequence[tuple[int, int]], nodata: float | None
    ) -> tuple[int, Placement]:
        """The level of a file that a layer is read from, and the target over it: the same for all scenes of a tile."""
        resampling = layer.band.kernel(layer.resampling)
        stored = layer.band.nodata if nodata is None else nodata
        scale = scale_of(layer.box, crs, transform, shapes[0])
        number = 0 if resampling in ("nearest", "mode") else coarsest(shapes, scale)
        (height, width), full = shapes[number], shapes[0]
        down, across = full[0] / height, full[1] / width
        raster = Raster(crs, transform @ Affine.scale(across, down), (height, width), stored)
        return number, self._placements.get(layer.box, raster, Scale(scale.x * across, scale.y * down), resampling)

    def _new_placement(self, box: GeoBox, raster: Raster, scale: Scale, resampling: str) -> Placement:
        return Placement(box, raster, scale, resampling, self._lattices.get(box, raster.crs))

    def _check(self, layer: Layer, asset: _Fast) -> None:
        """Whether a file is what and where its item says."""
        found, band, shown = asset.layout, layer.band, asset.source.shown
        if found.dtype != np.dtype(band.dtype):
            raise SourceError(
                f"{shown}: pixels are {found.dtype}, band {band.name} has {band.dtype}; is it scaled already?"
            )
        if layer.said is not None and (layer.href, layer.said) not in self._placed:
            remark = check_place(found, found.crs, layer.said, shown)
            self._placed.add((layer.href, layer.said))
            if remark:
                self.usage.note(remark)

    def _tiff_sweep(self, layer: Layer, asset: _Fast, room: Room) -> TiffSweep | None:
        self._check(layer, asset)
        found = asset.layout
        number, placement = self._place(layer, found.crs, found.transform, asset.shapes, found.nodata)
        rows = TiffRows(asset.source, found, found.levels[number], placement, layer.cells, room)
        return None if rows.empty else TiffSweep(layer, placement, rows)

    def _plan(self, sweeps: Sequence[TiffSweep], strip_rows: int, room: Room) -> None:
        """Have everything fetched ahead in the order of its use, each tile in pieces where whole ones take too much memory."""
        pieces, budget = self._cut(sweeps, room)
        parcels: list[tuple[int, int, Parcel]] = []
        for number, sweep in enumerate(sweeps):
            height = sweep.placement.box.shape[0]
            ends = [sweep.placement.span(r, min(height, r + strip_rows))[1] for r in range(0, height, strip_rows)]
            ends = list(np.maximum.accumulate(ends)) if ends else []
            parcels += [
                (strip, number, parcel) for strip, parcel in sweep.source_rows.plan(self._fetcher, pieces, ends)
            ]
        parcels.sort(key=lambda p: (p[0], p[1], p[2].start))
        self._fetcher.plan([parcel for _, _, parcel in parcels], budget if room.size else 0)

    def _cut(self, sweeps: Sequence[TiffSweep], room: Room) -> tuple[int, int]:
        """Ranges a tile, and bytes that may be fetched ahead.

        Stored bytes of tiles that are inflated as they come need not wait. Where those of the others take too much, they get
        the room, too, and tiles are inflated row by row: neighbours then still come as one range, or in few pieces.
        """
        live = [s.source_rows.live for s in sweeps]
        tiles, stored, inflated = (sum(part) for part in zip((0, 0, 0), *live, strict=True))
        waiting = stored - stored * min(inflated, room.size, _MOST_WAITING) // max(1, inflated)
        if waiting <= self._fetch_bytes * 3 // 4:
            room.take(max(0, room.size - _MOST_WAITING))
            return 1, self._fetch_bytes
        most = max(self._fetch_bytes, self._fetch_bytes + room.size - tiles * STREAM_BYTES)
        pieces = -(-stored // max(1, int(most * _FILLED)))
        budget = most if pieces > 1 else max(self._fetch_bytes, int(stored / _FILLED))
        more = budget + tiles * STREAM_BYTES - self._fetch_bytes
        room.take(max(min(more, room.size), room.size - _MOST_WAITING) if pieces == 1 else room.size)
        return pieces, budget


class _Kept:
    """What was made lately from the same arguments, as long as it is not too much; for several threads.

    Args:
        make: Makes something with an attribute ``points``: its size.
    """

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make
        self._found: OrderedDict[Any, Any] = OrderedDict()
        self._points = 0
        self._lock = threading.Lock()

    def get(self, *key: Any) -> Any:
        """The one of these arguments."""
        with self._lock:
            if key not in self._found:
                self._found[key] = made = self._make(*key)
                self._points += made.points
                while self._points > _KEPT_POINTS and len(self._found) > 1:
                    self._points -= self._found.popitem(last=False)[1].points
            self._found.move_to_end(key)
            return self._found[key]


class _Gdal:
    """Assets that only GDAL can decode, all in one thread, since its handles are not to be shared."""

    def __init__(self, access: Access, sign: Callable[[str], str], usage: Usage) -> None:
        self._thread = Crew(1)
        self._rasters = Rasters(access, sign, usage)

    def cancel(self) -> None:
        self._rasters.cancel()

    def close(self) -> None:
        self._thread.submit(self._rasters.close).result()
        self._thread.leave()

    def sweep(self, layer: Layer, place: Place) -> "_GdalSweep | None":
        return self._thread.submit(self._sweep, layer, place).result()

    def _sweep(self, layer: Layer, place: Place) -> "_GdalSweep | None":
        with self._rasters.use(layer.href, layer.band, layer.said) as raster:
            number, placement = place(
                layer, raster.crs, raster.dataset.transform, raster.shapes, raster.nodata(layer.band)
            )
            left, right = placement.columns()
            low, high = placement.span(0, layer.box.shape[0])
            if left >= right or low >= high:
                return None
        return _GdalSweep(self, layer, placement, number, (left, right))

    def pixels(self, layer: Layer, number: int, rows: tuple[int, int], cols: tuple[int, int]) -> Array:
        """A window of a level."""
        return self._thread.submit(self._pixels, layer, number, rows, cols).result()

    def _pixels(self, layer: Layer, number: int, rows: tuple[int, int], cols: tuple[int, int]) -> Array:
        with self._rasters.use(layer.href, layer.band, None) as raster:
            pixels: Array = raster.pixels(number, rows, cols)
        return pixels


class _GdalSweep:
    """A layer over a file that GDAL decodes."""

    def __init__(self, gdal: _Gdal, layer: Layer, placement: Placement, level: int, cols: tuple[int, int]) -> None:
        self._gdal, self._layer, self._placement, self._level, self._cols = gdal, layer, placement, level, cols
        self._fill = 0 if layer.band.nodata is None else layer.band.nodata

    def rows(self, first: int, end: int, where: npt.NDArray[np.bool_] | None = None) -> Array | None:
        """See ``Sweep``."""
        low, high = self._placement.span(first, end)
        if low >= high or (where is not None and not where.any()):
            return None
        cut = parts(
            self._placement, first, end, cols=self._cols[1] - self._cols[0],
            itemsize=np.dtype(self._layer.band.dtype).itemsize, shown=without_query(self._layer.href),
        )  # fmt: skip
        return joined(self._rows, cut, where)

    def _rows(self, first: int, end: int, where: npt.NDArray[np.bool_] | None) -> Array:
        low, high = self._placement.span(first, end)
        if low >= high:
            return np.full((end - first, self._layer.box.shape[1]), self._fill, self._layer.band.dtype)
        pixels = self._gdal.pixels(self._layer, self._level, (low, high), self._cols)
        return self._placement.warp(pixels, (low, self._cols[0]), first, end, where, self._fill)

    def close(self) -> None:
        """See ``Sweep``."""


class _Native:
    def session(self, access: Access, sign: Callable[[str], str]) -> NativeSession:
        """A session for one task."""
        return NativeSession(access, sign)


PLUGIN = _Native()
