"""What the pages of yearly tiles share: the head with its verdict, findings, marks and drawings."""

from collections.abc import Collection, Sequence

from geo_assets.eo.quality import Verdict
from geo_assets.report import frame
from geo_assets.report.drawing import Drawing, to_svg
from geo_assets.report.markup import Markup, capped, el, join, plural, table

_LINES = 50
SIGNS = {"ok": ("ok", "●"), "empty": ("partial", "◌"), "failed": ("failed", "○")}  # of a quarter's status
_LEGEND = {
    "kept": "used",
    "dropped": "dropped",
    "plan": "nothing there",
    "bad": "failed",
}


def head(heading: str, verdict: Verdict, contents: Sequence[tuple[str, str]]) -> Markup:
    """The heading, what is to be thought of the tile, and links to the sections."""
    faults, doubts = len(verdict.faults), len(verdict.doubts)
    good = not faults and not doubts
    found = [plural(n, word) for n, word in ((faults, "fault"), (doubts, "doubt")) if n]
    text = "Sound: nothing speaks against it" if good else f"{'Faulty' if faults else 'Doubtful'}: {', '.join(found)}"
    links = () if good else (" (", el("a", "which", href="#verdict"), ")")
    line = el("p", text, *links, ".", class_="verdict" if good else "verdict warn")
    return el("header", el("h1", heading), line, frame.contents(contents))


def findings(verdict: Verdict) -> list[Markup]:
    """Faults and doubts, one by one."""
    lines = [("fault", f) for f in verdict.faults] + [("doubt", d) for d in verdict.doubts]
    if not lines:
        return [el("p", "No fault and no doubt was found.")]
    rows = [(mark(word, "failed" if word == "fault" else "partial", "●"), text) for word, text in lines[:_LINES]]
    note = el("p", "A fault is certainly wrong. A doubt is rarely right: look at it before the tile is used.", class_="note")  # fmt: skip
    shown = table("Faults and doubts", ("Kind", "What was found"), rows, kinds=".t")
    return [note, join([shown, capped(len(rows), len(lines), "findings")])]


def mark(text: str, kind: str, sign: str) -> Markup:
    """A word with a sign in the colour of its kind."""
    return el("span", el("span", sign, aria_hidden="true"), f" {text}", class_=f"status {kind}")


def legend(used: Collection[str]) -> Markup:
    """What the colours of a line of the year mean."""
    key = [el("li", el("span", class_=f"swatch {kind}"), f" {word}") for kind, word in _LEGEND.items() if kind in used]
    return el("ul", key, class_="legend")


def scrolled(drawing: Drawing) -> Markup:
    """A drawing that can be moved sideways where the page is narrow."""
    return el("div", to_svg(drawing, "chart"), class_="lanes", tabindex="0", role="group", aria_label=drawing.label)
