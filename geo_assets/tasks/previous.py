"""The receipt of a composite partition as the next run finds it: what it says counts only where it can be true."""

from dataclasses import dataclass

from geo_assets.model.geometry import PixelGrid, Region
from geo_assets.model.receipt import BlockReceipt, PartitionReceipt
from geo_assets.storage import DamagedError, Storage


@dataclass(frozen=True)
class Previous:
    """What is known of a partition.

    Attributes:
        receipt: Its receipt; None if there is none that can be used.
        fault: What is wrong with the one that is there, or "". What the cube holds is then unknown.
    """

    receipt: PartitionReceipt | None = None
    fault: str = ""


def read_previous(storage: Storage, product: str, region: str, month: str, grid: PixelGrid) -> Previous:
    """The receipt of a partition, unless it is damaged.

    Raises:
        StoreError: The storage cannot be read.
    """
    try:
        receipt = storage.read_receipt(product, region, month)
    except DamagedError as e:
        return Previous(fault=str(e))
    if receipt is None:
        return Previous()
    fault = fault_of(receipt, grid)
    return Previous(fault=f"its receipt is damaged: {fault}") if fault else Previous(receipt)


def fault_of(receipt: PartitionReceipt, grid: PixelGrid) -> str:
    """What a receipt says that cannot be, or ""."""
    region, seen = Region.parse(receipt.region), set()
    for block in receipt.blocks:
        at = f"block {block.row},{block.col}"
        if (block.row // grid.region_blocks, block.col // grid.region_blocks) != (region.row, region.col):
            return f"{at} lies in another region"
        if (block.row, block.col) in seen:
            return f"{at} is listed twice"
        seen.add((block.row, block.col))
        if not _inside(block, grid.block_px // grid.chunk_px):
            return f"{at} lists chunks outside of it"
    return ""


def _inside(block: BlockReceipt, side: int) -> bool:
    return all(max(chunk) < side for chunk in block.chunks) and len({*map(tuple, block.chunks)}) == len(block.chunks)
