"""Drawings of rectangles, lines and text: as SVG for pages, and as PNG for whoever shows pictures only."""

import functools
import io
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace

from PIL import Image, ImageDraw, ImageFont

from geo_assets.report.markup import Markup, el, svg

_SCALE = 2  # pixels of a PNG for each unit, as on a fine screen
_PAPER, _INK, _SOFT, _GRID = "#fbfaf6", "#1b231f", "#55605a", "#e0e0d6"
_FILLS = {"kept": "#2a7a5f", "dropped": "#c07a1c", "bad": "#b3372a", "plan": "#a9a1bb"}
_STROKES = {"axis": _SOFT, "grid": _GRID}
_SIZES = {"title": 18.0, "head": 13.0}
_SIZE = 11.0
_DRAWN = "·"  # that the font of pictures has besides ASCII


@dataclass(frozen=True)
class Rect:
    """A bar; ``kind`` is its class, which colours it."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    tip: str = ""


@dataclass(frozen=True)
class Line:
    """A line: axis or grid."""

    x1: float
    y1: float
    x2: float
    y2: float
    kind: str


@dataclass(frozen=True)
class Text:
    """Words on a base line; ``anchor`` is start, middle or end."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    kind: str = ""
    tip: str = ""


Mark = Rect | Line | Text


@dataclass(frozen=True)
class Drawing:
    """Marks on a sheet; y goes down.

    Attributes:
        width: Of the sheet.
        height: Of the sheet.
        label: What a screen reader says.
        marks: The later ones over the earlier ones.
    """

    width: float
    height: float
    label: str
    marks: tuple[Mark, ...]

    def moved(self, dx: float, dy: float) -> tuple[Mark, ...]:
        """The marks in another place."""
        return tuple(_moved(m, dx, dy) for m in self.marks)


def _moved(mark: Mark, dx: float, dy: float) -> Mark:
    if isinstance(mark, Line):
        return replace(mark, x1=mark.x1 + dx, x2=mark.x2 + dx, y1=mark.y1 + dy, y2=mark.y2 + dy)
    return replace(mark, x=mark.x + dx, y=mark.y + dy)


def to_svg(drawing: Drawing, class_: str = "") -> Markup:
    """For a page, whose style colours it."""
    return svg(drawing.width, drawing.height, drawing.label, [_element(m) for m in drawing.marks], class_=class_)


def _element(mark: Mark) -> Markup:
    if isinstance(mark, Line):
        return el("line", x1=_n(mark.x1), y1=_n(mark.y1), x2=_n(mark.x2), y2=_n(mark.y2), class_=mark.kind)
    tip = el("title", mark.tip) if mark.tip else None
    if isinstance(mark, Rect):
        return el("rect", tip, x=_n(mark.x), y=_n(mark.y), width=_n(mark.width), height=_n(mark.height), class_=mark.kind)  # fmt: skip
    anchor = mark.anchor if mark.anchor != "start" else None
    return el("text", tip, mark.text, x=_n(mark.x), y=_n(mark.y), text_anchor=anchor, class_=mark.kind or None)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def to_png(drawing: Drawing, *, scale: float = _SCALE, colours: int | None = None) -> bytes:
    """As a picture on light paper.

    Args:
        drawing: The drawing.
        scale: Pixels of a unit.
        colours: Most colours that are kept; a small picture needs few.
    """
    image = Image.new("RGB", (round(drawing.width * scale), round(drawing.height * scale)), _PAPER)
    canvas = ImageDraw.Draw(image)
    for mark in drawing.marks:
        _paint(canvas, mark, scale)
    shown = image.quantize(colours) if colours else image
    buffer = io.BytesIO()
    shown.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _paint(canvas: ImageDraw.ImageDraw, mark: Mark, scale: float) -> None:
    if isinstance(mark, Line):
        ends = [(mark.x1 * scale, mark.y1 * scale), (mark.x2 * scale, mark.y2 * scale)]
        canvas.line(ends, fill=_STROKES[mark.kind], width=max(1, round(scale)))
    elif isinstance(mark, Rect):
        left, top = round(mark.x * scale), round(mark.y * scale)
        right, bottom = round((mark.x + mark.width) * scale), round((mark.y + mark.height) * scale)
        if bottom > top:
            canvas.rectangle((left, top, max(left, right - 1), bottom - 1), fill=_FILLS[mark.kind])
    else:
        font = _font(_SIZES.get(mark.kind, _SIZE) * scale)
        anchor = {"start": "ls", "middle": "ms", "end": "rs"}[mark.anchor]
        fill = _INK if mark.kind else _SOFT
        canvas.text((mark.x * scale, mark.y * scale), _plain(mark.text), fill=fill, font=font, anchor=anchor)


@functools.cache
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _plain(text: str) -> str:
    """Text in signs that the font of pictures has."""
    parts = unicodedata.normalize("NFKD", text.replace("–", "-"))
    return "".join(c if c.isascii() or c in _DRAWN else "?" for c in parts if not unicodedata.combining(c))


def text_width(text: str, kind: str = "") -> float:
    """Width of words in a picture."""
    return float(_font(_SIZES.get(kind, _SIZE)).getlength(_plain(text)))


def shortened(text: str, most: int) -> str:
    """Text cut in the middle: ends of names tell more than their middles."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def stacked(width: float, label: str, parts: Iterable[tuple[float, float, Drawing]], *, height: float) -> Drawing:
    """Drawings on one sheet, each with the place of its corner."""
    marks = [m for x, y, drawing in parts for m in drawing.moved(x, y)]
    return Drawing(width, height, label, tuple(marks))
