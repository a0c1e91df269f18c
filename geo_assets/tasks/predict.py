"""A trained model over a raster: from the model's STAC item to scores and classes of pixels, strip by strip.

Scores are what is blended where windows overlap; classes are found from the blended scores, never mixed as codes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from geo_assets.eo.windows import Part, Raster, Windows, blended, blended_bytes, table, table_bytes
from geo_assets.errors import ConfigError, QualityError
from geo_assets.model.mlm import ModelItem
from geo_assets.model.mlm_item import OURS
from geo_assets.model.plugin import ModelSession
from geo_assets.tasks.model_file import Fetch, artifact_bytes, check_content, read_model, runtime_of

CODE_VERSION = "1"  # raise it when the same raster and model give other pixels
READ_AHEAD_BYTES = 128 * 2**20
_WINDOWS_AT_ONCE = 8
_PIXELS_AT_ONCE = 1 << 16
_ORDER = ("batch", "time", "band", "y", "x")

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Strip:
    """Some rows of a prediction.

    Attributes:
        rows: Rows of the raster.
        scores: What the model gives, blended, dims (layer, y, x), float32, NaN where a pixel has no result.
        labels: Class of the greatest score, dims (y, x), ``label_type``; None for a model without classes.
    """

    rows: slice
    scores: F32
    labels: npt.NDArray[np.unsignedinteger[Any]] | None


@dataclass(frozen=True)
class OpenModel:
    """A model that can be run in this process.

    Attributes:
        item: What its item says; names the bands, steps and months that it needs.
        session: The model itself.
        windows: Windows that it sees; None for a model of single pixels.
        batch: Windows, or pixels, that it sees at once.
    """

    item: ModelItem
    session: ModelSession
    windows: Windows | None
    batch: int

    def run(self, values: F32) -> F32:
        """Results for some windows or pixels.

        Args:
            values: Dims (batch, time, band, y, x), or without y and x; float32, physical unit, NaN where not observed.

        Returns:
            Dims (batch, layer, y, x), or (batch, layer); float32.

        Raises:
            ConfigError: The model and its item contradict each other.
            QualityError: It gives what is no number.
        """
        given = self._as_given(self.item.prepared(values))
        found = self.session.run(given)
        return self._as_wanted(np.asarray(found), given.shape, len(values), values.shape[3:])

    def _as_given(self, values: F32) -> npt.NDArray[Any]:
        """Prepared values in the order, size and dtype of the model's input."""
        tensor = self.item.input
        order = [d for d in _ORDER if d in tensor.dims or d != "time"][: len(tensor.dims)]
        if "time" not in tensor.dims:
            if values.shape[1] != 1:
                raise ConfigError(f"model {self.item.item_id} knows no time, and was given {values.shape[1]} steps")
            values = values[:, 0]
        fixed = tensor.size("batch")
        if fixed is not None and len(values) < fixed:  # a model of a fixed batch: the rest is thrown away
            values = np.concatenate([values, np.zeros((fixed - len(values), *values.shape[1:]), np.float32)])
        given = values.transpose([order.index(d) for d in tensor.dims]).astype(tensor.dtype, copy=False)
        if not tensor.fits(given.shape):
            raise ConfigError(
                f"model {self.item.item_id} needs an array of {_shown(tensor.shape)} ({', '.join(tensor.names)}), and was given {_shown(given.shape)}"
            )
        return given

    def _as_wanted(self, found: npt.NDArray[Any], given: tuple[int, ...], count: int, window: tuple[int, ...]) -> F32:
        tensor = self.item.output
        sizes = {"batch": given[self.item.input.dims.index("batch")], **dict(zip(("y", "x"), window, strict=False))}
        sizes |= {d: self.item.layers for d in ("class", "band") if d in tensor.dims}
        wanted = tuple(sizes[d] for d in tensor.dims)
        if found.shape != wanted or not np.issubdtype(found.dtype, np.floating):
            raise ConfigError(
                f"model {self.item.item_id} gives an array of {_shown(found.shape)} {found.dtype}, and its item says {_shown(wanted)} {tensor.dtype} ({', '.join(tensor.names)})"
            )
        order = ("batch", "class" if "class" in tensor.dims else "band", "y", "x")
        moved = found.transpose([tensor.dims.index(d) for d in order if d in tensor.dims])
        if len(moved.shape) == 1 + len(window):
            moved = moved[:, None]
        moved = moved[:count].astype(np.float32)
        if self.item.missing != "nan" and not np.isfinite(moved).all():
            raise QualityError(
                f"model {self.item.item_id} gives what is no number for values that are: its scaling does not fit the bands, or its weights are damaged"
            )
        return moved


class ArrayRaster:
    """A raster in memory.

    Args:
        values: Dims (time, band, y, x), float32, physical unit, NaN where not observed; bands in the model's order.
        origin: See ``Raster.origin``.
    """

    def __init__(self, values: F32, origin: tuple[int, int] = (0, 0)) -> None:
        self._values, self.origin = values, origin

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._values.shape[2], self._values.shape[3]

    def read(self, rows: slice, cols: slice) -> F32:
        """See ``Raster.read``."""
        return self._values[:, :, rows, cols]


class DatasetRaster:
    """A cube as ``geo_assets.open(...).cube()`` gives it, or a part of it, read window by window, for one thread.

    Args:
        cube: Dims (time, y, x), one variable a band, in physical units, NaN where not observed.
        model: Whose bands are read, in its order; its steps and months are compared with the cube's.
        origin: Row and column of the cube's first pixel on its pixel grid (``PixelGrid.array_slices``), so that windows
            stay where they are when the cube grows.

    Raises:
        ConfigError: The cube lacks a band, or its steps are others.
    """

    def __init__(self, cube: xr.Dataset, model: ModelItem, origin: tuple[int, int] = (0, 0)) -> None:
        names = [b.name for b in model.bands]
        missing = [n for n in names if n not in cube.data_vars]
        if missing:
            raise ConfigError(
                f"model {model.item_id} reads the band {missing[0]!r}, and the cube has {', '.join(map(str, cube.data_vars))}"
            )
        months = tuple(int(m) for m in np.atleast_1d(cube["time"].dt.month.values))
        check_steps(model, len(months), months)
        self._cube, self._names, self.origin = cube, names, origin
        chunks = cube[names[0]].encoding.get("chunks") or (1,) * cube[names[0]].ndim
        chunk_rows = int(chunks[cube[names[0]].dims.index("y")])
        self._ahead = ReadAhead(
            self._read, values=(len(months), len(names)), height=self.shape[0], chunk_rows=chunk_rows, above=origin[0]
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._cube.sizes["y"], self._cube.sizes["x"]

    def read(self, rows: slice, cols: slice) -> F32:
        """See ``Raster.read``."""
        return self._ahead.read(rows, cols)

    def _read(self, rows: slice, cols: slice) -> F32:
        part = self._cube.isel(y=rows, x=cols)
        return np.stack([part[n].transpose("time", "y", "x").values for n in self._names], axis=1).astype(np.float32)


class ReadAhead:
    """Rows that were read last, up to the end of a row of chunks and to ``READ_AHEAD_BYTES``, for one thread.

    So strips of rows that follow each other do not decode the same chunks again.

    Args:
        read: Reads rows and columns, dims (time, band, y, x), float32.
        values: Time steps and bands.
        height: Rows of the raster.
        chunk_rows: Rows of a chunk.
        above: Rows of the first row of chunks that lie above the raster.
    """

    def __init__(
        self, read: Callable[[slice, slice], F32], *, values: tuple[int, int], height: int, chunk_rows: int, above: int = 0
    ) -> None:  # fmt: skip
        self._read, self._height, self._chunk_rows, self._above = read, height, chunk_rows, above
        self._held: tuple[int, F32] = (0, np.empty((*values, 0, 0), np.float32))
        self._cols = slice(0, 0)

    def read(self, rows: slice, cols: slice) -> F32:
        """Rows and columns, from what is held as far as they are."""
        first, held = self._held
        if cols != self._cols or not first <= rows.start <= first + held.shape[2]:
            first, held = rows.start, np.empty((*held.shape[:2], 0, cols.stop - cols.start), np.float32)
        end_held = first + held.shape[2]
        if rows.stop > end_held:
            row_bytes = 4 * held.shape[0] * held.shape[1] * max(1, cols.stop - cols.start)
            end = min(self._chunk_end(rows.stop), self._height, rows.start + READ_AHEAD_BYTES // row_bytes)
            fresh = self._read(slice(end_held, max(rows.stop, end)), cols)
            first, held = rows.start, np.concatenate([held[:, :, rows.start - first :], fresh], axis=2)
            self._held, self._cols = (first, held), cols
        return held[:, :, rows.start - first : rows.stop - first]

    def _chunk_end(self, row: int) -> int:
        return -(-(row + self._above) // self._chunk_rows) * self._chunk_rows - self._above


def check_steps(model: ModelItem, steps: int, months: tuple[int, ...] = ()) -> None:
    """Whether a model may be given so many time steps, of such calendar months.

    Raises:
        ConfigError: It was trained on others.
    """
    if model.steps not in (-1, steps):
        raise ConfigError(f"model {model.item_id} reads {model.steps} time steps, and there are {steps}")
    if model.months and months and tuple(months) != model.months:
        raise ConfigError(
            f"model {model.item_id} was trained on the months {_listed(model.months)}, in this order, and is given {_listed(months)}"
        )


def open_model(
    file: str | Path, *, device: str = "cpu", threads: int | None = None, batch: int | None = None, window_px: int | None = None,
    halo_px: int | None = None, fetch: Fetch | None = None,
) -> OpenModel:  # fmt: skip
    """A model, ready to run, from the file of its STAC item.

    Args:
        file: The item; its artifact lies beside it.
        device: ``cpu``, or another one that the model's runtime knows.
        threads: Threads the runtime may use; None leaves it to it.
        batch: Windows, or pixels, at once; by default as the item suggests.
        window_px: Side of windows, for a model that takes any; by default as the item says.
        halo_px: Pixels at a window's edges that lack context; by default as the item says.
        fetch: See ``artifact_bytes``.

    Raises:
        ConfigError: The item lacks something, or the artifact is not what it says.
        PluginError: A package is missing.
    """
    model = read_model(file)
    windows_of(model, window_px, halo_px)
    runtime_of(model)
    content = artifact_bytes(model, Path(file).parent, fetch)
    return open_content(
        model, content, device=device, threads=threads, batch=batch, window_px=window_px, halo_px=halo_px
    )


def open_content(
    model: ModelItem, content: bytes, *, device: str = "cpu", threads: int | None = None, batch: int | None = None,
    window_px: int | None = None, halo_px: int | None = None,
) -> OpenModel:  # fmt: skip
    """A model, ready to run, from the bytes of its artifact, wherever they come from; see ``open_model``."""
    windows, runtime = windows_of(model, window_px, halo_px), runtime_of(model)
    check_content(model, content)
    session = runtime.open(content, model, device=device, threads=threads)
    fixed = model.input.size("batch")
    usual = _PIXELS_AT_ONCE if windows is None else _WINDOWS_AT_ONCE
    return OpenModel(model, session, windows, fixed if fixed and fixed > 0 else batch or model.batch or usual)


def predict(model: OpenModel, raster: Raster, part: Part | None = None) -> Iterator[Strip]:
    """Scores and classes of a part of a raster, strip by strip from its top; memory does not grow with the rows.

    Args:
        model: The model.
        raster: What it reads. A part comes out as it does when all of the raster is made at once.
        part: Rows and columns; by default all.

    Raises:
        ConfigError: The model and its item contradict each other.
        QualityError: It gives what is no number.
    """
    rows, cols = part or (slice(0, raster.shape[0]), slice(0, raster.shape[1]))
    item, whole = model.item, model.item.missing == "nodata"
    if model.windows is None:
        strips = table(raster, (rows, cols), model.run, layers=item.layers, batch=model.batch, all_observed=whole)
    else:
        strips = blended(
            raster, (rows, cols), model.windows, model.run, layers=item.layers, batch=model.batch, all_observed=whole
        )  # fmt: skip
    for done, scores in strips:
        yield Strip(done, scores, labels_of(item, scores) if item.classes else None)


def predicted(model: OpenModel, raster: Raster, part: Part | None = None) -> Strip:
    """The same as ``predict``, as one strip."""
    rows, cols = part or (slice(0, raster.shape[0]), slice(0, raster.shape[1]))
    shape = rows.stop - rows.start, cols.stop - cols.start
    scores = np.full((model.item.layers, *shape), np.nan, np.float32)
    for strip in predict(model, raster, (rows, cols)):
        scores[:, strip.rows.start - rows.start : strip.rows.stop - rows.start] = strip.scores
    return Strip(rows, scores, labels_of(model.item, scores) if model.item.classes else None)


def predict_bytes(model: OpenModel, cols: int) -> int:
    """Most memory that ``predict`` holds for a part of so many columns; what the runtime itself takes is not in it."""
    values, layers = abs(model.item.steps) * len(model.item.bands), model.item.layers
    if model.windows is None:
        return table_bytes(values=values, layers=layers, cols=cols, batch=model.batch)
    return blended_bytes(model.windows, values=values, layers=layers, cols=cols, batch=model.batch)


def label_type(model: ModelItem) -> tuple[np.dtype[Any], int]:
    """Dtype of a model's classes, and their nodata: uint8 and 255, or uint16 and 65535 where a class is 255 or more."""
    small = max((c.value for c in model.classes), default=0) < 255
    return (np.dtype(np.uint8), 255) if small else (np.dtype(np.uint16), 65_535)


def labels_of(model: ModelItem, scores: F32) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Class of the greatest score of each pixel, the first of equals; nodata where a score is missing.

    Args:
        model: Whose classes they are.
        scores: Dims (class, y, x), float32, NaN where a pixel has no result.

    Returns:
        Dims (y, x), see ``label_type``.
    """
    dtype, nodata = label_type(model)
    values = np.array([c.value for c in model.classes], dtype)
    missing = np.isnan(scores).any(axis=0)
    labels: npt.NDArray[np.unsignedinteger[Any]] = values[np.argmax(scores, axis=0)]
    labels[missing] = nodata
    return labels


def windows_of(model: ModelItem, window_px: int | None = None, halo_px: int | None = None) -> Windows | None:
    """Windows that a model sees, or None for one of single pixels; see ``open_model``.

    Raises:
        ConfigError: Nothing says how large they are, or the model needs others.
    """
    if model.per_pixel:
        if window_px is not None or halo_px is not None:
            raise ConfigError(f"model {model.item_id} sees single pixels: give neither a window nor a halo")
        return None
    fixed = next((s for s in (model.input.size("y"), model.input.size("x")) if s and s > 0), None)
    size = fixed or window_px or model.window_px
    halo = halo_px if halo_px is not None else model.halo_px
    if fixed and window_px not in (None, fixed):
        raise ConfigError(f"model {model.item_id} needs windows of {fixed} pixels, not {window_px}")
    for name, value in (("window_px", size), ("halo_px", halo)):
        if value is None:
            raise ConfigError(
                f"model item {model.item_id}: properties.mlm:hyperparameters.{OURS}{name}: is missing, and says how large the model's windows are and how much of their edge lacks context"
            )
    assert size is not None
    assert halo is not None
    return Windows(size, halo)


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join("any" if n == -1 else str(n) for n in shape)


def _listed(months: tuple[int, ...]) -> str:
    return ", ".join(map(str, months))
