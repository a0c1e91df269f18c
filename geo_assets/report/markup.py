"""HTML and SVG from Python, escaped by construction, and numbers as people read them."""

import html
from collections.abc import Iterable, Sequence

from geo_assets.model.text import printable

_KINDS = {"n": "num", "c": "code", "t": "text", ".": None}
_LONGEST = 600  # characters of a table's cell


class Markup(str):
    """Text that is HTML already; any other string is escaped before it becomes part of a page."""

    __slots__ = ()


def el(name: str, *children: object, **attributes: object) -> Markup:
    """One element.

    Args:
        name: Of the element.
        children: Markup as it is, lists one after the other, None not at all, everything else escaped.
        attributes: ``class_`` is written class and ``stroke_width`` stroke-width; None is left out.
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{shown}>" if name == "img" else f"<{name}{shown}>{join(children)}</{name}>")


def join(children: Iterable[object]) -> Markup:
    """Children of an element, one after the other."""
    return Markup("".join(_child(c) for c in children))


def _child(child: object) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, list | tuple):
        return join(child)
    return _text(child)


def _text(value: object) -> str:
    return html.escape(printable(str(value)))


def svg(width: float, height: float, label: str, *children: object, class_: str = "") -> Markup:
    """A picture that a screen reader announces by its label."""
    box = f"0 0 {width:g} {height:g}"
    return el("svg", el("title", label), *children, viewBox=box, width=f"{width:g}", height=f"{height:g}", role="img", aria_label=label, class_=class_ or None)  # fmt: skip


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[object]], *, kinds: str) -> Markup:
    """A table in a box that scrolls on screens and does not on paper.

    Args:
        caption: What it lists.
        heads: Of the columns.
        rows: The first cell of each heads its row.
        kinds: A letter a column: n for numbers, c for names and hashes, t for text that wraps, . for all else.
    """
    classes = [_KINDS[k] for k in kinds]
    head = el("tr", [el("th", h, scope="col", class_=c) for h, c in zip(heads, classes, strict=True)])
    body = []
    for row in rows:
        first = el("th", _short(row[0]), scope="row", class_=classes[0])
        body.append(el("tr", first, [el("td", _short(v), class_=c) for v, c in zip(row[1:], classes[1:], strict=True)]))
    inner = el("table", el("caption", caption), el("thead", head), el("tbody", body))
    return el("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _short(value: object) -> object:
    """A cell's text, cut where it is longer than anything that belongs into a table."""
    return value[:_LONGEST] + " …" if isinstance(value, str) and not isinstance(value, Markup) and len(value) > _LONGEST else value  # fmt: skip


def capped(shown: int, total: int, what: str) -> Markup | None:
    """The line that says what a table or picture leaves out."""
    return None if shown >= total else el("p", f"First {shown:,} of {total:,} {what}.", class_="capped")


def listed(names: Sequence[str], most: int) -> str:
    """The first names and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def plural(n: int, word: str) -> str:
    """``1 scene``, ``2 scenes``."""
    return f"{n:,} {word}" + ("" if n == 1 else "s")


def percent(share: float) -> str:
    """A share of 1 in percent; 100 % only if nothing is missing, 0 % only if nothing is there."""
    if 0 < share < 0.01:
        return "< 1 %"
    return f"{min(round(share * 100), 99) if share < 1 else 100} %"


def data_size(n: float) -> str:
    """Bytes with a decimal prefix."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if n < 999.5 or unit == "TB":
            break
        n /= 1000
    return f"{n:,.0f} {unit}" if n >= 99.5 or unit == "B" else f"{n:,.1f} {unit}"


def duration(seconds: float) -> str:
    """Seconds, from a minute on minutes, from two hours on hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{int(seconds // 60)} min {seconds % 60:.0f} s" if seconds < 600 else f"{seconds / 60:,.0f} min"
    return f"{seconds / 3600:,.1f} h"


def dollars(usd: float) -> str:
    """US dollars: cents, and below ten cents two digits that count."""
    if usd <= 0:
        return "$0"
    if usd < 0.0001:
        return "< $0.0001"
    return f"${usd:,.2f}" if usd >= 0.1 else f"${usd:.4f}"


def memory(peak_mb: float | None) -> str:
    """Memory in MiB, from 10,000 on in GiB; a dash where nobody knows."""
    if peak_mb is None:
        return "–"
    return f"{peak_mb:,.0f} MiB" if peak_mb < 10_000 else f"{peak_mb / 1024:,.1f} GiB"
