"""Writes a commented project file."""

import datetime as dt
import os
from collections.abc import Sequence
from pathlib import Path


def write_project(
    path: str | os.PathLike[str],
    *,
    aoi: str | os.PathLike[str] | None = None,
    layer: str | None = None,
    bbox: Sequence[float] | None = None,
    grid: str | None = None,
    months: str | None = None,
    storage: str | None = None,
    compute: str | None = None,
    force: bool = False,
    today: dt.date | None = None,
) -> Path:
    """Write a project file with every option, and check it by loading it."""
    raise NotImplementedError
