"""Terrain correction: what brings pixels in the radar's own geometry onto a map."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo_assets.model.collection import SensorRecipe
from geo_assets.model.geometry import GeoBox
from geo_assets.model.recipe import CatalogRecipe
from geo_assets.model.scene import Scene

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Geoid:
    """Heights of the geoid on a lattice, which lies the same in its CRS for every task.

    Attributes:
        first: Numbers of its first column and of its lowest row, counted from the CRS's origin.
        step: Distance of its points, in units of the CRS.
        metres: Above the ellipsoid, by row from the lowest; at least two rows and columns.
    """

    first: tuple[int, int]
    step: float
    metres: tuple[tuple[float, ...], ...]

    def over(self, box: GeoBox) -> F64:
        """Height of the geoid above the ellipsoid at the centres of a window's pixels, bilinear.

        Returns:
            Dims (y, x), float64, metres.
        """
        x, y = box.centers()
        known = np.asarray(self.metres, np.float64)
        left, across = _between(x / self.step - self.first[0], known.shape[1])
        low, up = _between(y / self.step - self.first[1], known.shape[0])
        rows = known[low] * (1 - up[:, None]) + known[low + 1] * up[:, None]
        found: F64 = rows[:, left] * (1 - across) + rows[:, left + 1] * across
        return found


def _between(at: F64, count: int) -> tuple[npt.NDArray[np.int64], F64]:
    """The point before each place, and what share of the way to the next one it lies."""
    before = np.floor(at).astype(np.int64).clip(0, count - 2)
    return before, (at - before).clip(0.0, 1.0)


@dataclass(frozen=True)
class TerrainCorrection:
    """How scenes in the radar's own geometry become gamma0 on a map.

    Attributes:
        scenes: Of the height model, that reach the task's pixels and the ground around that counts; metres above the geoid.
        sensor: Their sensor, as the project has it.
        catalog: Where they came from.
        geoid: How high the geoid lies.
        flatten: How the terrain's effect on brightness is taken off: ``angle`` or ``area``.
        denoise: Whether thermal noise is taken off.
    """

    scenes: tuple[Scene, ...]
    sensor: SensorRecipe
    catalog: CatalogRecipe
    geoid: Geoid
    flatten: str
    denoise: bool
