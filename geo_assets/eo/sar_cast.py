"""Ground that other ground hides from the radar, or that appears in the same place as other ground."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from geo_assets.eo.sar import Facing
from geo_assets.eo.sar_place import View
from geo_assets.eo.terrain import metres
from geo_assets.model.geometry import GeoBox


def with_cast(ground: Facing, box: GeoBox, seen: View, height: npt.NDArray[np.floating], *, margin_px: int) -> Facing:
    """How the ground faces the radar, with the shadow and layover that it casts on other ground.

    Along the line of sight a place is in shadow if ground nearer to the radar stands higher than that line, and in layover if
    other ground is as far from the radar: what stands behind and is higher by distance * tan(incidence), and that itself.

    Args:
        ground: As the ground itself faces the radar.
        box: The window.
        seen: The window as the radar sees it.
        height: Metres, ``margin_px`` pixels further than the window on each side, dims (y, x), float, nodata NaN. Ground
            beyond casts nothing, so the margin is ``sar_area.reach_px`` of the relief.
        margin_px: At least 1.
    """
    from geo_assets.eo import _radar  # takes a third of a second, which only workers have to spend

    if margin_px < 1 or height.shape != (box.shape[0] + 2 * margin_px, box.shape[1] + 2 * margin_px):
        raise ValueError(f"heights have shape {height.shape}; {box.shape} with a margin of {margin_px} px are needed")
    scale, res = metres(box), float(box.resolution)
    area = scale.x_east * scale.y_north - scale.x_north * scale.y_east
    col = (scale.y_north * seen.look_east - scale.y_east * seen.look_north) / area / res
    row = -(scale.x_east * seen.look_north - scale.x_north * seen.look_east) / area / res
    step_m = np.asarray(1 / np.maximum(np.abs(row), np.abs(col)), np.float64)
    shadow, layover = ground.shadow.copy(), ground.layover.copy()
    known = height[np.isfinite(height)]
    if known.size:
        _radar.cast(
            height.astype(np.float64), margin_px, row * step_m, col * step_m, step_m, np.tan(np.radians(seen.incidence)),
            float(known.min()), float(known.max()), shadow, layover,
        )  # fmt: skip
    return replace(ground, shadow=shadow, layover=layover, usable=ground.usable & ~shadow & ~layover)
