"""Windows of gamma0 of scenes in the radar's own geometry, read as windows of maps are."""

import contextlib
import itertools
from collections.abc import Hashable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from geo_assets.eo.height_tiles import joined
from geo_assets.eo.lattice import cells_of
from geo_assets.eo.sar_annotation import Product
from geo_assets.eo.sar_area import reach_px
from geo_assets.eo.scale import filled
from geo_assets.eo.terrain import HALO_PX
from geo_assets.model.crs import metres_per_unit
from geo_assets.model.geometry import GeoBox
from geo_assets.model.plugin import Layer, ReadSession, Usage
from geo_assets.model.recipe import CatalogRecipe
from geo_assets.model.terrain import Geoid, TerrainCorrection
from geo_assets.readers._radar import RadarFiles
from geo_assets.registry import load, sensor_of
from geo_assets.tasks.ard_pixels import layer_of
from geo_assets.tasks.heights import edge_px, reaching, with_margin
from geo_assets.tasks.radar import Ground, RadarBand, RadarScene

PART_PX = 1024  # side of what is worked out at once, in some 400 MB
_ROWS = 256  # of a window of heights that are worked on at once
_STEEPEST_DEG = 18.0  # least angle of incidence of any mode, where an annotation tells none

F32 = npt.NDArray[np.float32]


@contextlib.contextmanager
def radar_windows(
    terrain: TerrainCorrection, catalog: CatalogRecipe, reader: str, *, part_px: int = PART_PX, what: str = "cells"
) -> Iterator["RadarWindows"]:
    """Windows of a task's scenes; files stay open until it ends.

    Args:
        terrain: What brings their pixels onto a map.
        catalog: Where the scenes came from.
        reader: Name of the reader plugin, for heights.
        part_px: Side of what is worked out at once.
        what: Windows are called, for notes.

    Raises:
        SourceError: A file is missing, unreadable or refused.
    """
    kind, ground = load("catalogs", catalog.kind), load("catalogs", terrain.catalog.kind)
    with (
        RadarFiles(kind.access(catalog), kind.sign) as files,
        load("readers", reader).session(ground.access(terrain.catalog), ground.sign) as session,
    ):
        yield RadarWindows(terrain, files, session, part_px=part_px, what=what)


class RadarWindows:
    """Gamma0 of windows, with the heights that place them.

    Args:
        terrain: How it is made.
        files: To read scenes from.
        session: To read heights from.
        part_px: Side of what is worked out at once.
        what: Windows are called, for notes.
    """

    def __init__(
        self, terrain: TerrainCorrection, files: RadarFiles, session: ReadSession, *, part_px: int, what: str
    ) -> None:
        self._terrain, self._files, self._session = terrain, files, session
        self._part_px, self._what = part_px, what
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
            text = f"{self._terrain.sensor.sensor} has no heights under {self._without} of {self._asked} {self._what}"
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
        for (box, hrefs), height in zip(groups, self.heights([box for box, _ in groups]), strict=True):
            yield from [None] * len(hrefs) if height is None else self.gamma0(box, hrefs, height)

    def heights(self, boxes: Sequence[GeoBox]) -> Iterator[F32 | None]:
        """Heights of windows and of the ground around that counts, for ``gamma0``.

        Returns:
            Metres above the ellipsoid on ``heights.with_margin(box)``, dims (y, x), float32, nodata NaN; None where none is known.

        Raises:
            SourceError: An asset is missing, unreadable or refused.
        """
        facts = sensor_of(self._terrain.sensor)
        band = facts.bands[facts.heights]
        wide = [with_margin(box) for box in boxes]
        under = [reaching([box], self._terrain.scenes) for box in boxes]
        layers = [
            layer_of(scene, band, at, "bilinear", None)
            for at, scenes in zip(wide, under, strict=True)
            for scene in scenes
        ]
        windows = self._session.windows(layers)
        for at, scenes in zip(wide, under, strict=True):
            tiles = [filled(tile, band) for _ in scenes if (tile := next(windows)) is not None]
            found = joined(tiles, edge_px=edge_px(scenes, band, at)) if tiles else None
            known = found is not None and not np.isnan(found).all()
            self._asked, self._without = self._asked + 1, self._without + (not known)
            yield _above_ellipsoid(found, at, self._terrain.geoid) if found is not None and known else None

    def gamma0(
        self, box: GeoBox, hrefs: Sequence[str], height: F32, wanted: npt.NDArray[np.bool_] | None = None
    ) -> list[F32 | None]:
        """Gamma0 of the bands of one scene in a window.

        Args:
            box: The window.
            hrefs: Measurements of the bands.
            height: As ``heights`` gives it.
            wanted: Cells of the window's lattice (``eo.lattice``) of which something is wanted; others may be NaN. None is all.

        Returns:
            By band, dims (y, x), float32, linear power, nodata NaN; None where the scene shows nothing.

        Raises:
            SourceError: An asset is missing, unreadable or refused.
        """
        made: list[F32 | None] = [None] * len(hrefs)
        margin = (height.shape[0] - box.shape[0]) // 2
        for row, col, part in _parts(box, self._part_px):
            rows, cols = part.shape
            if wanted is not None and not wanted[cells_of(box, row, rows, col, cols)].any():
                continue
            around = height[row : row + rows + 2 * margin, col : col + cols + 2 * margin]
            grounds: dict[Hashable, Ground] = {}
            for n, href in enumerate(hrefs):
                band = self._band(href)
                if band.geometry not in grounds:
                    grounds[band.geometry] = _ground(band.product, part, around, margin)
                found = band.backscatter(grounds[band.geometry], flatten=self._terrain.flatten)
                if found is not None:
                    self._hidden, self._floored = self._hidden + found.hidden, self._floored + found.floored
                    whole = made[n]
                    if whole is None:
                        whole = made[n] = np.full(box.shape, np.nan, np.float32)
                    whole[row : row + rows, col : col + cols] = found.gamma0
        return made

    def _band(self, href: str) -> RadarBand:
        if href not in self._bands:
            self._bands[href] = RadarBand(self._files, RadarScene.of(href), denoise=self._terrain.denoise)
        return self._bands[href]


def _above_ellipsoid(height: F32, box: GeoBox, geoid: Geoid) -> F32:
    """Heights above the ellipsoid, in place, from those above the geoid."""
    for row in range(0, box.shape[0], _ROWS):
        part = box.window(row, 0, min(_ROWS, box.shape[0] - row), box.shape[1])
        height[row : row + _ROWS] += geoid.over(part).astype(np.float32)
    return height


def _parts(box: GeoBox, side: int) -> Iterator[tuple[int, int, GeoBox]]:
    """A window in parts, each with its first row and column."""
    for row in range(0, box.shape[0], side):
        for col in range(0, box.shape[1], side):
            shape = min(side, box.shape[0] - row), min(side, box.shape[1] - col)
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
