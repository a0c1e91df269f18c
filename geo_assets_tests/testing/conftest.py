import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geo_assets.testing.world import SampleWorld

EVERYTHING = ("sentinel-2-l2a", "sentinel-1-rtc", "landsat-c2-l2", "dem", "landcover")


@dataclass(frozen=True)
class Written:
    """A world of all sensors on disk."""

    world: SampleWorld
    folder: Path
    items: dict[str, dict[str, dict]]

    def open(self, item: dict, asset: str) -> rasterio.DatasetReader:
        return rasterio.open(self.folder / item["collection"] / item["id"] / item["assets"][asset]["href"])

    def read(self, item: dict, asset: str) -> np.ndarray:
        with self.open(item, asset) as source:
            return source.read(1)


@pytest.fixture(scope="session")
def everything(tmp_path_factory) -> Written:
    """A winter and a summer month of all sensors and of some 20 m bands."""
    bands = ("red", "green", "blue", "nir", "rededge1", "nir08", "swir16")
    world = SampleWorld(
        months=("2024-02", "2024-06"), size_px=(320, 512), overlap_px=64, internal_px=128, days=2, with_broken=False,
        sensors=EVERYTHING, bands=bands,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("everything")
    world.write(folder)
    items: dict[str, dict[str, dict]] = {}
    for path in sorted(folder.glob("*/*/*.json")):
        item = json.loads(path.read_text())
        items.setdefault(item["collection"], {})[item["id"]] = item
    return Written(world, folder, items)
