"""What becomes of tasks while a run goes on, told to whoever started it in this process."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from geo_assets.model.task import TaskResult


@dataclass(frozen=True)
class News:
    """One thing that happened.

    Attributes:
        tasks: So many tasks begin, if it is not about one.
        result: How a try ended.
        usd: What the run has cost up to now.
        dashboard: Address of the backend's own page, if it has one.
    """

    tasks: int = 0
    result: TaskResult | None = None
    usd: float = 0.0
    dashboard: str = ""


@dataclass
class Spent:
    """What tasks have cost.

    Attributes:
        usd: Up to now.
    """

    usd: float = 0.0

    def add(self, usd: float) -> None:
        """So much more was spent."""
        self.usd += usd


_listeners: list[Callable[[News], None]] = []
_spent: list[Spent] = []


@contextlib.contextmanager
def spending() -> Iterator[Spent]:
    """Have all runs in this process count into one sum, so that a limit holds for all of them."""
    sum_ = Spent()
    _spent.append(sum_)
    try:
        yield sum_
    finally:
        _spent.remove(sum_)


def spent() -> Spent:
    """Where what tasks cost is counted: the sum of whoever started the run in this process, else one of its own."""
    return _spent[-1] if _spent else Spent()


@contextlib.contextmanager
def listening(listener: Callable[[News], None]) -> Iterator[None]:
    """Tell a function all news of runs in this process."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def tell(news: News) -> None:
    """Something happened."""
    for listener in list(_listeners):
        listener(news)
