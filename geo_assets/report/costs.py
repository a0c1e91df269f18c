"""What was expected to be paid, and what was."""

from collections.abc import Iterable

from geo_assets.report.drawing import Drawing, Line, Mark, Rect, Text, shortened
from geo_assets.report.jobs import Job
from geo_assets.report.markup import dollars
from geo_assets.report.summary import Group, by

_MOST = 12
_LEFT, _RIGHT, _BAR, _SLOT = 150.0, 90.0, 11.0, 34.0


def costs(jobs: Iterable[Job], width: float = 1080.0) -> Drawing:
    """Two bars a product: predicted and actual cost; of the dearest products."""
    groups = [(p, Group.of(g)) for (p,), g in by((j for j in jobs if j.is_task), lambda j: (j.product,)).items()]
    shown = sorted(groups, key=lambda g: -max(g[1].usd, g[1].usd_predicted))[:_MOST]
    scale = (width - _LEFT - _RIGHT) / max((max(f.usd, f.usd_predicted) for _, f in shown), default=1.0)
    height = 4 + _SLOT * len(shown)
    marks: list[Mark] = [Line(_LEFT, 0, _LEFT, height, "axis")]
    for i, (product, f) in enumerate(shown):
        y = 6 + _SLOT * i
        marks.append(Text(_LEFT - 8, y + _BAR + 4, shortened(product, 22), "end", tip=product))
        for n, (usd, kind, word) in enumerate(((f.usd_predicted, "plan", "predicted"), (f.usd, "kept", "actual"))):
            top, long = y + n * (_BAR + 1), usd * scale
            marks.append(Rect(_LEFT, top, long, _BAR, kind, f"{product}: {dollars(usd)} {word}"))
            marks.append(Text(_LEFT + long + 6, top + _BAR - 1.5, dollars(usd), kind="value"))
    return Drawing(width, height, "Cost by product, predicted and actual", tuple(marks))
