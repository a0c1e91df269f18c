"""Asset checks: few and aggregated, since each one that is logged costs 15 ms."""

from collections.abc import Iterable

from geo_assets.assets.strip import Check
from geo_assets.eo.quality import judge, pooled
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.tasks.cells import BlockPlan

PLAUSIBLE = "plausible"
PLAUSIBLE_DESCRIPTION = (
    "Every planned chunk is made; something is observed if there are scenes; reflectances are in range; "
    "the offset was taken off once, judged from the pixels."
)


def plausible(receipt: PartitionReceipt, planned: Iterable[BlockPlan]) -> Check:
    """One verdict on a composite partition."""
    made = {(b.row, b.col): {tuple(c) for c in b.chunks} for b in receipt.blocks}
    missing = sum(len(set(p.chunks) - made.get((p.block.row, p.block.col), set())) for p in planned)
    verdict = judge(pooled([b.bands for b in receipt.blocks]))
    observed = float(receipt.figures.get("observed_share", 0.0))
    faults = list(verdict.faults) + ([f"{missing} planned chunks are not made"] if missing else [])
    doubts = list(verdict.doubts) + (
        ["there are scenes and no pixel is observed"] if receipt.scenes and not observed else []
    )
    metadata = {
        "observed_share": observed, "chunks_missing": missing,
        "faults": "; ".join(faults) or "none", "doubts": "; ".join(doubts) or "none",
    }  # fmt: skip
    return Check(PLAUSIBLE, passed=not faults and not doubts, metadata=metadata, warn=not faults)
