import io
import re

import pytest
from rich.console import Console

from geo_assets.assets.live import News, tell
from geo_assets.doors.progress import _State, progress
from geo_assets.model.task import TaskResult


def ended(status: str = "ok", usd: float = 0.0) -> News:
    return News(result=TaskResult(0, status, usd=usd), usd=usd)


def test_state_when_tasks_end_then_rate_failures_and_cost_are_told():
    now = [100.0]
    state = _State(clock=lambda: now[0])
    assert state.figures == ""
    state.told("composite a", 0, 2)
    state.heard(News(tasks=8))
    now[0] = 102.0
    for news in (ended("ok", 0.01), ended("retry", 0.02), ended("error", 0.03), ended("ok", 0.04)):
        state.heard(news)
    assert state.figures == "3 tasks, 1 failed, 1.5/s, $0.0400"
    assert state.part == pytest.approx(3 / 8)


def test_state_when_a_second_strip_begins_then_the_cost_of_the_first_stays():
    state = _State(clock=lambda: 1.0)
    for usd in (0.5, 0.75):  # what a run cost is counted on in the next
        state.told("s", 0, 2)
        state.heard(News(tasks=1))
        state.heard(ended("ok", usd))
    assert state.figures.endswith("$0.7500")


def test_progress_when_there_is_no_terminal_then_it_is_plain_lines():
    said = io.StringIO()
    with progress(Console(file=said, width=200)) as told:
        told("composite a", 0, 2)
        tell(News(tasks=1, dashboard="http://127.0.0.1:1/status"))
        tell(ended())
        told("composite b", 1, 2)
        told("done", 2, 2)
    assert said.getvalue().splitlines()[:2] == ["[0/2] composite a", "dashboard http://127.0.0.1:1/status"]
    assert said.getvalue().splitlines()[2].startswith("[1/2] composite b: 1 task, ")
    tell(ended())  # nobody listens any more
    assert len(said.getvalue().splitlines()) == 4


def test_progress_when_there_is_a_terminal_then_nothing_is_drawn_before_the_first_strip():
    said = io.StringIO()
    with progress(Console(file=said, force_terminal=True, width=200)) as told:
        assert said.getvalue() == ""
        told("composite a", 0, 2)
        tell(News(tasks=4))
        tell(ended())
    assert "composite a" in said.getvalue()


def test_progress_when_the_terminal_is_narrow_then_times_and_figures_are_whole(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    said = io.StringIO()
    with progress(Console(file=said, force_terminal=True, soft_wrap=True)) as told:
        told("composite utm33n_r340_c33 2024-05 to 2024-07", 0, 2)
        tell(News(tasks=4, dashboard="http://127.0.0.1:1/status"))
        tell(ended(usd=0.25))
    lines = [
        re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", one).rstrip() for one in re.split(r"[\r\n]+|\x1b\[2K", said.getvalue())
    ]
    assert "dashboard http://127.0.0.1:1/status" in lines
    assert any(
        re.fullmatch(r"composite utm\S*… .* 0/2 1 task, \S+/s, \$0\.2500 0:00:0\d (-:--:--|0:00:\d\d)", one)
        for one in lines
    )
    assert max(map(len, lines)) <= 80
