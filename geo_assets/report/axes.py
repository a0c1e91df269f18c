"""Axes in seconds and in numbers, with round steps."""

from collections.abc import Sequence
from dataclasses import dataclass

from geo_assets.report.charts import digits, nice

_ROUND_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"), (0.001, "ms"))


@dataclass(frozen=True)
class Axis:
    """From 0 on.

    Attributes:
        step: Between two ticks.
        high: End, at or after the last tick.
        unit: What 1 is shown in, in the axis' own unit; 1 shows numbers as they are.
        name: Of the unit, or "".
    """

    step: float
    high: float
    unit: float = 1.0
    name: str = ""

    @property
    def ticks(self) -> list[float]:
        """Where they are."""
        return [n * self.step for n in range(int(self.high / self.step * (1 + 1e-9)) + 1)]

    def show(self, value: float) -> str:
        """A tick's label."""
        number = f"{value / self.unit:,.{digits(self.step / self.unit)}f}"
        return f"{number} {self.name}".strip()


def time_axis(seconds: float, ticks: int) -> Axis:
    """An axis that ends at a time, with at most so many steps."""
    high = max(seconds, 1e-3)
    least = high / ticks
    days = nice(least / 86_400) * 86_400
    step: float = nice(least) if least < 1 else next((s for s in _ROUND_S if s >= least), days)
    unit, name = next((u for u in _UNITS if step >= u[0] or (u[0] == 1 and high >= 1)), _UNITS[-1])
    return Axis(step, high, unit, name)


def count_axis(most: float, steps: int = 4) -> Axis:
    """An axis of numbers of things, up to a round number."""
    step = max(1.0, nice(max(most, 1.0) / steps))
    return Axis(step, step * max(1, -int(-most // step)))


def edges(values: Sequence[float], bins: int) -> tuple[list[float], bool]:
    """Edges of bins of equal, round width for some seconds, and whether the last bin holds all that is longer.

    A few that took very long must not press all others into one bin.
    """
    ordered = sorted(values) or [0.0]
    typical = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    high = max(min(ordered[-1], 3 * typical) or ordered[-1], 1e-3)
    width = nice(high / bins)
    n = int(high / width * (1 - 1e-9)) + 1
    return [i * width for i in range(n + 1)], ordered[-1] > n * width
