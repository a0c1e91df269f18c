"""Windows of gamma0 for layers of scenes in the radar's own geometry, read as windows of maps are."""

import contextlib
import itertools
import math
from collections.abc import Hashable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from geo_assets.eo.height_tiles import joined
from geo_assets.eo.sar_annotation import Product
from geo_assets.eo.sar_area import reach_px
from geo_assets.eo.scale import filled
from geo_assets.eo.terrain import HALO_PX
from geo_assets.model.ard import ArdTask, Heights
from geo_assets.model.band import Band
from geo_assets.model.cell import CellBox
from geo_assets.model.crs import metres_per_unit
from geo_assets.model.geometry import GeoBox
from geo_assets.model.plugin import Layer, ReadSession, Usage
from geo_assets.model.scene import Scene
from geo_assets.readers._radar import RadarFiles
from geo_assets.registry import load, sensor_of
from geo_assets.tasks.ard_pixels import layer_of
from geo_assets.tasks.heights import reaching, with_margin
from geo_assets.tasks.radar import Ground, RadarBand, RadarScene

_PART_PX = 1024  # side of what is worked out at once, in some 400 MB
_STEEPEST_DEG = 18.0  # least angle of incidence of any mode, where an annotation tells none

F32 = npt.NDArray[np.float32]


@contextlib.contextmanager
def radar_windows(task: ArdTask) -> Iterator["RadarWindows"]:
    """Windows of a task's scenes; files stay open until it ends.

    Raises:
        SourceError: A file is missing, unreadable or refused.
    """
    if task.heights is None:
        raise ValueError(f"{task.name}: its task has no heights")
    catalog, ground = load("catalogs", task.catalog.kind), load("catalogs", task.heights.catalog.kind)
    reader = load("readers", task.reader)
    with (
        RadarFiles(catalog.access(task.catalog), catalog.sign) as files,
        reader.session(ground.access(task.heights.catalog), ground.sign) as session,
    ):
        yield RadarWindows(task, task.heights, files, session)


class RadarWindows:
    """Gamma0 of windows, with the heights that place them.

    Args:
        task: Says how it is made.
        heights: Where heights come from.
        files: To read scenes from.
        session: To read heights from.
    """

    def __init__(self, task: ArdTask, heights: Heights, files: RadarFiles, session: ReadSession) -> None:
        self._task, self._of, self._files, self._session = task, heights, files, session
        self._geoid = {cell.box: corners for cell, corners in zip(task.cells, heights.geoid_m, strict=True)}
        self._bands: dict[str, RadarBand] = {}
        self._asked = self._without = self._hidden = self._floored = 0

    @property
    def usage(self) -> Usage:
        """What was read so far, of scenes and of heights."""
        both = self._files.usage, self._session.usage
        notes = [note for of in both for note in of.notes] + list(self._notes())
        return Usage(sum(of.bytes for of in both), sum(of.requests for of in both), notes)

    def _notes(self) -> Iterator[str]:
        if self._without:
            text = f"{self._of.sensor.sensor} has no heights under {self._without} of {self._asked} cells"
            yield f"{text}: nothing is made there"
        if self._hidden:
            yield f"{self._hidden:,} values are NaN in shadow, in layover or where the ground is seen at too flat an angle"
        if self._floored:
            yield f"{self._floored:,} values lay below the noise and are 0"

    def windows(self, layers: Sequence[Layer]) -> Iterator[F32 | None]:
        """Gamma0 of each layer, in order; bands of one window that follow each other share its ground.

        Returns:
            Dims (y, x), float32, linear power, nodata NaN; None where the scene shows nothing or no heights are known.

        Raises:
            SourceError: An asset is missing, unreadable or refused.
        """
        groups = [(box, [layer.href for layer in of]) for box, of in itertools.groupby(layers, lambda at: at.box)]
        for (box, hrefs), height in zip(groups, self._heights([box for box, _ in groups]), strict=True):
            self._asked += 1
            if height is None:
                self._without += 1
                yield from [None] * len(hrefs)
            else:
                yield from self._gamma0(box, hrefs, height)

    def _heights(self, boxes: Sequence[GeoBox]) -> Iterator[F32 | None]:
        """Heights above the ellipsoid of windows and the ground around that counts, NaN or None where none are known."""
        facts = sensor_of(self._of.sensor)
        band = facts.bands[facts.heights]
        wide = [with_margin(box) for box in boxes]
        under = [reaching([CellBox("", box, b"")], self._of.scenes) for box in boxes]
        layers = [
            layer_of(scene, band, at, "bilinear", None)
            for at, scenes in zip(wide, under, strict=True)
            for scene in scenes
        ]
        windows = self._session.windows(layers)
        for box, at, scenes in zip(boxes, wide, under, strict=True):
            tiles = [filled(tile, band) for _ in scenes if (tile := next(windows)) is not None]
            found = joined(tiles, edge_px=_edge_px(scenes, band, at)) if tiles else None
            yield None if found is None or np.isnan(found).all() else _above_ellipsoid(found, box, self._geoid[box])

    def _gamma0(self, box: GeoBox, hrefs: Sequence[str], height: F32) -> list[F32 | None]:
        """Gamma0 of the bands of a window."""
        made: list[F32 | None] = [None] * len(hrefs)
        margin = (height.shape[0] - box.shape[0]) // 2
        for row, col, part in _parts(box):
            rows, cols = part.shape
            around = height[row : row + rows + 2 * margin, col : col + cols + 2 * margin]
            grounds: dict[Hashable, Ground] = {}
            for n, href in enumerate(hrefs):
                band = self._band(href)
                if band.geometry not in grounds:
                    grounds[band.geometry] = _ground(band.product, part, around, margin)
                found = band.backscatter(grounds[band.geometry], flatten=self._task.ard.flatten)
                if found is not None:
                    self._hidden, self._floored = self._hidden + found.hidden, self._floored + found.floored
                    whole = made[n]
                    if whole is None:
                        whole = made[n] = np.full(box.shape, np.nan, np.float32)
                    whole[row : row + rows, col : col + cols] = found.gamma0
        return made

    def _band(self, href: str) -> RadarBand:
        if href not in self._bands:
            self._bands[href] = RadarBand(self._files, RadarScene.of(href), denoise=self._task.ard.denoise)
        return self._bands[href]


def _edge_px(scenes: Sequence[Scene], band: Band, box: GeoBox) -> int:
    """Pixels of a window that half a pixel of the height model covers: as its items say, else as the sensor does."""
    headers = [header for scene in scenes if (header := scene.said(band.name).header) and len(header.transform) == 6]
    steps = [max(abs(h.transform[0]), abs(h.transform[4])) * metres_per_unit(h.crs) for h in headers if h.crs]
    return math.ceil(max([band.gsd_m, *steps]) / 2 / (float(box.resolution) * metres_per_unit(box.crs)))


def _above_ellipsoid(height: F32, box: GeoBox, geoid_m: Sequence[float]) -> F32:
    """Heights above the ellipsoid from those above the geoid, which is bilinear between the corners of the window."""
    margin = (height.shape[0] - box.shape[0]) // 2
    down, along = ((np.arange(n + 2 * margin) - margin + 0.5) / n for n in box.shape)
    top, bottom = (a * (1 - along) + b * along for a, b in (geoid_m[:2], geoid_m[2:]))
    above: F32 = (height + top * (1 - down[:, None]) + bottom * down[:, None]).astype(np.float32)
    return above


def _parts(box: GeoBox) -> Iterator[tuple[int, int, GeoBox]]:
    """A window in parts, each with its first row and column."""
    for row in range(0, box.shape[0], _PART_PX):
        for col in range(0, box.shape[1], _PART_PX):
            shape = min(_PART_PX, box.shape[0] - row), min(_PART_PX, box.shape[1] - col)
            yield row, col, box.window(row, col, *shape)


def _ground(product: Product, box: GeoBox, height: F32, margin_px: int) -> Ground:
    """A window as the radar sees it, with no more ground around than its relief needs."""
    known = height[np.isfinite(height)]
    needed = HALO_PX
    if known.size:
        angles = product.points.incidence
        steepest = float(angles.min()) if angles.size else _STEEPEST_DEG
        pixel_m = float(box.resolution) * metres_per_unit(box.crs)
        needed = reach_px(float(known.min()), float(known.max()), steepest, pixel_m)
    cut = max(0, margin_px - max(HALO_PX, needed))
    inner = height[cut : height.shape[0] - cut, cut : height.shape[1] - cut]
    return Ground(product, box, inner, geoid_m=0.0, margin_px=margin_px - cut)
