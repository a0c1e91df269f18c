"""Receipts as Dagster metadata."""

import base64
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg
import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geo_assets.eo.picture import Picture, decode_png, encode_png, shows
from geo_assets.model import path
from geo_assets.model.receipt import Dropped, PartitionReceipt
from geo_assets.model.sensor import Sensor
from geo_assets.model.text import printable
from geo_assets.report.jobs import Job
from geo_assets.report.markup import dollars, duration
from geo_assets.report.plots import small_timeline
from geo_assets.report.summary import Group, by, causes, run_status
from geo_assets.report.timeline import LOCAL
from geo_assets.storage import Storage
from geo_assets.tasks.ard_picture import ard_quicklook

_QUICKLOOK_PX = 192
_QUICKLOOK_COLOURS = 64
_MOST_NOTES = 50
_MOST_IDS = 100
_MOST_CAUSES = 20
_MOST_COSTS = 40
_LONGEST_CELL = 300  # characters


def composite_metadata(
    receipt: PartitionReceipt, storage: Storage, *, skipped: str | None, dashboard: str = ""
) -> dict[str, Any]:
    """What the UI shows of a composite partition."""
    f = receipt.figures
    shown: dict[str, Any] = {"status": receipt.status if skipped is None else f"skipped: {skipped}"}
    if receipt.emptiness:
        shown["note"] = receipt.emptiness
    names = [name(receipt.product, receipt.region, str(receipt.month)) for name in (path.closeup, path.quicklook)]
    pictures = (decode_png(storage.read(name)) for name in names)
    picture = next((p for p in pictures if p is not None), None)
    if picture is not None:
        shown["quicklook"] = dg.MetadataValue.md(inline_png(picture))
    return shown | {
        "scenes": len(receipt.scenes),
        "scenes_dropped": len(receipt.dropped),
        "solar_days": len({s.solar_day for s in receipt.scenes}),
        "observed_share": float(f.get("observed_share", 0.0)),
        "n_clear_mean": float(f.get("n_clear_mean", 0.0)),
        "blocks": len(receipt.blocks),
        "blocks_made": 0 if skipped else int(f.get("blocks_made", 0)),
        "bytes_read": 0 if skipped else int(f.get("bytes_read", 0)),
        "requests": 0 if skipped else int(f.get("requests", 0)),
        "seconds": 0.0 if skipped else receipt.wall_s,
        **({} if skipped else _cost(receipt, dashboard)),
        "recipe_hash": receipt.recipe_hash,
        "scene_hash": receipt.scene_hash,
        "code_version": receipt.code_version,
        "snapshot": receipt.snapshot,
        "item_ids": dg.MetadataValue.json([s.id for s in receipt.scenes[:_MOST_IDS]]),
        "cube": dg.MetadataValue.path(storage.uri(path.CUBE)),
    }


def pyramid_metadata(
    receipt: PartitionReceipt, storage: Storage, *, skipped: str | None, dashboard: str = ""
) -> dict[str, Any]:
    """What the UI shows of a pyramid partition."""
    f = receipt.figures
    shown: dict[str, Any] = {"status": receipt.status if skipped is None else f"skipped: {skipped}"}
    if not any(b.days for b in receipt.blocks):
        shown["note"] = "no scene in this period: the levels are all nodata"
    picture = decode_png(storage.read(path.quicklook(receipt.product, receipt.region, str(receipt.month))))
    if picture is not None:
        shown["quicklook"] = dg.MetadataValue.md(inline_png(picture))
    return shown | {
        "levels": int(f.get("levels", 0)),
        "blocks": len(receipt.blocks),
        "blocks_made": 0 if skipped else int(f.get("blocks_made", 0)),
        "shards": 0 if skipped else int(f.get("shards", 0)),
        "pixels_read": 0 if skipped else int(f.get("pixels_read", 0)),
        "seconds": 0.0 if skipped else receipt.wall_s,
        **({} if skipped else _cost(receipt, dashboard)),
        "composite": str(f.get("composite", "")),
        "code_version": receipt.code_version,
        "snapshot": receipt.snapshot,
        "cube": dg.MetadataValue.path(storage.uri(path.CUBE)),
    }


def ard_metadata(
    receipt: PartitionReceipt, table: gpd.GeoDataFrame, storage: Storage, sensor: Sensor, *, skipped: str | None, dashboard: str = ""
) -> dict[str, Any]:  # fmt: skip
    """What the UI shows of a partition of analysis-ready layers."""
    f = receipt.figures
    shown: dict[str, Any] = {"status": receipt.status if skipped is None else f"skipped: {skipped}"}
    if not len(table):
        shown["note"] = "no scene in this period" if not receipt.scenes else "nothing is clear in its scenes"
    picture = decode_png(storage.read(ard_quicklook(receipt.product, receipt.region, receipt.month)))
    if picture is not None:
        shown["quicklook"] = dg.MetadataValue.md(inline_png(picture))
    values = [
        (b.name, b.unit, *_spread(table, b.name))
        for b in (*sensor.bands.values(), *sensor.derived.values())
        if any(b.name in row for row in table["bands"])
    ]
    return shown | {
        "layers": int(f.get("layers", 0)), "files": len(table), "cells": int(f.get("cells", 0)), "scenes": len(receipt.scenes),
        "scenes_dropped": len(receipt.dropped), "observed_share": float(f.get("observed_share", 0.0)),
        "layers_made": 0 if skipped else int(f.get("blocks_made", 0)), "bytes_read": 0 if skipped else int(f.get("bytes_read", 0)),
        "requests": 0 if skipped else int(f.get("requests", 0)), "seconds": 0.0 if skipped else receipt.wall_s,
        **({} if skipped else _cost(receipt, dashboard)),
        "values": dg.MetadataValue.md(_md_table(("band", "unit", "1 %", "median", "99 %"), values)),
        "recipe_hash": receipt.recipe_hash, "scene_hash": receipt.scene_hash, "code_version": receipt.code_version,
        "item_ids": dg.MetadataValue.json([s.id for s in receipt.scenes[:_MOST_IDS]]),
        "table": dg.MetadataValue.path(storage.uri(path.ard(sensor.name, receipt.region, receipt.month))),
    }  # fmt: skip


def chip_metadata(
    receipt: PartitionReceipt, table: pa.Table | None, storage: Storage, *, skipped: str | None, dashboard: str = ""
) -> dict[str, Any]:
    """What the UI shows of a partition of chips."""
    f = receipt.figures
    shown: dict[str, Any] = {"status": receipt.status if skipped is None else f"skipped: {skipped}"}
    if not f.get("chips"):
        shown["note"] = "no scene in this period" if not receipt.scenes else "no scene has enough pixels in a chip"
    shares = [] if table is None else [n for n in table.column_names if n.endswith("_fraction")]
    rows = [(n.removesuffix("_fraction"), *_quartiles(table, n)) for n in shares]
    return shown | {
        "chips": int(f.get("chips", 0)), "places": int(f.get("places", 0)), "cells": int(f.get("cells", 0)), "scenes": len(receipt.scenes),
        "scenes_dropped": len(receipt.dropped), "observed_share": float(f.get("observed_share", 0.0)), "clear_fraction": float(f.get("clear_fraction", 0.0)),
        "scenes_made": 0 if skipped else int(f.get("blocks_made", 0)), "bytes_read": 0 if skipped else int(f.get("bytes_read", 0)),
        "requests": 0 if skipped else int(f.get("requests", 0)), "seconds": 0.0 if skipped else receipt.wall_s,
        **({} if skipped else _cost(receipt, dashboard)),
        "shares": dg.MetadataValue.md(_md_table(("share of pixels", "25 %", "median", "75 %"), [r for r in rows if r[1]])),
        "recipe_hash": receipt.recipe_hash, "scene_hash": receipt.scene_hash, "code_version": receipt.code_version,
        "item_ids": dg.MetadataValue.json([s.id for s in receipt.scenes[:_MOST_IDS]]),
        "table": dg.MetadataValue.path(storage.uri(path.chips(receipt.region, str(receipt.month)))),
    }  # fmt: skip


def _quartiles(table: pa.Table | None, column: str) -> tuple[str, ...]:
    """Of a column that has values; else empty texts."""
    if table is None or table[column].null_count == table.num_rows:
        return "", "", ""
    return tuple(f"{v:.3g}" for v in pc.quantile(table[column], q=[0.25, 0.5, 0.75]).to_pylist())


def prediction_metadata(
    receipt: PartitionReceipt, storage: Storage, *, skipped: str | None, dashboard: str = ""
) -> dict[str, Any]:
    """What the UI shows of a partition of a prediction."""
    f = receipt.figures
    shown: dict[str, Any] = {"status": receipt.status if skipped is None else f"skipped: {skipped}"}
    if receipt.emptiness:
        shown["note"] = receipt.emptiness
    picture = decode_png(storage.read(path.quicklook(receipt.product, receipt.region, str(receipt.month))))
    if picture is not None:
        shown["quicklook"] = dg.MetadataValue.md(inline_png(picture))
    if classes := f.get("classes"):
        rows = [(str(name), f"{float(share):.1%}") for name, share in classes.items()]
        shown["classes"] = dg.MetadataValue.md(_md_table(("class", "share"), rows))
    return shown | {
        "cells": int(f.get("cells", 0)), "pixels": int(f.get("pixels", 0)), "observed_share": float(f.get("observed_share", 0.0)),
        "blocks": len(receipt.blocks), "blocks_made": 0 if skipped else int(f.get("blocks_made", 0)),
        "seconds": 0.0 if skipped else receipt.wall_s, **({} if skipped else _cost(receipt, dashboard)),
        "model": str(f.get("model", "")), "sha256": str(f.get("sha256", "")), "periods": int(f.get("periods", 0)),
        "recipe_hash": receipt.recipe_hash, "code_version": receipt.code_version, "snapshot": receipt.snapshot,
        "maps": dg.MetadataValue.path(storage.uri(_maps(receipt))), **_notes_of_maps(receipt),
    }  # fmt: skip


def _maps(receipt: PartitionReceipt) -> str:
    """Folder of the maps of a partition."""
    if receipt.figures.get("source") == "tiles":
        return path.tiles(f"{str(receipt.month)[:4]}/tiles")
    return f"{receipt.product}/{receipt.region}/{receipt.month}"


def _notes_of_maps(receipt: PartitionReceipt) -> dict[str, Any]:
    """What lacks of tiles, by tile."""
    rows = [(b.name, note) for b in receipt.blocks for note in b.notes][:_MOST_NOTES]
    return {"notes": dg.MetadataValue.md(_md_table(("tile", "note"), rows))} if rows else {}


def _spread(table: gpd.GeoDataFrame, band: str) -> tuple[str, str, str]:
    """The least 1 %, the median of the medians and the greatest 99 % of a band's layers."""
    rows = [row[band] for row in table["bands"] if "p01" in row.get(band, {})]
    if not rows:
        return "", "", ""
    low, high = min(r["p01"] for r in rows), max(r["p99"] for r in rows)
    return f"{low:.4g}", f"{statistics.median(r['p50'] for r in rows):.4g}", f"{high:.4g}"


def _cost(receipt: PartitionReceipt, dashboard: str) -> dict[str, Any]:
    """Where the tasks ran, and what was expected and paid for them where somebody is billed."""
    f = receipt.figures
    backends = sorted({b.backend for b in receipt.blocks if b.run_id == receipt.run_id and b.backend})
    shown: dict[str, Any] = {"compute": ", ".join(backends)} if backends else {}
    if dashboard:
        shown["dashboard"] = dg.MetadataValue.url(dashboard)
    if f.get("usd") or f.get("usd_predicted"):
        shown |= {"usd_predicted": float(f.get("usd_predicted", 0.0)), "usd_actual": float(f.get("usd", 0.0))}
        shown |= {"billed_seconds": float(f.get("billed_s", 0.0))}
    return shown


def reasons(dropped: Iterable[Dropped]) -> dict[str, str]:
    """Why scenes are not used, by id; a catalog may have several items of one id."""
    found: dict[str, dict[str, None]] = {}
    for one in dropped:
        found.setdefault(one.id, {})[one.reason] = None
    return {scene: "; ".join(why) for scene, why in found.items()}


def inline_png(picture: Picture) -> str:
    """Markdown with a small copy of the picture inside, cut to what is observed."""
    seen = shows(picture)
    if seen.any():
        rows, cols = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        picture = picture[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    times = max(1, _QUICKLOOK_PX // max(picture.shape[:2]))  # a small area, in pixels that can be seen
    picture = picture.repeat(times, 0).repeat(times, 1)
    return _inline("quicklook", encode_png(picture, max_px=_QUICKLOOK_PX, colours=_QUICKLOOK_COLOURS))


def _inline(name: str, png: bytes) -> str:
    return f"![{name}](data:image/png;base64,{base64.b64encode(png).decode()})"


def run_metadata(jobs: Sequence[Job]) -> dict[str, Any]:
    """What the UI shows of the jobs of a run: figures, when they ran, what they cost, and why some failed."""
    group = Group.of(jobs)
    shown: dict[str, Any] = {
        "run_status": run_status(jobs), "jobs": group.jobs, "jobs_failed": group.failed, "work_s": round(group.run_s, 3),
        "usd_predicted": round(group.usd_predicted, 8), "usd_actual": round(group.usd, 8),
    }  # fmt: skip
    picture = small_timeline(jobs)
    if picture is not None:
        shown["time_line"] = dg.MetadataValue.md(_inline("time line: green made, red failed, orange lost", picture))
    if any(j.is_task for j in jobs):
        shown["costs"] = dg.MetadataValue.md(_costs(jobs))
    found = causes(jobs)
    if found:
        rows = [(f"{len(c.jobs):,}", c.first.kind, c.first.cause, c.first.where) for c in found[:_MOST_CAUSES]]
        rows += [(f"{sum(len(c.jobs) for c in found[_MOST_CAUSES:]):,}", "other", "see the run's report", "")] if len(found) > _MOST_CAUSES else []  # fmt: skip
        shown["failures"] = dg.MetadataValue.md(_md_table(("jobs", "kind", "cause", "the first of them"), rows))
    return shown


def _costs(jobs: Sequence[Job]) -> str:
    groups = by((j for j in jobs if j.is_task), lambda j: (j.product, j.place or LOCAL, j.backend or "-"))
    rows = []
    for key, group in list(groups.items())[:_MOST_COSTS]:
        f = Group.of(group)
        figures = f"{f.jobs:,}", duration(f.run_s), duration(f.billed_s), dollars(f.usd_predicted), dollars(f.usd)
        rows.append((*key, *figures))
    return _md_table(("product", "place", "backend", "jobs", "work", "billed", "predicted", "actual"), rows)


def _md_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([_md_cell(v) for v in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _md_cell(text: str) -> str:
    """Text that stays text: in a code span no link, picture or tag of a cause is one."""
    flat = " ".join(printable(text).split()).replace("`", "'").replace("|", "\N{BROKEN BAR}")
    return f"`{flat if len(flat) <= _LONGEST_CELL else flat[:_LONGEST_CELL] + ' …'}`" if flat else ""
