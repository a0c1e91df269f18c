"""Where the real data lie that some tests use; nothing of them is in the repository."""

import os
from pathlib import Path

import pytest


def real_data(*parts: str) -> Path:
    """Path below the folder of real data; skips the test where it is not there."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("GEO_ASSETS_REAL_DATA", default)).joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no real data at {path}: set GEO_ASSETS_REAL_DATA to their folder")
    return path
