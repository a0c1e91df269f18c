"""What a mask band tells of a chip's pixels beside whether they are clear."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.eo.scale import unobserved


def condition_shares(
    classes: npt.NDArray[Any], conditions: Mapping[str, tuple[int, ...]], *, bits: bool, fill: float
) -> dict[str, float]:
    """Share of the observed pixels under each condition, 0 to 1; of a chip without any, 0.

    A mean of class numbers says nothing (vegetation is 4 and cloud is 9): pixels are counted by what their class means.

    Args:
        classes: Numbers of the mask band, dims (y, x), never interpolated.
        conditions: By name the classes that mean it, or the bits of which one is set.
        bits: Whether they are bits.
        fill: Number of pixels that are not observed.
    """
    seen = ~unobserved(classes, fill)
    total = int(np.count_nonzero(seen))
    shares = {}
    for name, numbers in conditions.items():
        if bits:
            under = (classes.astype(np.int64) & sum(1 << bit for bit in numbers)) != 0
        else:
            under = np.isin(classes, numbers)
        shares[name] = float(np.count_nonzero(under & seen) / total) if total else 0.0
    return shares
