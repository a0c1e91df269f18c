"""What runs of this process have to do with whoever started them: what becomes of tasks, and what runs of one command share."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from geo_assets.errors import GeoAssetsError
from geo_assets.model.compute import Compute as Backend
from geo_assets.model.compute import ComputeRecipe, Engine
from geo_assets.model.task import TaskResult
from geo_assets.registry import load


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
class Shared:
    """What the runs of one command share: workers are started once, and limits hold for all of them.

    Attributes:
        usd: What tasks have cost up to now.
        known: What a run found out and others need not, by name.
    """

    usd: float = 0.0
    known: dict[str, Any] = field(default_factory=dict)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _engine: Engine | None = None
    _of: ComputeRecipe | None = None
    _failed: GeoAssetsError | None = None

    def add(self, usd: float) -> None:
        """So much more was spent."""
        self.usd += usd

    def engine(self, settings: ComputeRecipe) -> Engine:
        """The engine of these settings, started when it is first asked for.

        Raises:
            GeoAssetsError: It cannot be started; it is tried once.
        """
        if self._of != settings:
            self.close()
            self._of = settings
        if self._failed is not None:
            raise self._failed.with_traceback(None)  # else it would grow, and keep what each partition held
        if self._engine is None:
            backend: Backend = load("compute", settings.backend)
            try:
                self._engine = self._stack.enter_context(backend.connect(settings))
            except GeoAssetsError as e:
                self._failed = e
                raise
        return self._engine

    def close(self) -> None:
        """End what was started; what is asked for afterwards is started anew."""
        self._engine = self._of = self._failed = None
        self._stack.close()


_listeners: list[Callable[[News], None]] = []
_shared: list[Shared] = []


@contextlib.contextmanager
def sharing() -> Iterator[Shared]:
    """Have all runs in this process share workers and limits, until this ends."""
    shared = Shared()
    _shared.append(shared)
    try:
        yield shared
    finally:
        _shared.remove(shared)
        shared.close()


def shared() -> Shared | None:
    """What the runs of this process share, if whoever started them wants that."""
    return _shared[-1] if _shared else None


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
