"""What the assets need from outside: the protocols that resources fulfil."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from geo_assets.model.compute import ComputeRecipe
from geo_assets.model.plugin import Cube
from geo_assets.model.recipe import CatalogRecipe
from geo_assets.model.task import TaskResult
from geo_assets.storage import Storage


@runtime_checkable
class Catalog(Protocol):
    """Where scenes are searched."""

    def recipe(self) -> CatalogRecipe:
        """Settings of the catalog plugin."""
        ...


@runtime_checkable
class Store(Protocol):
    """Where everything that is made is kept."""

    def storage(self) -> Storage:
        """Tables, receipts and pictures."""
        ...

    def cube(self, kind: str) -> Cube:
        """The cube, in a store plugin of this kind."""
        ...


@runtime_checkable
class Compute(Protocol):
    """Where tasks run."""

    def recipe(self) -> ComputeRecipe:
        """Settings of the compute plugin."""
        ...

    def dashboard(self) -> str:
        """Address of the backend's own page on what runs, or ""."""
        ...

    def spent_usd(self) -> float:
        """What all tries of tasks have cost up to now."""
        ...

    def map(self, fn: Callable[[Any], Any], tasks: Iterable[Any], *, told: bool = True) -> Iterator[TaskResult]:
        """Run a function on every task; results come as they finish.

        Args:
            fn: Of a module that workers can import.
            tasks: What it is called with.
            told: Whether whoever watches the run is told of them.
        """
        ...
