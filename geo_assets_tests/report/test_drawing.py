import io

import numpy as np
import pytest
from PIL import Image

from geo_assets.report.drawing import Drawing, Line, Rect, Text, shortened, stacked, to_png, to_svg

GREEN = (0x2A, 0x7A, 0x5F)
RECT = Rect(2, 3, 4, 5, "kept", "<tip>")


def pixels(drawing, **options):
    return np.asarray(Image.open(io.BytesIO(to_png(drawing, **options))).convert("RGB"))


def test_svg_when_drawn_then_marks_are_elements_and_text_is_escaped():
    marks = (RECT, Line(0, 1, 2, 3.25, "grid"), Text(1, 2, "<b>", "end", "value", "name"))
    found = to_svg(Drawing(10, 20, "a & b", marks), "chart")
    assert '<rect x="2" y="3" width="4" height="5" class="kept"><title>&lt;tip&gt;</title></rect>' in found
    assert '<line x1="0" y1="1" x2="2" y2="3.2" class="grid"></line>' in found
    assert '<text x="1" y="2" text-anchor="end" class="value"><title>name</title>&lt;b&gt;</text>' in found
    assert 'aria-label="a &amp; b"' in found


def test_png_when_drawn_then_twice_as_fine_and_in_the_same_place():
    found = pixels(Drawing(10, 20, "", (RECT,)))
    assert found.shape == (40, 20, 3)
    rows, cols = np.nonzero((found == GREEN).all(axis=-1))
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (6, 15, 4, 11)


def test_png_when_a_bar_is_thin_then_still_seen_and_an_empty_one_is_not():
    drawing = Drawing(10, 10, "", (Rect(1, 1, 0.01, 3, "bad"), Rect(5, 5, 3, 0, "kept")))
    found = pixels(drawing)
    assert (found == (0xB3, 0x37, 0x2A)).all(axis=-1).any()
    assert not (found == GREEN).all(axis=-1).any()


@pytest.mark.parametrize("anchor", ["start", "middle", "end"])
def test_png_when_text_has_signs_that_no_font_has_then_drawn_all_the_same(anchor):
    found = pixels(Drawing(300, 30, "", (Text(150, 20, "é日…\ud800\n🙂 1–2", anchor),)))
    dark = np.nonzero((found.sum(axis=-1) < 500).any(axis=0))[0]
    low, high = {"start": (300, 600), "middle": (100, 500), "end": (0, 300)}[anchor]
    assert low <= dark.min() < dark.max() <= high


def test_png_when_few_colours_are_asked_for_then_smaller():
    drawing = Drawing(200, 100, "", tuple(Text(5, 10 * i, "words and words") for i in range(10)))
    assert len(to_png(drawing, colours=4)) < len(to_png(drawing))


def test_stacked_when_drawings_are_placed_then_all_marks_are_moved():
    one = Drawing(5, 5, "", (RECT, Line(0, 0, 1, 1, "axis"), Text(1, 1, "a")))
    found = stacked(50, "both", [(10, 20, one)], height=60)
    assert found.marks == (Rect(12, 23, 4, 5, "kept", "<tip>"), Line(10, 20, 11, 21, "axis"), Text(11, 21, "a"))


def test_shortened_when_long_then_both_ends_stay():
    assert shortened("ip-10-0-0-17.us-west-2:4000", 12) == "ip-10…2:4000"
    assert shortened("short", 12) == "short"
