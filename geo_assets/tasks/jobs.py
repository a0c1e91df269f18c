"""How a task went, written into the receipt of the block that it made: receipts are the record of every run's tasks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from geo_assets.model.receipt import BlockReceipt
from geo_assets.model.task import TaskResult


@dataclass(frozen=True)
class Jobs:
    """The tasks of one partition and run.

    Attributes:
        run_id: The run.
        backend: Compute backend.
        expected_usd: What a block is expected to cost, by row and column, or a layer by its name; none where nobody is billed.
    """

    run_id: str
    backend: str = ""
    expected_usd: Mapping[Any, float] = field(default_factory=dict)

    def noted(self, receipt: BlockReceipt, result: TaskResult) -> BlockReceipt:
        """A block's receipt with how its task went."""
        return receipt.model_copy(
            update={
                "run_id": self.run_id, "backend": self.backend, "place": result.region, "worker": result.worker, "attempts": result.attempts,
                "queued_s": round(result.queued_s, 3), "run_s": round(result.run_s, 3), "billed_s": round(result.billed_s, 3), "start_s": round(result.start_s, 3),
                "usd": round(result.usd, 9), "usd_predicted": round(self.expected_usd.get(receipt.name or (receipt.row, receipt.col), 0.0), 9),
                "peak_mb": result.peak_mb, "ended_at": round(result.ended_at, 3), "kind": result.kind,
            }
        )  # fmt: skip


def money(blocks: Iterable[BlockReceipt], others: Iterable[TaskResult] = ()) -> dict[str, Any]:
    """Figures of a partition: billed seconds and USD of its tasks, as expected and as they were; none where nobody is billed."""
    made, beside = list(blocks), list(others)
    figures = {
        "usd": sum(b.usd for b in made) + sum(r.usd for r in beside),
        "billed_s": sum(b.billed_s for b in made) + sum(r.billed_s for r in beside),
        "usd_predicted": sum(b.usd_predicted for b in made),
    }
    return {name: round(value, 9) for name, value in figures.items()} if any(figures.values()) else {}
