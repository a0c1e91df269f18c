"""The files of a trained model: its STAC item, and the artifact with the weights.

The artifact is read once, within a limit, and its checksum is compared before anything looks into it.
"""

import hashlib
import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO

from geo_assets.errors import ConfigError, SourceError, StoreError
from geo_assets.model import path
from geo_assets.model.href import Access, without_query
from geo_assets.model.mlm import ModelItem
from geo_assets.model.mlm_item import read_item
from geo_assets.model.mlm_write import write_item
from geo_assets.model.plugin import ModelRuntime
from geo_assets.model.recipe import digest
from geo_assets.registry import available, load
from geo_assets.storage import Storage

MOST_ITEM_BYTES = 4 * 2**20
MOST_ARTIFACT_BYTES = 2 * 2**30
_PIECE = 1 << 20
_PICKLES = ("torch.save", "torch.jit.save", "torch.jit.script", "pickle", "joblib")
_SUFFIXES = (".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt", ".bin")

Fetch = Callable[[str, int], bytes]


def read_model(file: str | Path) -> ModelItem:
    """A model from the file of its STAC item.

    Raises:
        ConfigError: The file cannot be read, is no item of a model, or lacks something; says what and where.
    """
    try:
        with open(file, "rb") as handle:
            content = handle.read(MOST_ITEM_BYTES + 1)
        if len(content) > MOST_ITEM_BYTES:
            raise ConfigError(f"{file}: is larger than 4 MB, which no item of a model is")
        item = json.loads(content, parse_constant=_no_constant)
    except OSError as e:
        raise ConfigError(f"{file}: the model's item cannot be read: {e.strerror or e}") from e
    except (ValueError, RecursionError) as e:
        raise ConfigError(f"{file}: the model's item is no JSON: {e}") from e
    if not isinstance(item, dict):
        raise ConfigError(f"{file}: the model's item is no JSON object")
    return read_item(item)


def _no_constant(name: str) -> None:
    """JSON has no such numbers, though Python reads them.

    Raises:
        ValueError: Always.
    """
    raise ValueError(f"it has a number {name}")


def artifact_bytes(model: ModelItem, folder: str | Path, fetch: Fetch | None = None) -> bytes:
    """The file of a model, whole, with the checksum that its item says.

    Args:
        model: The model.
        folder: Where its item lies; the artifact must lie in it or below.
        fetch: Reads an artifact with an address of its own: address and most bytes to bytes. None refuses these.

    Raises:
        ConfigError: It is missing, outside of the folder, too large, another file than the item says, or of a format
            that runs code.
    """
    artifact = model.artifact
    shown = without_query(artifact.href)
    _refuse_pickles(artifact.kind, shown)
    if artifact.size is not None and artifact.size > MOST_ARTIFACT_BYTES:
        raise ConfigError(f"{shown}: a model of {artifact.size} bytes is larger than {MOST_ARTIFACT_BYTES} bytes")
    most = artifact.size if artifact.size is not None else MOST_ARTIFACT_BYTES
    if "://" in artifact.href:
        if fetch is None:
            raise ConfigError(f"{shown}: put the model's file beside its item, and give its name as href")
        content = fetch(artifact.href, most + 1)
    else:
        content = _local(artifact.href, folder, most)
    check_content(model, content)
    return content


def check_content(model: ModelItem, content: bytes) -> None:
    """Whether bytes are the file that a model's item means, by size and sha256.

    Raises:
        ConfigError: They are not.
    """
    artifact, shown = model.artifact, without_query(model.artifact.href)
    most = artifact.size if artifact.size is not None else MOST_ARTIFACT_BYTES
    if len(content) > most or (artifact.size is not None and len(content) != artifact.size):
        raise ConfigError(
            f"{shown}: has {'more than ' if len(content) > most else ''}{min(len(content), most)} bytes, and the item says {artifact.size or f'nothing and {most} are allowed'}"
        )
    found = hashlib.sha256(content).hexdigest()
    if found != artifact.sha256:
        raise ConfigError(
            f"{shown}: has the sha256 {found}, and the item says {artifact.sha256}: it is damaged or another model; it was not opened"
        )


def stage(storage: Storage, model: ModelItem, folder: str | Path, fetch: Fetch | None = None) -> str:
    """Put a model where workers find it: its weights and its item in the storage; returns their folder there.

    Args:
        storage: Where workers read.
        model: The model.
        folder: See ``artifact_bytes``.
        fetch: See ``artifact_bytes``.

    Raises:
        ConfigError: Its file is missing, or not what the item says.
    """
    written = write_item(replace(model, artifact=replace(model.artifact, href=_weights(model))))
    place = path.model(digest(written))
    item, weights = json.dumps(written, indent=1, allow_nan=False).encode(), f"{place}/{_weights(model)}"
    held = storage.read(weights)
    if held is None or not _is_content(model, held):  # what is there may be lost or damaged since
        storage.write(weights, artifact_bytes(model, folder, fetch))
    if storage.read(f"{place}/{path.MODEL_ITEM}") != item:
        storage.write(f"{place}/{path.MODEL_ITEM}", item)
    return place


def staged(storage: Storage, place: str, model: ModelItem) -> bytes:
    """The weights of a model from the storage, with the checksum that its item says.

    Raises:
        StoreError: They are gone or damaged; the next run puts them there again.
    """
    name = f"{place}/{_weights(model)}"
    content = storage.read(name)
    if content is None or not _is_content(model, content):
        state = "is gone" if content is None else "is damaged"
        raise StoreError(
            f"{storage.uri(name)}: the model's file {state}; run the partition again, which puts it there anew"
        )
    return content


def _is_content(model: ModelItem, content: bytes) -> bool:
    try:
        check_content(model, content)
    except ConfigError:
        return False
    return True


def _weights(model: ModelItem) -> str:
    """Name of a model's file in the storage: its own ending says the format."""
    return "weights" + os.path.splitext(without_query(model.artifact.href))[1]


def runtime_of(model: ModelItem) -> ModelRuntime:
    """The runtime that opens a model, by its ``mlm:artifact_type``.

    Raises:
        ConfigError: No runtime does, or the type is one that runs code.
    """
    _refuse_pickles(model.artifact.kind, without_query(model.artifact.href))
    known: dict[str, str] = {}
    for name in sorted(available("models")):
        runtime: ModelRuntime = load("models", name)
        if model.artifact.kind in runtime.artifact_types:
            return runtime
        known |= dict.fromkeys(runtime.artifact_types, name)
    raise ConfigError(
        f"model item {model.item_id}: assets.{model.artifact.key}.mlm:artifact_type: {model.artifact.kind[:80]!r} cannot be run; there are {', '.join(known)}"
    )


def _refuse_pickles(kind: str, shown: str) -> None:
    suffix = os.path.splitext(shown)[1].lower()
    if kind.lower() in _PICKLES or suffix in _SUFFIXES:
        raise ConfigError(
            f"{shown}: a file of {kind[:80]} ({suffix or 'no suffix'}) is or may be a pickle, which runs code when it is opened, and was not; export the model with torch.export.save (.pt2), ONNX (.onnx) or LightGBM's save_model (.txt)"
        )


def _local(href: str, folder: str | Path, most: int) -> bytes:
    root = os.path.realpath(folder)
    try:
        file = Access(roots=(root,)).check(os.path.join(root, href))
    except SourceError as e:
        raise ConfigError(
            f"{without_query(href)}: the model's file must lie in the folder of its item, or below"
        ) from e
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):
            raise ConfigError(f"{file}: the model's file is no file")
        with open(file, "rb") as handle:
            return _limited(handle, most + 1)
    except OSError as e:
        raise ConfigError(f"{file}: the model's file cannot be read: {e.strerror or e}") from e


def _limited(handle: IO[bytes], most: int) -> bytes:
    pieces, left = [], most
    while left and (piece := handle.read(min(_PIECE, left))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
