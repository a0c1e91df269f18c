"""Where tasks run: the settings, what a backend can do, and what an engine is, for threads here and for machines elsewhere."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

from pydantic import Field, model_validator

from geo_assets.model.cost import Estimate, Load, Price
from geo_assets.model.recipe import Recipe
from geo_assets.model.task import TaskResult


class _NotYet:
    """See ``NOT_YET``."""


NOT_YET = _NotYet()  # of an iterator of tasks: there is none at the moment, but there may be once another one has ended


class ComputeRecipe(Recipe):
    """Where tasks run."""

    backend: str = Field(default="local", description="compute plugin")
    workers: int = Field(default=2, ge=1, le=4096, description="tasks at a time")
    isolation: Literal["thread", "process"] = Field(
        default="thread", description="for local: threads of one process, or processes that can be ended"
    )
    memory_mb: int | None = Field(default=None, ge=128, description="limit of one worker process, libraries included")
    retries: int = Field(
        default=2, ge=0, le=20, description="further tries of a task after an error that a retry can help"
    )
    timeout_s: float = Field(
        default=3600, gt=0, le=7 * 86_400, description="limit of each try of a task, from its start on the worker"
    )
    max_usd: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="a run that is predicted to cost more is refused, and one that costs more is stopped",
    )
    usd_per_hour: float | None = Field(
        default=None,
        ge=0,
        le=10_000,
        description="what a worker costs an hour, where the backend cannot know: all but lithops",
    )
    usd_per_gb_s: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="for lithops: what a GB-second costs, if it is not the list price of the region",
    )
    architecture: Literal["x86_64", "arm64"] = Field(
        default="x86_64", description="for lithops: processor of the workers"
    )
    region: str | None = Field(default=None, description="for lithops and coiled: cloud region of the workers")
    regions: dict[str, str] = Field(
        default_factory=dict,
        description="for lithops and coiled: cloud region by sensor that a task reads, such as {dem: eu-central-1}; others run in region",
    )
    config: dict[str, Any] = Field(
        default_factory=dict, description="for lithops, coiled, ray and spark: the library's own settings; no secrets"
    )
    backups: bool = Field(
        default=False,
        description="a task that takes far longer than the others is started a second time, and the first answer counts",
    )
    address: str | None = Field(
        default=None, description="for dask, ray and spark: scheduler of a cluster that runs already"
    )
    cluster: str | None = Field(
        default=None,
        description="for dask: package.module:function that makes a cluster, such as one of Coiled or Kubernetes",
    )
    tls_ca: str | None = Field(
        default=None, description="for dask: file of the authority that vouches for the scheduler"
    )
    tls_cert: str | None = Field(default=None, description="for dask: file of our own certificate")
    tls_key: str | None = Field(default=None, description="for dask: file of its key")

    @model_validator(mode="after")
    def _one_cluster(self) -> Self:
        if self.address and self.cluster:
            raise ValueError("address is a cluster that runs already, and cluster makes one: leave one out")
        return self

    def region_of(self, source: str) -> str:
        """Cloud region of a task that reads a sensor, or ""."""
        return self.regions.get(source, self.region or "")


@dataclass(frozen=True)
class Capabilities:
    """What may be expected of a backend.

    Attributes:
        isolated: A task that dies or takes too much memory takes no other one with it, and not the run.
        kills: A task over its time is ended; else it is abandoned, and goes on for itself until it ends.
        limits_memory: A task over ``memory_mb`` is ended.
        remote: Workers may be other machines, so that storage and scenes have to be reachable from there.
        paid: Somebody is billed for the time of tasks.
        payload_mb: The largest task that can be sent; None is any.
        queue_s: Seconds that a task may wait for a place, beside what others ahead of it take.
        overhead_s: Seconds that a task keeps its worker beside its own time, until receipts tell more.
    """

    isolated: bool = False
    kills: bool = False
    limits_memory: bool = False
    remote: bool = False
    paid: bool = False
    payload_mb: float | None = None
    queue_s: float = 0.0
    overhead_s: float = 0.0


class Engine(Protocol):
    """A backend that is ready to run tasks."""

    @property
    def capabilities(self) -> Capabilities:
        """What may be expected of it."""
        ...

    @property
    def dashboard(self) -> str:
        """Address of the backend's own page on what runs, or ""."""
        ...

    def map(
        self, fn: Callable[[Any], Any], tasks: Iterable[Any], *, retries: int | None = None, timeout_s: float | None = None,
        skip_done: Callable[[Any], bool] | None = None, on_event: Callable[[TaskResult], None] | None = None,
        max_failures: int | None = None, ordered: bool = False, window: int | None = None,
    ) -> Iterator[TaskResult]:  # fmt: skip
        """Run a function on every task and yield results as they finish; never raises for a task's own error.

        Closing the iterator starts nothing more and ends what runs, or waits for it where it cannot be ended.

        Args:
            fn: A function of a module, which workers can import.
            tasks: What it is called with, one each; taken as there is room for them. An iterator may give ``NOT_YET``.
            retries: Further tries after an error that a retry can help; None is the recipe's number.
            timeout_s: Limit of each try, from its start on the worker; None is the recipe's.
            skip_done: Whether a task need not be run; its result is ``skipped``.
            on_event: Called with how each try ended; those that are tried again have the status ``retry``.
            max_failures: More than so many errors end it all.
            ordered: Yield in the order of the tasks.
            window: The most tasks that are sent and not answered at a time; None leaves it to the backend.

        Raises:
            ComputeError: More than ``max_failures`` tasks failed, or the backend itself did.
        """
        ...


class Compute(Protocol):
    """A backend, before it is started."""

    def capabilities(self, recipe: ComputeRecipe) -> Capabilities:
        """What may be expected of it with these settings."""
        ...

    def price(self, recipe: ComputeRecipe, region: str) -> Price:
        """What a task costs in a cloud region.

        Raises:
            ConfigError: Nobody knows the price there, and the settings do not say it.
        """
        ...

    def estimate(self, recipe: ComputeRecipe, loads: Sequence[Load]) -> Estimate:
        """Time and money of some loads, before anything is started.

        Raises:
            ConfigError: Nobody knows the price.
        """
        ...

    def connect(self, recipe: ComputeRecipe) -> AbstractContextManager[Engine]:
        """Start it; leaving the context ends all that was started.

        Raises:
            ComputeError: It cannot be reached or started.
            ConfigError: Its settings are wrong.
        """
        ...
