"""Whether candidates made the same composite, so that none of them is fast by doing less."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Agreement:
    """How one composite compares with the reference, over all bands.

    Attributes:
        equal: Share of equal pixels.
        within_1: Share of pixels that differ by at most 1 DN.
        coverage: Share of pixels that only one of both has observed.
        typical: Median of the differences' size where there is one, in DN.
        bias: Mean difference, in DN, where both have observed.
    """

    equal: float
    within_1: float
    coverage: float
    typical: float
    bias: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Limits:
    """What counts as the same composite."""

    within_1: float
    coverage: float
    typical: float
    bias: float

    def hold(self, found: Agreement) -> bool:
        """Whether a composite lies within them."""
        return (
            found.within_1 >= self.within_1
            and found.coverage <= self.coverage
            and found.typical <= self.typical
            and abs(found.bias) <= self.bias
        )


def compare(made: list[npt.NDArray[np.uint16]], reference: list[npt.NDArray[np.uint16]]) -> Agreement:
    """A composite's windows against the reference's."""
    off, n, equal, near, lone, total, both = [], 0, 0, 0, 0, 0, 0
    for ours, theirs in zip(made, reference, strict=True):
        if ours.shape != theirs.shape:
            raise ValueError(f"a window has {ours.shape} pixels instead of {theirs.shape}")
        difference = ours.astype(np.int32) - theirs
        size = np.abs(difference)
        seen = (ours > 0) & (theirs > 0)
        n += ours.size
        equal += int((size == 0).sum())
        near += int((size <= 1).sum())
        lone += int(((ours > 0) != (theirs > 0)).sum())
        total += int(difference[seen].sum())
        both += int(seen.sum())
        off.append(size[seen & (size > 0)][::7])
    every = np.concatenate(off)
    typical = float(np.median(every)) if every.size else 0.0
    return Agreement(equal / n, near / n, lone / n, typical, total / max(1, both))
