"""Draws docs/images/geometry.svg from the real geometry: AOI, cells, chunks, blocks and regions around a place."""

from pathlib import Path

import numpy as np
import shapely

from geo_assets.eo.aoi import Aoi
from geo_assets.model.crs import reproject
from geo_assets.model.geometry import Region
from geo_assets.model.lonlat import densify
from geo_assets.model.recipe import CubeRecipe, GridRecipe
from geo_assets.tasks.cells import cut, plan_blocks, region_grid

CRS, SCALE = "EPSG:32633", 1 / 90  # pixels of the picture a metre
AREA = shapely.Polygon(
    [(14.985, 47.20), (15.16, 47.185), (15.27, 47.235), (15.23, 47.31), (15.08, 47.335), (14.99, 47.28)]
)


def main() -> None:
    """Write the picture."""
    cube, grid = CubeRecipe(), GridRecipe(kind="majortom", size_m=5120)
    table = cut([Aoi("area", shapely.MultiPolygon([AREA]))], grid, cube)
    aoi = reproject(densify(AREA), "EPSG:4326", CRS)
    west, south, east, north = 488_000.0, 5_216_000.0, 542_000.0, 5_252_000.0
    parts = [f'<rect width="{(east - west) * SCALE:.0f}" height="{(north - south) * SCALE:.0f}" fill="#fbfbf8"/>']

    def points(geometry: shapely.Geometry) -> str:
        xy = shapely.get_coordinates(geometry)
        return " ".join(f"{(x - west) * SCALE:.1f},{(north - y) * SCALE:.1f}" for x, y in xy)

    def polygon(geometry: shapely.Geometry, style: str) -> str:
        return f'<polygon points="{points(geometry)}" style="{style}"/>'

    def label(x: float, y: float, text: str, colour: str, size: int = 13) -> str:
        place = f'x="{(x - west) * SCALE:.0f}" y="{(north - y) * SCALE:.0f}"'
        return f'<text {place} fill="{colour}" font-family="sans-serif" font-size="{size}">{text}</text>'

    zone = region_grid(table.regions[0], cube)
    for key in table.regions:
        region = Region.parse(key)
        if region.group != zone.group:
            continue
        for plan in plan_blocks(table.of_region(key), region, zone):
            box = zone.block_geobox(plan.block)
            for row, col in plan.chunks:
                n = zone.chunk_px
                parts.append(
                    polygon(
                        shapely.box(*box.window(row * n, col * n, n, n).bounds),
                        "fill:#cfe6df;stroke:#fff;stroke-width:.6",
                    )
                )
    for geometry in reproject(densify(table.cells.geometry.to_numpy()), "EPSG:4326", CRS):
        parts.append(polygon(geometry, "fill:none;stroke:#2a7f6f;stroke-width:1.3"))
    parts.append(polygon(aoi, "fill:#e8743b33;stroke:#d1581c;stroke-width:2.4"))
    for row in range(254, 257):
        for col in range(23, 27):
            box = zone.block_geobox(type(plan.block)(row, col))
            parts.append(
                polygon(shapely.box(*box.bounds), "fill:none;stroke:#5566aa;stroke-width:1.1;stroke-dasharray:6 4")
            )
            x, y = box.bounds[0] + 500, box.bounds[1] + 600
            if west < x < east - 4_000 and south < y < north:
                parts.append(label(x, y, f"block {row},{col}", "#5566aa", 11))
    for row, col in ((50, 4), (50, 5), (51, 4), (51, 5)):
        region = Region(zone.group, row, col)
        box = zone.region_geobox(region)
        parts.append(polygon(shapely.box(*box.bounds), "fill:none;stroke:#1d2a6b;stroke-width:3"))
        x = np.clip(box.bounds[0] + 700, west + 700, None)
        y = np.clip(box.bounds[3] - 1_500, None, north - 1_500)
        if south < y and x < east - 4_000:
            parts.append(label(float(x), float(y), f"region {region.key}", "#1d2a6b", 15))
    box_top = (north - south - 4_600) * SCALE
    parts.append(
        f'<rect y="{box_top:.0f}" width="{(east - west) * SCALE:.0f}" height="52" fill="#fbfbf8" opacity=".93"/>'
    )
    parts += [
        label(509_200, 5_236_400, "AOI", "#d1581c", 15),
        label(west + 700, south + 3_100, "cells (majortom, 5120 m)", "#2a7f6f"),
        label(west + 700, south + 1_900, "chunks that a cell touches: 256 px, read and computed", "#4a9a88"),
        label(
            west + 700,
            south + 700,
            "blocks: 2048 px, one shard and one task; regions: 5 x 5 blocks, one partition a month",
            "#1d2a6b",
        ),
    ]
    size = f'viewBox="0 0 {(east - west) * SCALE:.0f} {(north - south) * SCALE:.0f}"'
    title = "<title>From an area of interest to cells, chunks, blocks and regions</title>"
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">{title}{"".join(parts)}</svg>\n'
    Path(__file__).with_name("images").joinpath("geometry.svg").write_text(svg)


if __name__ == "__main__":
    main()
