"""A trained model as its STAC item describes it (Machine Learning Model extension, MLM, versions 1.4 and 1.5).

What a run needs stands in the item, and nothing is guessed: ``model/mlm_item.py`` reads and writes the item and says what
it lacks. Where MLM has no field, ours stand among ``mlm:hyperparameters`` under names that begin with ``geo_assets.``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

# Common names of dimensions (MLM, "Dimension Order"; those of climate data beside them), by what they are to us
DIMS: Mapping[str, str] = {
    "batch": "batch", "time": "time", "band": "band", "bands": "band", "channel": "band", "channels": "band",
    "height": "y", "y": "y", "lat": "y", "width": "x", "x": "x", "lon": "x", "class": "class", "classes": "class",
}  # fmt: skip
FLOATS = ("float32", "float64")
Missing = Literal["nodata", "fill", "nan"]
F32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class InputBand:
    """One band that a model reads. ``value = number * scale + offset``, where the model was trained on the numbers.

    Attributes:
        name: Its name, such as ``red``.
        scale: Value of one number; 1 where the item gives none (STAC, Raster extension: the default).
        offset: Value of the number 0; 0 where the item gives none.
        nodata: The number that means "not observed", if there is one.
        unit: Of the values, where the item says it, as the source that has the band in several calls it; else "".
    """

    name: str
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class Scaling:
    """What is done to a band's numbers before the model sees them (MLM, "Value Scaling Object").

    Attributes:
        kind: ``min-max``, ``z-score``, ``clip``, ``clip-min``, ``clip-max``, ``offset``, ``scale``, or "" for nothing.
        numbers: What the kind needs, in the order of ``FIELDS``.
    """

    kind: str = ""
    numbers: tuple[float, ...] = ()

    def apply(self, numbers: F32) -> F32:
        """Numbers as the model wants them, float32, any dims, NaN stays NaN; works in place."""
        a = np.float32(self.numbers[0]) if self.numbers else np.float32(0)
        b = np.float32(self.numbers[1]) if len(self.numbers) > 1 else np.float32(1)
        if self.kind in ("z-score", "min-max"):
            numbers -= a
            numbers /= b if self.kind == "z-score" else np.float32(self.numbers[1] - self.numbers[0])
        elif self.kind == "offset":
            numbers -= a
        elif self.kind == "scale":
            numbers /= a
        elif self.kind:
            low = None if self.kind == "clip-max" else a
            np.clip(numbers, low, a if self.kind == "clip-max" else b if self.kind == "clip" else None, out=numbers)
        return numbers


FIELDS: Mapping[str, tuple[str, ...]] = {
    "min-max": ("minimum", "maximum"), "z-score": ("mean", "stddev"), "clip": ("minimum", "maximum"),
    "clip-min": ("minimum",), "clip-max": ("maximum",), "offset": ("value",), "scale": ("value",),
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """Shape of an array that goes into or comes out of a model.

    Attributes:
        shape: Sizes; -1 where any will do.
        names: Names of the dimensions as the item gives them.
        dtype: Numpy dtype, ``float32`` or ``float64``.
    """

    shape: tuple[int, ...]
    names: tuple[str, ...]
    dtype: str = "float32"

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions as we call them: ``batch, time, band, y, x, class``."""
        return tuple(DIMS[name] for name in self.names)

    def size(self, dim: str) -> int | None:
        """Size of a dimension as we call it; -1 for any, None where there is no such dimension."""
        return self.shape[self.dims.index(dim)] if dim in self.dims else None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of that shape is one of these."""
        return len(shape) == len(self.shape) and all(w in (-1, n) for w, n in zip(self.shape, shape, strict=True))


@dataclass(frozen=True)
class OutputClass:
    """A class of the map.

    Attributes:
        value: Its number in the map.
        name: Its name, short, without blanks.
        more: Other fields of the class object, such as ``title`` and ``color_hint``.
    """

    value: int
    name: str
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Artifact:
    """The file that holds the model.

    Attributes:
        key: Key of its asset.
        href: Where it lies, as the item writes it.
        media_type: Its media type.
        kind: ``mlm:artifact_type``, by which the runtime is chosen.
        sha256: Of its bytes, 64 hexadecimal digits.
        size: Of the file in bytes, if the item says so.
    """

    key: str
    href: str
    media_type: str
    kind: str
    sha256: str
    size: int | None = None


@dataclass(frozen=True)
class ModelItem:
    """A model, read from its item or about to be written to one.

    Attributes:
        item_id: Id of the item.
        name: ``mlm:name``.
        architecture: ``mlm:architecture``.
        framework: ``mlm:framework``.
        tasks: ``mlm:tasks``.
        bands: What the model reads, in its order.
        input: Array that goes in; dims batch, time, band, y, x in any order, of which time, y and x may be missing.
        scaling: One for each band.
        output: Array that comes out; dims batch, y, x, and class or band.
        classes: Of a classification, in the order of the dimension ``class``.
        artifact: The file.
        input_name: Name of the input.
        output_name: Name of the output.
        framework_version: ``mlm:framework_version``.
        batch: ``mlm:batch_size_suggestion``.
        window_px: Side of the windows that the model sees, in pixels; None for a model of single pixels.
        halo_px: Pixels at each edge of a window for which the model lacks context; windows overlap by twice that.
        months: Calendar months (1 to 12) of the time steps, where the model must not be given others.
        missing: What becomes of missing values. ``nodata``: a pixel that lacks any has no result. ``fill``: the model
            sees the band's nodata in their place, or 0 after scaling where it has none. ``nan``: the model sees NaN.
        properties: Other properties of the item.
        geometry: GeoJSON geometry of the item, if it has one.
        bbox: Box of the geometry.
    """

    item_id: str
    name: str
    architecture: str
    framework: str
    tasks: tuple[str, ...]
    bands: tuple[InputBand, ...]
    input: Tensor
    scaling: tuple[Scaling, ...]
    output: Tensor
    classes: tuple[OutputClass, ...]
    artifact: Artifact
    input_name: str = "input"
    output_name: str = "output"
    framework_version: str | None = None
    batch: int | None = None
    window_px: int | None = None
    halo_px: int | None = None
    months: tuple[int, ...] = ()
    missing: Missing = "nodata"
    properties: Mapping[str, Any] = field(default_factory=dict)
    geometry: Mapping[str, Any] | None = None
    bbox: tuple[float, ...] | None = None

    @property
    def per_pixel(self) -> bool:
        """Whether the model sees pixels one by one, without their neighbours."""
        return "y" not in self.input.dims

    @property
    def steps(self) -> int:
        """Time steps that it reads; 1 where it knows no time, -1 where any number will do."""
        return self.input.size("time") or 1

    @property
    def layers(self) -> int:
        """Values that it gives a pixel: one a class, or one a predicted variable."""
        return self.output.size("class") or self.output.size("band") or 1

    def prepared(self, values: F32) -> F32:
        """The model's numbers from physical values.

        Args:
            values: Dims (batch, time, band, ...), float32, in the unit that the bands' scale and offset lead to, such as
                reflectance; NaN where not observed.

        Returns:
            The same dims, float32, scaled as the model wants it. Missing values are NaN, or filled as ``missing`` says.
        """
        out = np.array(values, np.float32, copy=True)
        for n, (band, scaling) in enumerate(zip(self.bands, self.scaling, strict=True)):
            numbers = out[:, :, n]
            if band.offset:
                numbers -= np.float32(band.offset)
            if band.scale != 1:
                numbers /= np.float32(band.scale)
            scaling.apply(numbers)
            if self.missing != "nan":
                numbers[~np.isfinite(numbers)] = self._fill(band, scaling)
        return out

    @staticmethod
    def _fill(band: InputBand, scaling: Scaling) -> np.float32:
        if band.nodata is None or not np.isfinite(band.nodata):
            return np.float32(0)
        return np.float32(scaling.apply(np.array([band.nodata], np.float32))[0])
