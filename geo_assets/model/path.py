"""Where each product lies below the storage root, and how a name is read back."""

AOIS = "aois"
CUBE = "cube"
FAILURES = "failures"
RECEIPTS = "receipts"
RUNS = "runs"
TILES = "tiles"
CHIPS = "chips"
MODELS = "models"
MODEL_ITEM = "model.json"  # of a model, beside its weights
ALL = "all"  # in place of a month
FOLDERS = (
    AOIS,
    "cells",
    "scenes",
    "ard",
    TILES,
    CHIPS,
    "prediction",
    MODELS,
    RECEIPTS,
    FAILURES,
    "quicklooks",
    RUNS,
)  # of small objects


def aoi(name: str) -> str:
    """Cleaned outline of an area of interest."""
    return f"{AOIS}/{name}.geojson"


def cells(region: str) -> str:
    """Cells of a region."""
    return f"cells/{region}.parquet"


def scenes(sensor: str, region: str, month: str | None = None) -> str:
    """Scenes of a region and period, or of a region for sensors whose scenes have no date."""
    return f"scenes/{sensor}/{region}/{month or ALL}.parquet"


def ard(sensor: str, region: str, month: str | None = None) -> str:
    """Table of the analysis-ready layers of a region and period, or of a region."""
    return f"ard/{sensor}/{region}/{month or ALL}.parquet"


def ard_layer(sensor: str, region: str, month: str | None, cell: str, layer: str) -> str:
    """Files of one analysis-ready layer of a cell, without the ending that says their format."""
    return f"ard/{sensor}/{region}/{month or ALL}/{cell}/{layer}"


def chips(region: str, month: str) -> str:
    """Table of the chips of a region and period."""
    return f"{CHIPS}/{region}/{month}.parquet"


def chip_group(sensor: str, region: str, month: str, layer: str, key: str) -> str:
    """Pixels of the chips of one scene, by the fingerprint of what they are made of, without what each try adds."""
    return f"{CHIPS}/{region}/{month}/{sensor}/{layer}.{key[:12]}"


def tiles(key: str) -> str:
    """Where an object of yearly tiles lies, by its key (``eo.tile_keys``)."""
    return f"{TILES}/{key}"


def model(key: str) -> str:
    """Folder of a trained model, by the fingerprint of its item, which names its weights."""
    return f"{MODELS}/{key}"


def prediction(name: str, region: str, month: str, cell: str) -> str:
    """Files of a cell's map, without the ending that says their format."""
    return f"prediction/{name}/{region}/{month}/{cell}"


def receipts(product: str) -> str:
    """Folder of a product's receipts."""
    return f"{RECEIPTS}/{product}"


def receipt(product: str, region: str, month: str | None = None) -> str:
    """Receipt of one partition."""
    return f"{receipts(product)}/{region}/{month or ALL}.json"


def failures(product: str) -> str:
    """Folder of the notes on what could not be made of a product."""
    return f"{FAILURES}/{product}"


def failure(product: str, region: str, month: str | None = None) -> str:
    """Note on one partition whose last try failed."""
    return f"{failures(product)}/{region}/{month or ALL}.json"


def quicklook(product: str, region: str, month: str) -> str:
    """Small picture of one partition: its whole region."""
    return f"quicklooks/{product}/{region}/{month}.png"


def closeup(product: str, region: str, month: str) -> str:
    """Picture of what is made of one partition, where that is a small area."""
    return f"quicklooks/{product}/{region}/{month}-closeup.png"


def run(run_id: str, name: str) -> str:
    """One file of the report of a run."""
    return f"{RUNS}/{run_id}/{name}"
