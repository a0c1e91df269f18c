"""What the assets whose tasks run elsewhere share: who runs them, what they may cost, and that workers see the storage."""

import functools
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import dagster as dg

from geo_assets.assets.context import Workspace
from geo_assets.assets.money import Money
from geo_assets.assets.ports import Compute
from geo_assets.errors import SourceError
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.model.task import TaskResult
from geo_assets.tasks.reach import refuse_unreached

_DASHBOARD = "geo_assets/dashboard"


class Workers:
    """The tasks of one run of an asset.

    Args:
        product: The asset's product.
        context: Of the run.
        workspace: The project.
        compute: Where tasks run.

    Attributes:
        workspace: The project.
        money: What they are expected to cost.
        backend: Name of the compute backend.
        remote: Whether its workers may be elsewhere.
        run_id: Of the run.
        dashboard: Address of the backend's own page, once tasks ran and if it has one.
    """

    def __init__(self, product: str, context: dg.AssetExecutionContext, workspace: Workspace, compute: Compute) -> None:
        self._product, self._context, self._compute = product, context, compute
        self.workspace, self.run_id = workspace, context.run.run_id
        self.money, self.backend = Money(workspace, compute), compute.recipe().backend
        self.remote = self.money.capabilities.remote
        self.dashboard = ""
        self._reached = False

    def mapper(self, fn: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[TaskResult]:
        """Runs tasks; the address of the backend's own page stands in the run's tags from then on.

        Raises:
            ConfigError: Workers elsewhere do not see the storage.
        """
        if self.remote and not self._reached:
            ask = functools.partial(self._compute.map, told=False)
            refuse_unreached(self.workspace.storage, ask, backend=self.backend)
            self._reached = True
        results = self._compute.map(fn, tasks)
        if (address := self._compute.dashboard()) and address != self.dashboard:
            self.dashboard = address
            self._context.instance.add_run_tags(self.run_id, {_DASHBOARD: address})
        return results

    def warn(self, region: str, month: str | None, fault: str) -> None:
        """Say that a receipt cannot be used."""
        message = f"{self._product} {' '.join(filter(None, (region, month)))}: {fault}; everything of it is made again"
        self._context.log.warning(message)
        warnings.warn(message, stacklevel=1)

    def say(self, receipt: PartitionReceipt, made: int, reason: str, what: str = "blocks") -> None:
        """A line in the run's log. It costs as much as an event: only for what took work."""
        where = " ".join(filter(None, (self._product, receipt.region, receipt.month)))
        self._context.log.info(f"{where}: {receipt.status}, {made} {what} ({reason})")


def refuse_failed(receipt: PartitionReceipt, what: str = "blocks") -> None:
    """Fails a partition of which tasks failed.

    Raises:
        SourceError: The first one's cause; the good ones are committed.
    """
    if receipt.failures:
        first = receipt.failures[0]
        where = " ".join(filter(None, (receipt.region, receipt.month)))
        label = first.name or f"{first.row},{first.col}"
        raise SourceError(
            f"{where}: {len(receipt.failures)} of {len(receipt.blocks)} {what} failed, the first is {label}: {first.cause}"
        )
