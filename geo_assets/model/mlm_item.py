"""Reads the STAC item of a model (MLM extension) and says what is missing or cannot be followed, and where."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, get_args

from geo_assets.errors import ConfigError
from geo_assets.model.mlm import (
    DIMS,
    FIELDS,
    FLOATS,
    Artifact,
    InputBand,
    Missing,
    ModelItem,
    OutputClass,
    Scaling,
    Tensor,
)

MLM = "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"
OURS = "geo_assets."
_READ = re.compile(r"https://stac-extensions\.github\.io/mlm/v1\.([4-9]|\d\d+)\.\d+/schema\.json")
_HEX = re.compile(r"[0-9a-f]{64}")
MULTIHASH = "1220"  # sha2-256, 32 bytes (multiformats, table of multicodecs)
_MOST_PX = 65_536
_MOST, _LEAST = 3e38, 1e-37  # of a float32, that is divided by as well
_TAKEN = ("mlm:name", "mlm:architecture", "mlm:framework", "mlm:framework_version", "mlm:tasks", "mlm:input",
    "mlm:output", "mlm:batch_size_suggestion", "mlm:hyperparameters", "bands")  # fmt: skip


class _At:
    """A value of the item, and where it stands."""

    def __init__(self, value: Any, path: str, item: str) -> None:
        self.value, self.path, self.item = value, path, item

    def fail(self, what: str) -> NoReturn:
        raise ConfigError(f"model item {self.item}: {self.path}: {what}")

    def get(self, name: str) -> "_At":
        """A field, whose value is None where it is missing or null."""
        if not isinstance(self.value, Mapping):
            self.fail("must be an object")
        return _At(self.value.get(name), f"{self.path}.{name}" if self.path else name, self.item)

    def need(self, name: str) -> "_At":
        found = self.get(name)
        if found.value is None:
            found.fail("is missing")
        return found

    def each(self) -> "list[_At]":
        if not isinstance(self.value, Sequence) or isinstance(self.value, str):
            self.fail("must be a list")
        return [_At(v, f"{self.path}[{n}]", self.item) for n, v in enumerate(self.value)]

    def only(self, why: str) -> "_At":
        found = self.each()
        if len(found) != 1:
            self.fail(f"has {len(found)} entries; {why}")
        return found[0]

    def text(self) -> str:
        if not isinstance(self.value, str) or not self.value.strip():
            self.fail("must be a text")
        if not self.value.isprintable():
            self.fail("must be a text of characters that can be written, without line breaks")
        return str(self.value)

    def number(self) -> float:
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not -_MOST < self.value < _MOST:
            self.fail(f"must be a finite number, not {str(self.value)[:40]!r}")
        return float(self.value)

    def whole(self, least: int, most: int) -> int:
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not least <= self.value <= most:
            self.fail(f"must be a whole number from {least} to {most}, not {str(self.value)[:40]!r}")
        return int(self.value)


def read_item(item: Mapping[str, Any]) -> ModelItem:
    """A model from its STAC item.

    Raises:
        ConfigError: Something is missing, contradicts itself or cannot be followed; says what and where.
    """
    root = _At(item, "", str(item.get("id", "without id"))[:80])
    if root.need("type").value != "Feature":
        root.get("type").fail("must be 'Feature'")
    used = [e.value for e in root.need("stac_extensions").each()]
    if not any(isinstance(e, str) and _READ.fullmatch(e) for e in used):
        root.get("stac_extensions").fail(f"names no MLM extension of version 1.4 or newer, such as {MLM}")
    about = root.need("properties")
    given = about.need("mlm:input").only("models with one input can be run")
    made = about.need("mlm:output").only("models with one output can be run")
    tensor, result = _tensor(given.need("input")), _tensor(made.need("result"))
    key, asset = _model_asset(root)
    bands = _bands(given, about, asset)
    ours = about.get("mlm:hyperparameters")
    model = ModelItem(
        item_id=root.need("id").text(), name=about.need("mlm:name").text(), tasks=_texts(about.need("mlm:tasks")),
        architecture=about.need("mlm:architecture").text(), framework=about.need("mlm:framework").text(),
        framework_version=_optional_text(about.get("mlm:framework_version")),
        bands=bands, input=tensor, scaling=_scaling(given.get("value_scaling"), len(bands)), output=result,
        classes=_classes(made.get("classification:classes")), artifact=_artifact(key, asset),
        input_name=given.need("name").text(), output_name=made.need("name").text(),
        batch=_optional(about.get("mlm:batch_size_suggestion"), 1, 1 << 24),
        window_px=_own(ours, "window_px", 1, _MOST_PX), halo_px=_own(ours, "halo_px", 0, _MOST_PX),
        months=_months(ours), missing=_missing(ours),
        properties=_others(about.value),
        geometry=root.get("geometry").value, bbox=tuple(b.number() for b in root.get("bbox").each()) if root.get("bbox").value else None,
    )  # fmt: skip
    _refuse_functions(given, made)
    _check_input(model, given)
    _check_output(model, made)
    return model


# ---- parts that are read


def _texts(at: _At) -> tuple[str, ...]:
    return tuple(t.text() for t in at.each()) or at.fail("is empty")


def _optional_text(at: _At) -> str | None:
    return None if at.value is None else at.text()


def _optional(at: _At, least: int, most: int) -> int | None:
    return None if at.value is None else at.whole(least, most)


def _own(hyper: _At, name: str, least: int, most: int) -> int | None:
    return None if hyper.value is None else _optional(hyper.get(OURS + name), least, most)


def _others(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Properties that have no field of their own."""
    given: Mapping[str, Any] = properties.get("mlm:hyperparameters") or {}
    hyper = {k: v for k, v in given.items() if not k.startswith(OURS)}
    kept = {k: v for k, v in properties.items() if k not in _TAKEN}
    return kept | ({"mlm:hyperparameters": hyper} if hyper else {})


def _months(hyper: _At) -> tuple[int, ...]:
    at = hyper.get(OURS + "months") if hyper.value is not None else hyper
    return () if at.value is None else tuple(m.whole(1, 12) for m in at.each())


def _missing(hyper: _At) -> Missing:
    at = hyper.get(OURS + "missing") if hyper.value is not None else hyper
    known: tuple[Missing, ...] = get_args(Missing)
    for one in known:
        if at.value in (None, one):
            return one
    at.fail(f"must be one of {', '.join(known)}")


def _tensor(at: _At) -> Tensor:
    names, sizes = _texts(at.need("dim_order")), at.need("shape").each()
    shape = tuple(s.whole(-1, -1) if s.value == -1 else s.whole(1, 1 << 31) for s in sizes)
    if len(shape) != len(names):
        at.fail(f"shape has {len(shape)} sizes and dim_order {len(names)} names")
    unknown = [n for n in names if n not in DIMS]
    if unknown:
        at.get("dim_order").fail(f"{unknown[0][:40]!r} is not one of {', '.join(DIMS)}")
    dtype = at.need("data_type").text()
    if dtype not in FLOATS:
        at.get("data_type").fail(f"{dtype[:40]} cannot be used: scaled values and scores are {' or '.join(FLOATS)}")
    tensor = Tensor(shape, names, dtype)
    if len(set(tensor.dims)) < len(names):
        at.get("dim_order").fail("names a dimension twice")
    if "batch" not in tensor.dims:
        at.get("dim_order").fail("has no 'batch'")
    if ("y" in tensor.dims) != ("x" in tensor.dims):
        at.get("dim_order").fail("has one of 'height' and 'width' without the other")
    return tensor


def _bands(given: _At, about: _At, asset: _At) -> tuple[InputBand, ...]:
    names = [b.text() if isinstance(b.value, str) else _plain_band(b) for b in given.need("bands").each()]
    if not names or len(set(names)) < len(names):
        given.get("bands").fail("is empty" if not names else "names a band twice")
    described: dict[str, _At] = {}
    for place, field in ((about, "bands"), (asset, "bands"), (asset, "raster:bands"), (about, "raster:bands")):
        for one in place.get(field).each() if place.get(field).value is not None else ():
            if (name := one.get("name").value) is not None:
                described.setdefault(str(name), one)
    return tuple(_band(name, described.get(name)) for name in names)


def _plain_band(at: _At) -> str:
    if at.get("expression").value is not None or at.get("format").value is not None:
        at.fail(
            "is computed by an expression, which is not followed: name a band, or give the model the bands it needs"
        )
    return at.need("name").text()


def _band(name: str, at: _At | None) -> InputBand:
    if at is None:
        return InputBand(name)
    numbers = {}
    for field, start in (("scale", 1.0), ("offset", 0.0)):
        found = at.get(f"raster:{field}") if at.get(f"raster:{field}").value is not None else at.get(field)
        numbers[field] = start if found.value is None else found.number()
    if abs(numbers["scale"]) < _LEAST:
        at.fail("a scale of 0 cannot be undone")
    nodata = at.get("nodata").value
    number = math.nan if nodata == "nan" else None if nodata is None else at.get("nodata").number()
    unit = _optional_text(at.get("unit")) or ""
    return InputBand(
        name, numbers["scale"], numbers["offset"], None if number is None or math.isnan(number) else number, unit
    )


def _scaling(at: _At, bands: int) -> tuple[Scaling, ...]:
    if at.value is None:
        return (Scaling(),) * bands
    found = tuple(_one_scaling(s) for s in at.each())
    if len(found) not in (1, bands):
        at.fail(f"has {len(found)} entries for {bands} bands; give one for each, or one for all")
    return found * bands if len(found) == 1 else found


def _one_scaling(at: _At) -> Scaling:
    kind = at.get("type").value
    if kind is None:
        return Scaling()
    if not isinstance(kind, str) or kind not in FIELDS:
        at.get("type").fail(f"{str(kind)[:40]!r} is not followed; use one of {', '.join(FIELDS)}")
    numbers = tuple(at.need(name).number() for name in FIELDS[kind])
    if (kind == "z-score" and numbers[1] < _LEAST) or (kind == "scale" and abs(numbers[0]) < _LEAST):
        at.fail("would divide by 0, or by a negative deviation")
    if FIELDS[kind] == ("minimum", "maximum") and numbers[1] - numbers[0] < _LEAST:
        at.fail("minimum is not below maximum")
    return Scaling(kind, numbers)


def _classes(at: _At) -> tuple[OutputClass, ...]:
    if at.value is None:
        return ()
    found = []
    for one in at.each():
        value = one.need("value").whole(0, 65_534)
        more = {k: v for k, v in one.value.items() if k not in ("value", "name")}
        found.append(OutputClass(value, one.need("name").text(), more))
    if len({c.value for c in found}) < len(found):
        at.fail("gives two classes one value")
    return tuple(found)


def _model_asset(root: _At) -> tuple[str, _At]:
    assets = root.need("assets")
    if not isinstance(assets.value, Mapping):
        assets.fail("must be an object")
    found = [k for k in assets.value if "mlm:model" in _roles(assets.get(k))]
    if len(found) != 1:
        assets.fail(f"{len(found)} assets have the role 'mlm:model'; there must be one, which is the file to run")
    return found[0], assets.get(found[0])


def _roles(asset: _At) -> list[Any]:
    return [] if asset.get("roles").value is None else [role.value for role in asset.get("roles").each()]


def _artifact(key: str, at: _At) -> Artifact:
    size = at.get("file:size")
    return Artifact(
        key, at.need("href").text(), at.need("type").text(), at.need("mlm:artifact_type").text(), _sha256(at),
        None if size.value is None else size.whole(1, 1 << 40),
    )  # fmt: skip


def _sha256(at: _At) -> str:
    said = set()
    for name in ("file:checksum", "sha256"):
        found = at.get(name)
        if found.value is None:
            continue
        text = found.text().lower().removeprefix("sha256:")
        if len(text) != 64 and not text.startswith(MULTIHASH):
            found.fail(f"is neither a sha256 nor a multihash of one, which begins with {MULTIHASH}")
        text = text.removeprefix(MULTIHASH) if len(text) == 68 else text
        if not _HEX.fullmatch(text):
            found.fail("is no sha256: 64 hexadecimal digits")
        said.add(text)
    if len(said) != 1:
        at.get("file:checksum").fail("is missing: give the artifact's sha256" if not said else "and sha256 differ")
    return said.pop()


# ---- what belongs together


def _refuse_functions(given: _At, made: _At) -> None:
    for at, name, instead in (
        (given, "pre_processing_function", "put it into the model, or use value_scaling"),
        (given, "resize_type", "use a model whose windows have the size of its input"),
        (made, "post_processing_function", "put it into the model"),
        (given, "variables", "name bands"),
    ):
        if at.get(name).value not in (None, []):
            at.get(name).fail(f"is not followed: {instead}")


def _check_input(model: ModelItem, given: _At) -> None:
    at, tensor = given.get("input"), model.input
    if "class" in tensor.dims or "band" not in tensor.dims:
        at.get("dim_order").fail("must have one dimension of bands ('bands' or 'channel') and none of classes")
    if tensor.size("band") not in (-1, len(model.bands)):
        at.get("shape").fail(
            f"has {tensor.size('band')} bands and {len(model.bands)} are named; months are a dimension 'time'"
        )
    if model.months and model.steps not in (-1, len(model.months)):
        at.get("shape").fail(f"has {model.steps} time steps, and {OURS}months names {len(model.months)}")
    sides = {tensor.size("y"), tensor.size("x")} - {-1, None}
    if len(sides) > 1:
        at.get("shape").fail("height and width differ; windows are square")
    if sides and model.window_px not in (None, *sides):
        at.get("shape").fail(f"says windows of {sides.pop()} pixels, and {OURS}window_px {model.window_px}")
    if model.per_pixel and (model.window_px or model.halo_px):
        at.get("dim_order").fail(f"has no height and width, so {OURS}window_px and {OURS}halo_px make no sense")


def _check_output(model: ModelItem, made: _At) -> None:
    at, result = made.get("result"), model.output
    if "time" in result.dims or {"class", "band"} <= set(result.dims):
        at.get("dim_order").fail("must be batch, height and width, and at most one of class and bands")
    if ("y" in result.dims) == model.per_pixel:
        at.get("dim_order").fail("must have height and width if the input has them, and only then")
    if "class" in result.dims and result.size("class") not in (-1, len(model.classes)):
        at.get("shape").fail(f"has {result.size('class')} classes, and classification:classes {len(model.classes)}")
    if model.classes and "class" not in result.dims:
        at.get("dim_order").fail("has no 'class': classes are found from a score for each, never from their codes")
    if -1 in (result.size("class"), result.size("band")):
        at.get("shape").fail("must say how many values a pixel gets")
    for dim in ("y", "x"):
        if result.size(dim) not in (-1, model.input.size(dim)) and model.input.size(dim) != -1:
            at.get("shape").fail("differs from the input's in height or width; both must be the same pixels")
