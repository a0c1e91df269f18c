"""Cloudy pixels of a window, counted from its class codes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo_assets.errors import ConfigError

NODATA_CLASS = 0
# Sentinel-2 scene classification: all but vegetation 4, bare 5 and water 6
BAD_CLASSES = (0, 1, 2, 3, 7, 8, 9, 10, 11)
ROUNDING = 1e-9  # a share that equals a limit but for the rounding of its last digits is not over it


@dataclass(frozen=True)
class Clouds:
    """Pixels of a window, counted.

    Attributes:
        pixels: All.
        observed: Those with a class other than 0.
        bad: Observed ones of a cloudy class.
    """

    pixels: int
    observed: int
    bad: int

    @classmethod
    def of(cls, classes: npt.NDArray[np.uint8], bad_classes: Iterable[int] = BAD_CLASSES) -> "Clouds":
        """Count a window.

        Args:
            classes: Class codes, any dims, uint8, nodata 0.
            bad_classes: Codes that count as cloudy; 0 never does here.

        Raises:
            ValueError: ``classes`` are not uint8, or there are none.
        """
        if classes.dtype != np.uint8 or not classes.size:
            raise ValueError(f"classes are {classes.dtype} {classes.shape}; they must be uint8 and not empty")
        counts = np.bincount(classes.ravel(), minlength=256)
        bad = sum(int(counts[c]) for c in set(bad_classes) - {NODATA_CLASS})
        return cls(classes.size, classes.size - int(counts[NODATA_CLASS]), bad)

    @property
    def coverage(self) -> float:
        """Share of pixels that are observed."""
        return self.observed / self.pixels

    def share(self, *, nodata_is_bad: bool = False) -> float | None:
        """Share of the observed pixels that are cloudy; None where none is observed.

        Args:
            nodata_is_bad: Count pixels that are not observed as cloudy.
        """
        if nodata_is_bad:
            return (self.bad + self.pixels - self.observed) / self.pixels
        return self.bad / self.observed if self.observed else None


def check_classes(classes: Iterable[int]) -> None:
    """Refuse what are no class codes.

    Raises:
        ConfigError: One lies outside 0 to 255.
    """
    odd = [c for c in classes if not 0 <= c <= 255]
    if odd:
        raise ConfigError(f"class {odd[0]} is none: codes lie between 0 and 255")


def check_shares(shares: Mapping[str, float]) -> None:
    """Refuse what are no shares.

    Raises:
        ConfigError: One lies outside 0 to 1.
    """
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ConfigError(f"{name} is {share}; it is a share and must lie between 0 and 1")


def in_percent(share: float) -> str:
    """A share in percent with up to two decimals."""
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + " %"
