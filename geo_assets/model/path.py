"""Where each product lies below the storage root, and how a name is read back."""

AOIS = "aois"
CUBE = "cube"
FAILURES = "failures"
RECEIPTS = "receipts"
RUNS = "runs"
FOLDERS = (AOIS, "cells", "scenes", RECEIPTS, FAILURES, "quicklooks", RUNS)  # of small objects


def aoi(name: str) -> str:
    """Cleaned outline of an area of interest."""
    return f"{AOIS}/{name}.geojson"


def cells(region: str) -> str:
    """Cells of a region."""
    return f"cells/{region}.parquet"


def scenes(sensor: str, region: str, month: str) -> str:
    """Scenes of a region and period."""
    return f"scenes/{sensor}/{region}/{month}.parquet"


def receipts(product: str) -> str:
    """Folder of a product's receipts."""
    return f"{RECEIPTS}/{product}"


def receipt(product: str, region: str, month: str | None = None) -> str:
    """Receipt of one partition."""
    return f"{receipts(product)}/{region}/{month or 'all'}.json"


def failures(product: str) -> str:
    """Folder of the notes on what could not be made of a product."""
    return f"{FAILURES}/{product}"


def failure(product: str, region: str, month: str | None = None) -> str:
    """Note on one partition whose last try failed."""
    return f"{failures(product)}/{region}/{month or 'all'}.json"


def quicklook(product: str, region: str, month: str) -> str:
    """Small picture of one partition: its whole region."""
    return f"quicklooks/{product}/{region}/{month}.png"


def closeup(product: str, region: str, month: str) -> str:
    """Picture of what is made of one partition, where that is a small area."""
    return f"quicklooks/{product}/{region}/{month}-closeup.png"


def run(run_id: str, name: str) -> str:
    """One file of the report of a run."""
    return f"{RUNS}/{run_id}/{name}"
