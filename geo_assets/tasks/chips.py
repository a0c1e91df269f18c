"""Chips of one scene: windows of cells, cut from one read of it, with all that its mask tells of their pixels."""

import datetime as dt
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from geo_assets.eo.chip_quality import condition_shares
from geo_assets.eo.mask import halo_px
from geo_assets.model.ard import ArdTask
from geo_assets.model.band import Band
from geo_assets.model.chip import Chip, place_of
from geo_assets.model.collection import mask_band
from geo_assets.model.recipe import BIT_KINDS, MaskRecipe
from geo_assets.registry import sensor_of
from geo_assets.storage import Storage
from geo_assets.tasks.ard import observed_pixels, windows_of
from geo_assets.tasks.ard_pixels import LayerPixels, finished, layer_of
from geo_assets.tasks.chip_group import CLEAR_BAND, ChipGroup
from geo_assets.tasks.clear import clear_pixels

CODE_VERSION = "1"  # raise it when the same scenes and recipe give other pixels or rows

Pixels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ChipTask:
    """Chips of one scene.

    Attributes:
        layer: The scene and its chips in place of cells; its mask is ``none``, since pixels are kept whatever is clear in them.
        mask: Recipe of the mask that tells which pixels are clear.
        base: Name of the group of the pixels, below the storage root; every try adds its own ending.
        min_valid: Least share of observed pixels of a chip that is kept.
    """

    layer: ArdTask
    mask: MaskRecipe
    base: str
    min_valid: float = 0.0

    @property
    def name(self) -> str:
        """Of the layer."""
        return self.layer.name

    @property
    def source(self) -> str:
        """The sensor that it reads, by which ``compute.regions`` says where it runs."""
        return self.layer.source


@dataclass(frozen=True)
class ChipResult:
    """What a worker sends back, beside which the pixels are in the storage.

    Attributes:
        rows: Of the table of chips, one a chip that is kept.
        href: Group of their pixels, or "".
        bytes_read: Of source files.
        requests: Reads of a file or range.
        notes: What a person should know.
        wall_s: How long it took.
        cpu_s: CPU seconds of its thread.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    href: str = ""
    bytes_read: int = 0
    requests: int = 0
    notes: tuple[str, ...] = ()
    wall_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(frozen=True)
class _Judged:
    """What the mask tells of a chip: its numbers, and where it is clear, dims (y, x)."""

    classes: Pixels
    clear: Mask


def run(task: ChipTask) -> ChipResult:
    """Make the chips of a scene, and write their pixels into the storage.

    Bands are as in an analysis-ready layer, but not masked; beside them ``clear`` (1 where every band is observed and the mask
    says clear) and the mask's own band.

    Raises:
        SourceError: An asset is missing, unreadable or refused; what was written is named by nothing.
    """
    began, cpu = time.perf_counter(), time.thread_time()
    layer = task.layer
    sensor, chips = sensor_of(layer.sensor), layer.cells
    masked = mask_band(sensor, task.mask)
    # A name of its own, so that no try writes over what another one made, or what rows of before name
    href = f"{task.base}.{uuid.uuid4().hex[:8]}.zarr"
    group: ChipGroup | None = None
    rows: list[dict[str, Any]] = []
    with windows_of(layer) as session:
        judged = dict(_judged(task, session, masked)) if masked else {}
        for cell, read in LayerPixels(layer, session).cells():
            bands, values = finished(layer, cell.box, read)
            valid = observed_pixels(sensor, bands, values)
            if valid.mean() < task.min_valid:
                continue
            known = judged.get(cell.id)
            clear = valid & known.clear if known else valid if masked is None else np.zeros_like(valid)
            beside = masked if masked is not None and masked.name not in layer.bands else None
            stored = [*bands, CLEAR_BAND, *([_kept(beside)] if beside else [])]
            if group is None:
                size = cell.box.shape[0]
                uri = Storage(layer.root).uri(href)
                group = ChipGroup(uri, stored, size, most=len(chips), attributes=_attributes(task, bands))
            extra = [known.classes if known else np.full(cell.box.shape, beside.fill, beside.dtype)] if beside else []
            place = group.add([*values, clear.astype(np.uint8), *extra])
            rows.append(_row(task, href, _chip(cell), place, valid, clear, known, masked))
        usage = session.usage
    if group is not None:
        group.close()
    return ChipResult(
        rows, href if rows else "", usage.bytes, usage.requests, tuple(usage.notes), round(time.perf_counter() - began, 3), round(time.thread_time() - cpu, 3)
    )  # fmt: skip


def _kept(masked: Band) -> Band:
    """The mask's band as it is stored: its numbers are its own, whatever a sensor calls them."""
    return replace(masked, scale=1.0, offset=0.0)


def _chip(cell: Any) -> Chip:
    assert isinstance(cell, Chip)
    return cell


def _judged(task: ChipTask, session: Any, masked: Band) -> Iterator[tuple[str, _Judged]]:
    """What the mask tells of each chip that the scene reaches; categories are never interpolated."""
    scene, halo = task.layer.scenes[0], halo_px(task.mask.close_px, task.mask.open_px)
    wide = [c.box.window(-halo, -halo, c.box.shape[0] + 2 * halo, c.box.shape[1] + 2 * halo) for c in task.layer.cells]
    layers = [layer_of(scene, masked, box, task.mask.resampling, None) for box in wide]
    for chip, classes in zip(task.layer.cells, session.windows(layers), strict=True):
        if classes is None:
            continue
        rows, cols = chip.box.shape
        inside = slice(halo, halo + rows), slice(halo, halo + cols)
        yield chip.id, _Judged(classes[inside], clear_pixels(classes, masked, task.mask)[inside])


def _attributes(task: ChipTask, bands: Sequence[Band]) -> dict[str, Any]:
    layer = task.layer
    return {
        "product": "chips", "sensor": layer.source, "region": layer.region, "month": layer.month, "scene": layer.scenes[0].item_id,
        "bands": [b.name for b in bands], "mask": task.mask.kind, "code_version": CODE_VERSION,
    }  # fmt: skip


def _row(
    task: ChipTask,
    href: str,
    chip: Chip,
    place: int,
    valid: Mask,
    clear: Mask,
    known: _Judged | None,
    masked: Band | None,
) -> dict[str, Any]:
    layer, scene = task.layer, task.layer.scenes[0]
    sensor = sensor_of(layer.sensor)
    footprint = shapely.from_wkb(scene.footprint)
    shares = {}
    if masked is not None and known is not None and masked.name in sensor.mask_band.values():
        bits = task.mask.kind in BIT_KINDS
        shares = condition_shares(known.classes, sensor.conditions, bits=bits, fill=masked.fill)
    return place_of(chip) | {
        "sensor": layer.source, "datetime": dt.datetime.fromisoformat(scene.time).astimezone(dt.UTC), "region": layer.region, "month": layer.month,
        "href": href, "index": place, "scene_ids": [scene.item_id], "valid_fraction": float(valid.mean()), "clear_fraction": float(clear.mean()),
        "fill_fraction": None, "max_age_days": None, "solar_day": scene.solar_day, "within_footprint": bool(shapely.covers(footprint, shapely.from_wkb(chip.outline))),
        **{f"{name}_fraction": shares.get(name) for name in sensor.conditions},
    }  # fmt: skip
