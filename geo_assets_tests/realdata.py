"""Where the real data lie that some tests use; nothing of them is in the repository."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest


def real_data(*parts: str) -> Path:
    """Path below the folder of real data; skips the test where it is not there."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("GEO_ASSETS_REAL_DATA", default)).joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no real data at {path}: set GEO_ASSETS_REAL_DATA to their folder")
    return path


def real_items(name: str) -> list[dict[str, Any]]:
    """STAC items of a real catalog and collection; skips the test where they are not there."""
    with gzip.open(real_data("stac_items", f"{name}.ndjson.gz"), "rt") as lines:
        return [json.loads(line) for line in lines]
