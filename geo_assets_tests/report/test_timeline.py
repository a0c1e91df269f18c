from dataclasses import replace

import pytest

from geo_assets.report.drawing import Rect, Text
from geo_assets.report.histogram import histogram
from geo_assets.report.jobs import Job
from geo_assets.report.summary import span
from geo_assets.report.timeline import timeline, tracks, when
from geo_assets_tests.report import made

AT = 1.7e9


def job(start, end, **values):
    base = {"product": "composite", "region": "r", "block": "1,1", "backend": "local", "worker": "w:1"}
    return Job(**(base | {"run_s": end - start, "ended_at": AT + end} | values))


def drawn(jobs):
    (track,) = tracks(jobs)
    return timeline(track, span(jobs))


def bars(drawing):
    return [m for m in drawing.marks if isinstance(m, Rect)]


def words(drawing):
    return [m.text for m in drawing.marks if isinstance(m, Text)]


def test_tracks_when_jobs_ran_in_places_then_apart_and_untimed_ones_are_left_out():
    jobs = [job(0, 1), job(0, 2, place="us"), job(0, 1, place="us", backend="ray"), job(0, 1, ended_at=0.0), job(0, 1, block="")]  # fmt: skip
    assert [(t.title, len(t.jobs)) for t in tracks(jobs)] == [("local", 1), ("us, local", 1), ("us, ray", 1)]


def test_timeline_when_few_jobs_then_a_bar_each_to_scale_in_the_lane_of_its_worker():
    jobs = [job(0, 5), job(5, 10, status="error", kind="error", cause="broke"), job(0, 10, worker="w:2", status="lost", kind="lost")]  # fmt: skip
    drawing = drawn(jobs)
    one, two, three = sorted(bars(drawing), key=lambda b: (b.y, b.x))
    assert (one.y, one.kind, two.y, two.kind, three.kind) == (two.y, "kept", one.y, "bad", "dropped")
    assert three.y > one.y
    assert two.x == pytest.approx(one.x + one.width + 0.8)
    assert three.width == pytest.approx(2 * one.width + 0.8)
    assert three.x + three.width <= drawing.width
    assert "broke" in two.tip
    assert words(drawing)[-2:] == ["w:1", "w:2"]


def test_timeline_when_a_worker_ran_jobs_at_the_same_time_then_they_do_not_cover_each_other():
    drawing = drawn([job(0, 5), job(1, 6), job(5.0005, 9)])
    assert len({b.y for b in bars(drawing)}) == 2
    assert words(drawing).count("w:1") == 1


def test_timeline_when_no_worker_is_named_then_lanes_are_jobs_at_a_time():
    assert "jobs at a time" in words(drawn([job(0, 5, worker=""), job(0, 5, worker="")]))


def test_timeline_when_workers_are_numbered_then_their_lanes_are_in_that_order():
    found = words(drawn([job(0, 1, worker=w) for w in ("host:10", "host:2", "host:1")]))
    assert found[-3:] == ["host:1", "host:2", "host:10"]


def test_timeline_when_jobs_took_no_time_then_still_seen():
    (bar,) = bars(drawn([job(0, 0)]))
    assert bar.width >= 1.5


@pytest.mark.parametrize(("count", "workers"), [(301, 4), (100, 60)])
def test_timeline_when_jobs_or_lanes_are_many_then_how_many_ran_is_drawn(count, workers):
    jobs = made.jobs(count, workers=workers, places=(("", "local"),))
    drawing = drawn(jobs)
    assert 0 < len(bars(drawing)) <= 3 * 180
    assert drawing.height < 200
    assert "jobs at a time" in words(drawing)
    # The bars' area is the time of work
    seconds = sum(j.run_s for j in jobs)
    first, last = span(jobs)
    width = drawing.width - 150 - 16
    high = max(float(w.replace(",", "")) for w in words(drawing) if w.replace(",", "").isdigit())
    area = sum(b.width * b.height for b in bars(drawing)) / width * (last - first) / (150 - 8) * high
    assert area == pytest.approx(seconds, rel=0.02)


def test_timeline_when_places_share_a_run_then_they_share_its_axis():
    jobs = [job(0, 5), job(5, 10, place="us")]
    one, two = (timeline(t, span(jobs)) for t in tracks(jobs))
    assert bars(one)[0].x + bars(one)[0].width + 0.8 == pytest.approx(bars(two)[0].x)


@pytest.mark.parametrize(("end", "wanted"), [(65, "2023-11-14 22:13:20 to 22:14:25 UTC, 1 min 5 s"), (90_000, "2023-11-14 22:13:20 to 2023-11-15 23:13:20 UTC, 25.0 h")])  # fmt: skip
def test_when_a_run_ended_then_start_end_and_length_are_told(end, wanted):
    assert when([job(0, 1), job(0, end)]) == wanted
    assert when([]) == ""


def test_histogram_when_drawn_then_bars_count_all_jobs():
    jobs = [replace(j, run_s=s) for s in (1, 1, 2, 30) for j in [job(0, 1), job(0, 1, status="error", kind="error")]]
    drawing = histogram("Run time", jobs, lambda j: j.run_s)
    tips = [b.tip for b in bars(drawing)]
    assert sum(int(t.split(": ")[1].split()[0]) for t in tips) == len(jobs)
    assert {b.kind for b in bars(drawing)} == {"kept", "bad"}
    assert all(b.x + b.width <= drawing.width for b in bars(drawing))


@pytest.mark.parametrize("seconds", [[0.0], [0.0, 0.0], [1e6], [0.001, 1e5], [*range(1, 100), 1e5]])
def test_histogram_when_times_are_odd_then_nothing_leaves_the_sheet(seconds):
    drawing = histogram("Run time", [job(0, 1, run_s=float(s)) for s in seconds], lambda j: j.run_s)
    assert all(b.y >= 0 and b.x >= 0 and b.x + b.width <= drawing.width for b in bars(drawing))
    assert sum(b.height for b in bars(drawing)) > 0
    assert "jobs" in words(drawing)
