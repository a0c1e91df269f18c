import re

import pytest

from geo_assets.report.tile import ROWS, tile_page
from geo_assets_tests.report import tiles
from geo_assets_tests.report.page_of import Page

EVIL = '<script>alert("x")</script>\n=cmd|x <img src=x onerror=1> ' + "日本\u202e\x1b[2J"


def words(found):
    return " ".join(found.text.split())


def test_page_when_a_tile_has_all_then_each_day_is_told_with_its_reason():
    quality = tiles.quality()
    shown = Page(tile_page(quality))
    text = words(shown)
    assert "Tile 1035X727Y, 2023" in text
    assert len(quality.days) == 73
    for row in quality.days:
        assert f"{row.day}" in text
        assert row.reason in text
    assert f"{len(quality.steps)} of 73 candidate days" in text
    assert "HTTP 503 of S1A_200, three tries" in text
    assert f"No step for {quality.gaps.longest.days} days" in text


def test_page_when_days_are_drawn_then_each_has_its_bar():
    quality = tiles.quality(failed=())
    bars = [a["class"] for a in Page(tile_page(quality)).all("rect")]
    radar = sum(len(q.days) for q in quality.quarters)
    line, rest = bars[: len(quality.days) + 1 + radar], bars[len(quality.days) + 1 + radar :]
    assert line.count("kept") == len(quality.steps) + radar
    assert line.count("dropped") == len(quality.days) - len(quality.steps)
    assert line.count("plan") == 1
    assert "bad" not in rest


def test_page_when_all_is_sound_then_it_says_so():
    quality = tiles.quality(with_radar=False)
    assert quality.verdict.faults == ()
    text = words(Page(tile_page(quality)))
    assert ("Sound: nothing speaks against it" in text) is (not quality.verdict.doubts)
    assert "Radar" not in text


def test_page_when_a_quarter_failed_then_the_verdict_is_faulty_and_names_it():
    text = words(Page(tile_page(tiles.quality())))
    assert "Faulty: 1 fault" in text
    assert "radar, quarter 3: nodata, since it failed: HTTP 503" in text


def test_page_when_no_day_is_a_step_then_it_is_shown_all_the_same():
    text = words(Page(tile_page(tiles.empty())))
    assert "no day became a step: the tile has no Sentinel-2 pixel" in text
    assert "100 % of its view is cloudy, more than 50 %" in text
    assert "The tile has no pixels." in text


def test_page_when_texts_are_hostile_then_they_stay_text():
    shown = Page(tile_page(tiles.with_text(tiles.quality(), EVIL)))
    assert not shown.all("script")
    assert not shown.all("img")
    assert "<script" not in shown.source
    assert "\x1b" not in shown.source
    assert "\u202e" not in shown.source
    assert '<script>alert("x")</script>' in shown.text


def test_page_when_texts_are_long_then_they_are_cut():
    assert len(tile_page(tiles.with_text(tiles.quality(), "x" * 20_000))) < 300_000


def test_page_when_there_are_too_many_days_then_it_says_how_many_are_left_out():
    assert f"First {ROWS} of 1,000 days." in words(Page(tile_page(tiles.many(tiles.quality(), 1000))))


@pytest.mark.parametrize("make", [tiles.quality, tiles.empty, lambda: tiles.quality(with_radar=False, every=40)])
def test_page_when_read_then_nothing_is_fetched_and_everything_has_a_name(make):
    shown = Page(tile_page(make()))
    links = [v for _, attrs in shown.tags for k, v in attrs.items() if k in ("src", "href", "srcset", "action", "data")]
    ids = [a["id"] for _, a in shown.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {v[1:] for v in links} <= set(ids)
    assert not re.search(r"url\((?!#)|@import", shown.source)
    assert all(a.get("aria-label") for a in shown.all("svg"))
    assert all(a.get("scope") in ("col", "row") for a in shown.all("th"))


def test_page_when_made_twice_then_it_is_equal():
    assert tile_page(tiles.quality()) == tile_page(tiles.quality())
