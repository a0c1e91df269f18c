import dataclasses
import re

import pytest

from geo_assets.eo.radar_quality import radar_quality
from geo_assets.eo.radar_select import PassDropped, select_radar
from geo_assets.eo.radar_steps import year_steps
from geo_assets.report.radar_tile import quality_page, radar_page
from geo_assets.report.tile import tile_page
from geo_assets_tests.report import tiles
from geo_assets_tests.report.page_of import Page

EVIL = '<script>alert("x")</script>\n=cmd|x <img src=x onerror=1> ' + "日本\u202e\x1b[2J"


def quality(failed=(3,)):
    return radar_quality("1035X727Y", tiles.YEAR, *tiles.radar(failed))


def empty():
    return radar_quality("1X2Y", tiles.YEAR, select_radar([], tiles.AREA, tiles.YEAR), year_steps([], (4, 4)))


def hostile():
    found = quality()
    plans = tuple(
        dataclasses.replace(p, days=tuple(dataclasses.replace(d, reason=EVIL, items=(EVIL,) * 5) for d in p.days))
        for p in found.plans
    )
    quarters = tuple(dataclasses.replace(q, state=dataclasses.replace(q.state, cause=EVIL)) for q in found.quarters)
    verdict = dataclasses.replace(found.verdict, faults=(EVIL,), doubts=(EVIL,))
    values = {f"{EVIL}{n}": v for n, v in enumerate(found.values.values())}
    return dataclasses.replace(
        found, tile=EVIL, orbit=EVIL, plans=plans, quarters=quarters, verdict=verdict, values=values, dropped=(PassDropped(EVIL, EVIL),)
    )  # fmt: skip


def words(found):
    return " ".join(found.text.split())


def test_page_when_a_tile_has_all_then_each_day_is_told_with_its_reason():
    found = quality()
    text = words(Page(radar_page(found)))
    assert "Tile 1035X727Y, radar, 2023" in text
    assert "Faulty: 1 fault, 1 doubt" in text
    assert "HTTP 503 of S1A_200, three tries" in text
    for plan in found.plans:
        assert f"{plan.first} to {plan.last}" in text
        for day in plan.days:
            assert f"{day.day}" in text
            assert day.reason in text
    for one in found.dropped:
        assert f"{one.item_id} {one.reason}" in text
    assert f"No day is used for {found.gap.days} days" in text
    assert "3 quarters 100 %" in text


def test_page_when_values_are_shown_then_they_are_decibels():
    text = words(Page(radar_page(quality())))
    assert "-8.6, -15.6 dB of VV, VH" in text
    assert re.search(r"vv 75 % -18\.7 -14\.8 -8\.6 -4\.2 -2\.7 0\.1376", text)


def test_page_when_days_are_drawn_then_each_has_its_bar_and_a_failed_quarter_is_one():
    found = quality()
    bars = [a["class"] for a in Page(radar_page(found)).all("rect")]
    days = [d for p in found.plans for d in p.days]
    used = sum(len(q.days) for q in found.quarters if q.state.status == "ok")
    values = len(found.values)
    assert bars.count("kept") == used + values
    assert bars.count("dropped") == sum(not d.kept for d in days) + values
    assert (bars.count("bad"), bars.count("plan")) == (1, 1)


def test_page_when_nothing_was_found_then_it_is_shown_all_the_same():
    text = words(Page(radar_page(empty())))
    assert "radar: no quarter has a pixel" in text
    assert "No day was found." in text
    assert "0 of 4 hold pixels" in text


def test_page_when_texts_are_hostile_then_they_stay_text():
    shown = Page(radar_page(hostile()))
    assert not shown.all("script")
    assert not shown.all("img")
    assert "\x1b" not in shown.source
    assert "\u202e" not in shown.source
    assert '<script>alert("x")</script>' in shown.text


@pytest.mark.parametrize("make", [quality, empty, hostile])
def test_page_when_read_then_nothing_is_fetched_and_everything_has_a_name(make):
    shown = Page(radar_page(make()))
    links = [v for _, attrs in shown.tags for k, v in attrs.items() if k in ("src", "href", "srcset", "action", "data")]
    ids = [a["id"] for _, a in shown.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {v[1:] for v in links} <= set(ids)
    assert all(a.get("aria-label") for a in shown.all("svg"))
    assert all(a.get("scope") in ("col", "row") for a in shown.all("th"))


def test_page_when_it_is_of_another_sensor_then_it_is_that_sensors():
    assert quality_page(tiles.quality()) == tile_page(tiles.quality())
    assert quality_page(quality()) == radar_page(quality())
