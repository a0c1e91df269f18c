"""How far a run is: a bar on a terminal, plain lines elsewhere, with the rate of tasks, the time left and the cost so far."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from geo_assets.assets.live import News, listening

Told = Callable[[str, int, int], None]
_LINE_S = 30.0  # between two lines about one strip


class _State:
    """What is known of the run.

    Args:
        clock: Seconds of a clock that only goes forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.title, self.done, self.total = "", 0, 0
        self.tasks = self.ended = self.failed = 0
        self._strip_tasks = self._strip_ended = 0
        self._usd = 0.0  # of all strips
        self.dashboard = ""
        self._first: float | None = None

    def told(self, title: str, done: int, total: int) -> None:
        """A strip begins, or all are done."""
        self.title, self.done, self.total = title, done, total
        self._strip_tasks = self._strip_ended = 0

    def heard(self, news: News) -> None:
        """Tasks begin, or one has ended."""
        self._usd = max(self._usd, news.usd)
        self.dashboard = news.dashboard or self.dashboard
        if news.tasks:
            self._first = self._first or self._clock()
            self.tasks, self._strip_tasks = self.tasks + news.tasks, self._strip_tasks + news.tasks
        if news.result is not None and news.result.status != "retry":
            self.ended, self._strip_ended = self.ended + 1, self._strip_ended + 1
            self.failed += news.result.status == "error"

    @property
    def part(self) -> float:
        """Strips that are done, with what is done of this one as far as its tasks are known."""
        begun = self.done < self.total and self._strip_tasks > 0
        return self.done + (min(0.95, self._strip_ended / self._strip_tasks) if begun else 0.0)

    @property
    def figures(self) -> str:
        """Tasks, their rate and the cost, in a few words; "" before there is a task."""
        if not self.tasks or self._first is None:
            return ""
        rate = self.ended / max(1e-3, self._clock() - self._first)
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.ended:,} {'task' if self.ended == 1 else 'tasks'}{failed}, {rate:.3g}/s" + (
            f", ${self._usd:.4f}" if self._usd else ""
        )


@contextlib.contextmanager
def progress(console: Console) -> Iterator[Told]:
    """A function that is told the title of each strip, how many are done and how many there are.

    Nothing is drawn before it is called first, so that questions can be asked.
    """
    state = _State()
    with contextlib.ExitStack() as stack:
        told, heard = (_bar if console.is_terminal else _lines)(console, state, stack)
        stack.enter_context(listening(heard))
        yield told


def _lines(console: Console, state: _State, _: contextlib.ExitStack) -> tuple[Told, Callable[[News], None]]:
    shown = {"title": "", "dashboard": ""}
    last = [0.0]

    def line() -> None:
        figures = f": {state.figures}" if state.figures else ""
        console.print(f"[{state.done}/{state.total}] {state.title}{figures}", markup=False, highlight=False)
        last[0] = time.monotonic()

    def told(title: str, done: int, total: int) -> None:
        state.told(title, done, total)
        if title != shown["title"]:
            shown["title"] = title
            line()

    def heard(news: News) -> None:
        state.heard(news)
        if state.dashboard != shown["dashboard"]:
            shown["dashboard"] = state.dashboard
            console.print(f"dashboard {state.dashboard}", markup=False, highlight=False)
        if time.monotonic() - last[0] > _LINE_S:
            line()

    return told, heard


def _bar(console: Console, state: _State, stack: contextlib.ExitStack) -> tuple[Told, Callable[[News], None]]:
    # What tells where it is gives way; the rest has to be read on 80 columns
    whole, shown = Column(no_wrap=True, min_width=7), Column(ratio=1, no_wrap=True, overflow="ellipsis")
    columns = (
        TextColumn("{task.description}", table_column=shown), BarColumn(bar_width=10), MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[figures]}", table_column=Column(no_wrap=True)), TimeElapsedColumn(table_column=whole),
        TimeRemainingColumn(table_column=whole),
    )  # fmt: skip
    # A console of its own: on one that wraps softly, lines above the bar begin where it ends
    console = Console(file=console.file, force_terminal=True)
    bar = Progress(*columns, console=console, transient=True, expand=True)
    task = bar.add_task("", total=None, figures="")
    started: list[bool] = []

    def draw() -> None:
        bar.update(
            task, description=state.title, completed=state.part, total=state.total or None, figures=state.figures
        )

    def told(title: str, done: int, total: int) -> None:
        if not started:
            started.append(True)
            stack.enter_context(bar)
        state.told(title, done, total)
        draw()

    def heard(news: News) -> None:
        before = state.dashboard
        state.heard(news)
        if state.dashboard != before:
            bar.console.print(f"dashboard {state.dashboard}", markup=False, highlight=False)
        draw()

    return told, heard
