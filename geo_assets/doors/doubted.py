"""Yearly tiles that are faulty or doubtful by their page, from the receipts of their partitions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from geo_assets.doors.status import PartitionState
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.storage import Storage

ARD = "ard/"  # of the names of products
_SHOWN = 5


def doubted_tiles(storage: Storage, receipts: Iterable[PartitionReceipt]) -> list[dict[str, Any]]:
    """Tiles with faults, then those with doubts, each with ``product, region, month, tile, faults, doubts, page``.

    Args:
        storage: Holds the pages.
        receipts: Of partitions of analysis-ready layers; those of older versions tell nothing of it.
    """
    found = [
        {
            "product": receipt.product, "region": receipt.region, "month": receipt.month, "tile": block.name, "faults": block.faults,
            "doubts": block.doubts, "page": storage.uri(block.page) if block.page else "",
        }
        for receipt in receipts
        for block in receipt.blocks
        if block.faults or block.doubts
    ]  # fmt: skip
    return sorted(found, key=lambda tile: not tile["faults"])


def doubted_of(storage: Storage, states: Iterable[PartitionState]) -> list[dict[str, Any]]:
    """The faulty and doubtful ones among the stored tiles of some partitions."""
    layers = [s for s in states if s.product.startswith(ARD) and s.state != "missing"]
    receipts = (storage.sound_receipt(s.product, s.region, s.month) for s in layers)
    return doubted_tiles(storage, filter(None, receipts))


def doubted_lines(tiles: Sequence[Mapping[str, Any]]) -> list[str]:
    """How many tiles are faulty and doubtful, then the first of them with what was found and where it is told."""
    if not tiles:
        return []
    faulty = sum(1 for t in tiles if t["faults"])
    counted = [f"{n} {word}" for n, word in ((faulty, "faulty"), (len(tiles) - faulty, "doubtful")) if n]
    lines = [f"yearly tiles: {', '.join(counted)} by their pages"]
    for t in sorted(tiles, key=lambda tile: not tile["faults"])[:_SHOWN]:
        said = [*t["faults"], *t["doubts"]]
        more = f", and {len(said) - 1} more" if len(said) > 1 else ""
        where = f"; see {t['page']}" if t["page"] else ""
        lines.append(f"{t['product']} {t['month'] or ''} {t['tile']}: {said[0]}{more}{where}")
    return lines + ([f"... and {len(tiles) - _SHOWN} more tiles; --json lists them all"] if len(tiles) > _SHOWN else [])
