"""What is told of a yearly tile of radar, and what is judged of it."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from geo_assets.eo.radar_quality import radar_quality
from geo_assets.eo.radar_select import select_radar
from geo_assets.eo.radar_steps import QuarterPixels, year_steps
from geo_assets_tests.report import tiles

TILE = "1035X727Y"


def quality(**changed):
    plan, made = tiles.radar(**changed)
    return radar_quality(TILE, tiles.YEAR, plan, made), plan, made


def test_quality_when_a_quarter_failed_then_its_cause_is_a_fault_and_its_pixels_are_missing():
    found, plan, _ = quality()
    assert found.verdict.faults == ("radar, quarter 3: nodata, since it failed: HTTP 503 of S1A_200, three tries",)
    assert found.observed == (1.0, 1.0, 0.0, 1.0)
    assert found.views == (0.0, 0.0, 0.0, 1.0, 0.0)
    used = sorted(d.day for n, q in enumerate(plan.quarters) if n != 2 for d in q.kept)
    spans = [(b - a).days - 1 for a, b in itertools.pairwise(used)]
    assert found.gap.days == max(spans)
    assert found.gap.first <= tiles.day(200) <= found.gap.last


def test_quality_when_every_quarter_is_there_then_only_the_one_that_is_half_covered_is_doubted():
    found, _, made = quality(failed=())
    assert found.verdict.faults == ()
    assert found.verdict.doubts == ("radar, quarter 4: its best day covers 40 % of the tile",)
    seen = made.pixels[..., 0][made.pixels[..., 0] > 0] / 65_535
    assert found.values["vv"].p50 == pytest.approx(np.median(seen), abs=1e-4)


def test_quality_when_pixels_are_seen_in_no_quarter_then_their_share_is_doubted():
    plan, _ = tiles.radar(failed=())
    pixels = np.full((10, 10, 2), 6_000, np.uint16)
    pixels[:, :1] = 0
    pixels[..., 1] //= 4
    made = year_steps([QuarterPixels(n, pixels) for n in (1, 2, 3, 4)], (10, 10))
    found = radar_quality(TILE, tiles.YEAR, plan, made)
    assert found.views == (0.1, 0.0, 0.0, 0.0, 0.9)
    assert "10 % of its pixels are observed in no quarter" in found.verdict.doubts


def test_quality_when_nothing_was_found_then_it_is_a_fault_and_the_whole_year_is_a_gap():
    plan = select_radar([], tiles.AREA, tiles.YEAR)
    found = radar_quality(TILE, tiles.YEAR, plan, year_steps([], (4, 4)))
    assert found.verdict.faults == ("radar: no quarter has a pixel",)
    assert (found.gap.days, found.views) == (365, (1.0, 0.0, 0.0, 0.0, 0.0))


def test_document_when_written_then_every_day_and_item_is_in_it_with_its_reason():
    plan, made = tiles.radar()
    found = radar_quality(TILE, tiles.YEAR, plan, made)
    document = json.loads(json.dumps(found.document()))
    assert [d["day"] for d in document["days"]] == [str(d.day) for q in plan.quarters for d in q.days]
    assert all(d["reason"] and d["items"] for d in document["days"])
    assert sum(d["kept"] for d in document["days"]) == sum(len(q.kept) for q in plan.quarters)
    assert document["dropped"] == {d.item_id: d.reason for d in plan.dropped}
    assert document["dropped"]
    assert [q["status"] for q in document["quarters"]] == ["ok", "ok", "failed", "ok"]
    assert document["verdict"] == {k: list(v) for k, v in dataclasses.asdict(found.verdict).items()}
