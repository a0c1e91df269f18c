"""Seconds that about a million cells take, a grid: ``python -m benchmarks.grids``."""

import time

import shapely

from geo_assets.model.cell import cells_of
from geo_assets.model.recipe import GridRecipe
from geo_assets.registry import load

CASES = (
    ("majortom", {"size_m": 2_560}, (0, 40, 30, 60)),
    ("lonlat", {"step": "0.023"}, (0, 40, 30, 59)),
    ("geohash", {"precision": 5}, (0, 30, 60, 42)),
    ("square", {"size_m": 2_560, "crs": "EPSG:3857"}, (0, 40, 30, 55)),
)


def main() -> None:
    """Print a table."""
    print(f"{'grid':12} {'cells':>10} {'seconds':>8}")
    for kind, settings, box in CASES:
        spec = GridRecipe(kind=kind, **settings)
        began = time.perf_counter()
        cells = cells_of(load("grids", kind), shapely.box(*box), spec)
        print(f"{kind:12} {len(cells):10,} {time.perf_counter() - began:8.1f}", flush=True)


if __name__ == "__main__":
    main()
