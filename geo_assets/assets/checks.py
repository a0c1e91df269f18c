"""Asset checks: few and aggregated, since each one that is logged costs 15 ms."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import geopandas as gpd
import pyarrow as pa
import pyarrow.compute as pc

from geo_assets.assets.strip import Check
from geo_assets.eo.quality import judge, pooled
from geo_assets.model.band import Band
from geo_assets.model.receipt import BandFigures, PartitionReceipt
from geo_assets.model.sensor import Sensor
from geo_assets.tasks.cells import BlockPlan

_SHOWN = 50  # findings that the UI shows one by one
PLAUSIBLE = "plausible"
PLAUSIBLE_DESCRIPTION = (
    "Every planned chunk is made; something is observed if there are scenes; reflectances are in range; "
    "the offset was taken off once, judged from the pixels."
)


def plausible(receipt: PartitionReceipt, planned: Iterable[BlockPlan], sensor: Sensor) -> Check:
    """One verdict on a composite partition."""
    made = {(b.row, b.col): {tuple(c) for c in b.chunks} for b in receipt.blocks}
    missing = sum(len(set(p.chunks) - made.get((p.block.row, p.block.col), set())) for p in planned)
    verdict = judge(pooled([b.bands for b in receipt.blocks]), sensor.bands)
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


def plausible_layers(receipt: PartitionReceipt, table: gpd.GeoDataFrame, sensor: Sensor) -> Check:
    """One verdict on a partition of analysis-ready layers, from the table's statistics."""
    bands = {**sensor.bands, **sensor.derived}
    layers = [{n: _stored(bands[n], f) for n, f in row.items() if "p01" in f} for row in table["bands"]]
    verdict = judge(pooled(layers), bands)
    told = [_of_tile(cell, report) for cell, report in zip(table["cell_id"], table["report"], strict=True) if report]
    faults = [*verdict.faults, *(f for one in told for f in one[0])]
    doubts = [*verdict.doubts, *(d for one in told for d in one[1])]
    if receipt.scenes and not len(table):
        doubts.append("there are scenes and no pixel is observed")
    metadata = {
        "observed_share": float(receipt.figures.get("observed_share", 0.0)), "layers": len(table), "faults": _joined(faults),
        "doubts": _joined(doubts),
    }  # fmt: skip
    return Check(PLAUSIBLE, passed=not faults and not doubts, metadata=metadata, warn=not faults)


def plausible_chips(receipt: PartitionReceipt, table: pa.Table | None) -> Check:
    """One verdict on a partition of chips, from its rows."""
    faults, doubts = [], []
    made = {b.name.partition(" ")[2] for b in receipt.blocks if b.status == "ok" and b.observed}
    rows = 0 if table is None else table.num_rows
    if table is not None and rows:
        known = {scene for ids in table["scene_ids"].to_pylist() for scene in ids}
        lost = {b.scene_ids[0] for b in receipt.blocks if b.observed and b.scene_ids} - known
        faults += [f"{scene}: its chips are not in the table" for scene in sorted(lost)]
        for name in (n for n in table.column_names if n.endswith("_fraction")):
            low, high = (pc.min_max(table[name])[k].as_py() for k in ("min", "max"))
            if low is not None and not 0 <= low <= high <= 1:
                faults.append(f"{name} lies between {low:g} and {high:g}")
    elif made:
        faults.append("scenes have chips, and the table has none")
    elif receipt.scenes:
        doubts.append("there are scenes and no chip has enough pixels of them")
    metadata = {
        "chips": rows,
        "clear_fraction": float(receipt.figures.get("clear_fraction", 0.0)),
        "faults": _joined(faults),
        "doubts": _joined(doubts),
    }
    return Check(PLAUSIBLE, passed=not faults and not doubts, metadata=metadata, warn=not faults)


def _joined(lines: Sequence[str]) -> str:
    more = f"; and {len(lines) - _SHOWN:,} more" if len(lines) > _SHOWN else ""
    return "; ".join(lines[:_SHOWN]) + more or "none"


def _of_tile(cell: str, report: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Faults and doubts of a yearly tile, with its name."""
    verdict = report.get("verdict", {})
    faults, doubts = list(verdict.get("faults", ())), list(verdict.get("doubts", ()))
    if not verdict:  # radar: a quarter that is nodata says so
        for quarter in report.get("quarters", ()):
            if quarter["status"] != "ok":
                line = f"quarter {quarter['number']} is nodata: {quarter['cause']}"
                (faults if quarter["status"] == "failed" else doubts).append(line)
    return [f"{cell}: {f}" for f in faults], [f"{cell}: {d}" for d in doubts]


def _stored(band: Band, values: Mapping[str, float]) -> BandFigures:
    """Figures in stored numbers, as those of a composite are."""
    p01, p50, p99 = ((values[name] - band.offset) / band.scale for name in ("p01", "p50", "p99"))
    return BandFigures(p01=p01, p50=p50, p99=p99, floor_share=0.0)
