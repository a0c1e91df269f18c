"""Bar charts of the months as SVG: coverage, clear days, scenes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from geo_assets.report.markup import Markup, el, svg

MONTHS = 120  # bars that a chart has room for
_NARROW = 12  # months up to which a chart takes a third of the page and writes values over the bars
_LEFT, _TOP, _BOTTOM = 40.0, 20.0, 24.0
_HEIGHT = 190.0


@dataclass(frozen=True)
class Series:
    """Heights of the bars, one a month, and the class that colours them."""

    name: str
    kind: str
    values: Sequence[float]


def narrow(months: Sequence[str]) -> bool:
    """Whether charts of these months fit side by side."""
    return len(months) <= _NARROW


def bars(label: str, months: Sequence[str], series: Sequence[Series], *, show: Callable[[float], str], top: float | None = None) -> Markup:  # fmt: skip
    """Bars a month, series on top of each other.

    Args:
        label: What a screen reader says.
        months: Below the bars.
        series: From the bottom up.
        show: How a value is written.
        top: Highest value of the axis; found from the values if left out.
    """
    width = 360.0 if narrow(months) else 1080.0
    totals = [sum(s.values[i] for s in series) for i in range(len(months))]
    step, high = _axis(max(totals, default=0.0), top)
    floor, room = _HEIGHT - _BOTTOM, _HEIGHT - _BOTTOM - _TOP
    lines = []
    for n in range(round(high / step) + 1):
        y = floor - room * n * step / high
        lines.append(el("line", x1=_LEFT, x2=width, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="axis" if n == 0 else "grid"))
        lines.append(el("text", show(n * step), x=_LEFT - 6, y=f"{y + 3.5:.1f}", text_anchor="end"))
    slot = (width - _LEFT) / max(1, len(months))
    columns = [
        _column(month, [(s, s.values[i]) for s in series], _LEFT + slot * (i + 0.5), min(30.0, slot * 0.66), scale=room / high, show=show, values=narrow(months))
        for i, month in enumerate(months)
    ]  # fmt: skip
    return svg(width, _HEIGHT, label, lines, columns, _labels(months, slot), class_="chart")


def _column(
    month: str, parts: Sequence[tuple[Series, float]], x: float, width: float, *, scale: float, show: Callable[[float], str], values: bool
) -> list[Markup]:  # fmt: skip
    y, drawn = _HEIGHT - _BOTTOM, []
    for series, value in parts:
        height = value * scale
        y -= height
        tip = el("title", f"{month}: {show(value)} {series.name}")
        if height > 0:
            drawn.append(el("rect", tip, x=f"{x - width / 2:.1f}", y=f"{y:.1f}", width=f"{width:.1f}", height=f"{height:.1f}", class_=series.kind))  # fmt: skip
    if values:
        text = " + ".join(show(v) for _, v in parts if v) or show(0)
        drawn.append(el("text", text, x=f"{x:.1f}", y=f"{y - 5:.1f}", text_anchor="middle", class_="value"))
    return drawn


def _labels(months: Sequence[str], slot: float) -> list[Markup]:
    every = max(1, -int(-52 // slot))
    return [
        el("text", month, x=f"{_LEFT + slot * (i + 0.5):.1f}", y=_HEIGHT - 6, text_anchor="middle")
        for i, month in enumerate(months)
        if i % every == 0
    ]


def _axis(high: float, top: float | None) -> tuple[float, float]:
    """Step and end of an axis from 0 with two to five round steps."""
    if top is not None:
        return top / 4, top
    high = max(high, 1e-9)
    step = nice(high / 4)
    return step, step * max(1, -int(-high // step))


def digits(step: float) -> int:
    """Decimals that tell multiples of a step apart."""
    return next((n for n in range(9) if abs(step - round(step, n)) < step * 1e-6), 9)


def nice(value: float) -> float:
    """The next higher of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** int(f"{value:e}".split("e")[1])
    return next(n * power for n in (1, 2, 5, 10) if n * power >= value * (1 - 1e-9))
