"""Single files out of the cube for other programs."""

from pathlib import Path

from geo_assets.project import LoadedProject


def export_cog(
    loaded: LoadedProject,
    out: Path,
    *,
    months: list[str] | None = None,
    regions: list[str] | None = None,
    bands: list[str] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write one Cloud-Optimized GeoTIFF a region and month, and one with the clear days beside it."""
    raise NotImplementedError
