"""Small models of each format and their items, made on the spot: for tests, and for whoever writes a runtime.

Most see 2 time steps of 3 bands and give 4 classes. Those of windows work out the same scores as ``scores_of``.
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.model.mlm import Artifact, InputBand, Missing, ModelItem, OutputClass, Scaling, Tensor
from geo_assets.model.mlm_write import write_item

STEPS, BANDS, CLASSES = 2, ("red", "green", "nir"), 4
YEAR = 12  # months of yearly tiles
F32 = npt.NDArray[np.float32]
Made = tuple[bytes, ModelItem]


def weights() -> F32:
    """Weight of each value in each score, dims (class, time, band)."""
    return np.random.default_rng(3).normal(size=(CLASSES, STEPS, len(BANDS))).astype(np.float32)


def scores_of(values: F32) -> F32:
    """Scores of values, dims (time, band, y, x) to (class, y, x), float32; no nodata."""
    found = np.einsum("ctb,tbyx->cyx", weights().astype(np.float64), values.astype(np.float64))
    return np.asarray(found, np.float32)


def item_for(content: bytes, kind: str, *, window: int | None = None, **more: Any) -> ModelItem:
    """The item of a model with that file, of windows or of single pixels."""
    space = () if window is None else (window, window)
    names = () if window is None else ("height", "width")
    artifact = Artifact(
        "model", "model.bin2", "application/octet-stream", kind, hashlib.sha256(content).hexdigest(), len(content)
    )
    known: dict[str, Any] = {
        "item_id": "small", "name": "A small model", "architecture": "linear", "framework": "any",
        "tasks": ("semantic-segmentation",), "bands": tuple(InputBand(b) for b in BANDS),
        "input": Tensor((-1, STEPS, len(BANDS), *space), ("batch", "time", "bands", *names)),
        "scaling": (Scaling(),) * len(BANDS), "output": Tensor((-1, CLASSES, *space), ("batch", "class", *names)),
        "classes": tuple(OutputClass(10 * n, f"class-{n}") for n in range(CLASSES)), "artifact": artifact,
        "window_px": window, "halo_px": None if window is None else 2,
    }  # fmt: skip
    return ModelItem(**(known | more))


def torch_model(window: int = 16) -> Made:
    """A model of windows that torch.export made."""
    import torch

    linear = torch.nn.Conv2d(STEPS * len(BANDS), CLASSES, 1, bias=False)
    linear.weight.data = torch.from_numpy(weights().reshape(CLASSES, -1, 1, 1))
    network = torch.nn.Sequential(torch.nn.Flatten(1, 2), linear).eval()
    batch = torch.export.Dim("batch", min=1, max=1024)
    example = torch.zeros(2, STEPS, len(BANDS), window, window)
    program = torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
    out = io.BytesIO()
    torch.export.save(program, out)
    return out.getvalue(), item_for(out.getvalue(), "torch.export.save", window=window)


def onnx_model(window: int = 16) -> Made:
    """A model of windows as ONNX."""
    import onnx

    helper, numbers = onnx.helper, onnx.numpy_helper
    shape = (-1, STEPS, len(BANDS), window, window)
    nodes = [
        helper.make_node("Reshape", ["values", "flat"], ["layers"]),
        helper.make_node("Conv", ["layers", "weight"], ["scores"]),
    ]
    constants = [
        numbers.from_array(np.array([-1, STEPS * len(BANDS), window, window], np.int64), "flat"),
        numbers.from_array(weights().reshape(CLASSES, -1, 1, 1), "weight"),
    ]
    given = helper.make_tensor_value_info("values", onnx.TensorProto.FLOAT, ["batch", *shape[1:]])
    made = helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["batch", CLASSES, window, window])
    graph = helper.make_graph(nodes, "small", [given], [made], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content, item_for(content, "onnx", window=window)


def smoothing_model(window: int = 16) -> Made:
    """A model of windows as ONNX that sees two pixels around each: ``scores_of`` the means of 5 x 5 pixels, 0 beyond."""
    import onnx

    helper, numbers = onnx.helper, onnx.numpy_helper
    kernel = np.repeat(np.repeat(weights().reshape(CLASSES, -1, 1, 1), 5, 2), 5, 3) / np.float32(25)
    nodes = [
        helper.make_node("Reshape", ["values", "flat"], ["layers"]),
        helper.make_node("Conv", ["layers", "weight"], ["scores"], pads=[2, 2, 2, 2]),
    ]
    flat = np.array([-1, STEPS * len(BANDS), window, window], np.int64)
    constants = [numbers.from_array(flat, "flat"), numbers.from_array(kernel, "weight")]
    shape: list[str | int | None] = ["batch", STEPS, len(BANDS), window, window]
    given = helper.make_tensor_value_info("values", onnx.TensorProto.FLOAT, shape)
    made = helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["batch", CLASSES, window, window])
    graph = helper.make_graph(nodes, "smooth", [given], [made], constants)
    content: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10
    ).SerializeToString()
    return content, item_for(content, "onnx", window=window)


def identity_model(bands: Sequence[str] = ("red",), window: int = 16) -> Made:
    """A model of windows of one month as ONNX that gives what it is given."""
    import onnx

    helper = onnx.helper
    shape: list[str | int | None] = ["batch", len(bands), window, window]
    given = helper.make_tensor_value_info("values", onnx.TensorProto.FLOAT, shape)
    made = helper.make_tensor_value_info("same", onnx.TensorProto.FLOAT, shape)
    graph = helper.make_graph([helper.make_node("Identity", ["values"], ["same"])], "identity", [given], [made])
    content: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10
    ).SerializeToString()
    tensor = Tensor((-1, len(bands), window, window), ("batch", "bands", "height", "width"))
    return content, item_for(
        content, "onnx", window=window, item_id="identity", name="Identity", tasks=("regression",), bands=tuple(InputBand(b) for b in bands),
        input=tensor, output=tensor, scaling=(Scaling(),) * len(bands), classes=(), output_name="same",
    )  # fmt: skip


def months_model(bands: Sequence[str | InputBand], *, window: int | None = None, missing: Missing = "nan") -> Made:
    """A model of twelve months as ONNX that gives what it is given, month by month and band by band, as values of a pixel.

    Args:
        bands: What it reads.
        window: Side of its windows; None: it sees single pixels.
        missing: What becomes of missing values.
    """
    import onnx

    helper, read = onnx.helper, tuple(b if isinstance(b, InputBand) else InputBand(b) for b in bands)
    names, space = ((), ()) if window is None else (("height", "width"), (window, window))
    shape, flat = (YEAR, len(read), *space), (YEAR * len(read), *space)
    given = helper.make_tensor_value_info("values", onnx.TensorProto.FLOAT, ["batch", *shape])
    made = helper.make_tensor_value_info("months", onnx.TensorProto.FLOAT, ["batch", *flat])
    constant = onnx.numpy_helper.from_array(np.array([-1, *flat], np.int64), "flat")
    node = helper.make_node("Reshape", ["values", "flat"], ["months"])
    graph = helper.make_graph([node], "months", [given], [made], [constant])
    content: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10
    ).SerializeToString()
    return content, item_for(
        content, "onnx", window=window, item_id="months", name="Months", tasks=("regression",), bands=read, missing=missing,
        input=Tensor((-1, *shape), ("batch", "time", "bands", *names)), output=Tensor((-1, *flat), ("batch", "bands", *names)),
        scaling=(Scaling(),) * len(read), classes=(), output_name="months",
    )  # fmt: skip


def write_model(folder: Path, made: Made, name: str = "model") -> Path:
    """Write a model and its item into a folder; returns the item's file."""
    content, item = made
    artifact = replace(item.artifact, href=f"{name}.bin2")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / artifact.href).write_bytes(content)
    file = folder / f"{name}.json"
    file.write_text(json.dumps(write_item(replace(item, artifact=artifact)), indent=1))
    return file


def lightgbm_model() -> Made:
    """A model of single pixels as LightGBM writes it."""
    import lightgbm

    rng = np.random.default_rng(5)
    table = rng.normal(size=(400, STEPS * len(BANDS)))
    classes = np.argmax(table @ weights().reshape(CLASSES, -1).T, axis=1)
    options = {"objective": "multiclass", "num_class": CLASSES, "num_leaves": 7, "verbosity": -1, "num_threads": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(table, classes), num_boost_round=5)
    content: bytes = booster.model_to_string().encode()
    return content, item_for(
        content, "lightgbm.Booster.save_model", output=Tensor((-1, CLASSES), ("batch", "class"), "float64")
    )


# By the name of the runtime: what makes a model for it, and the packages that this and the runtime need
MAKERS: Mapping[str, tuple[Callable[[], Made], tuple[str, ...]]] = {
    "torch-export": (torch_model, ("torch",)),
    "onnx": (onnx_model, ("onnx", "onnxruntime")),
    "lightgbm": (lightgbm_model, ("lightgbm",)),
}
