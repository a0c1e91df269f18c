"""The candidates: a module each with ``run(items, target, **options)``, the composites of a target's windows, uint16 (band, y, x).

A module is imported in a fresh process, so that no candidate pays for another's libraries.
"""

from dataclasses import dataclass
from typing import Any

_MERGE_OFF = {"GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "NO"}
_CACHED = {"VSI_CACHE": "TRUE", "VSI_CACHE_SIZE": "100000000", "GDAL_CACHEMAX": 1024}
_REGIONS = {"CPL_VSIL_CURL_CACHE_SIZE": "400000000"}
_CHUNK = {"CPL_VSIL_CURL_CHUNK_SIZE": "524288"}
_THREADS = {"GDAL_NUM_THREADS": "2"}


@dataclass(frozen=True)
class Candidate:
    """One way to make a composite.

    Attributes:
        title: For tables.
        module: Below this package.
        tunings: Settings that ``tune`` tries; the first is used where nothing else was found better.
        when: The targets that it is measured on: all, plain or clean.
        gdal: Whether it is one of those that read with GDAL and are compared as peers.
        made: Whether it makes a composite, whose values are compared.
        differs: Where its values differ from the others' by its own rules, for the page.
        values: ``same`` where they have to agree with the others' nevertheless.
        crs: The only CRS that it is measured on, if there is only one.
    """

    title: str
    module: str
    tunings: tuple[dict[str, Any], ...] = ({},)
    when: str = "all"
    gdal: bool = True
    made: bool = True
    differs: str = ""
    values: str = "same"
    crs: str = ""

    @property
    def path(self) -> str:
        """Name of the module."""
        return f"benchmarks.raster.candidates.{self.module}"


CANDIDATES: dict[str, Candidate] = {
    "ours": Candidate("geo_assets", "ours", gdal=False),
    "odc": Candidate(
        "odc-stac eager + bottleneck", "odc_eager",
        tunings=(
            {"threads": 2, "piece_px": 8192}, {"threads": 2}, {"threads": 1, "piece_px": 8192}, {"threads": 4, "piece_px": 8192}, {"threads": 8, "piece_px": 8192},
            *({"threads": 2, "piece_px": 8192, "gdal": more} for more in (_CACHED, _REGIONS, _CHUNK, _THREADS)),
        ),
    ),
    "odc-dask": Candidate(
        "odc-stac + xarray on dask", "odc_lazy", when="plain",
        tunings=(
            {"chunk_px": 2400, "threads": 2, "gdal": _CACHED}, {"chunk_px": 1200, "threads": 2, "gdal": _CACHED}, {"chunk_px": 600, "threads": 2, "gdal": _CACHED},
            {"chunk_px": 2400, "threads": 2}, {"chunk_px": 2400, "threads": 1, "gdal": _CACHED}, {"chunk_px": 2400, "threads": 4, "gdal": _CACHED},
        ),
    ),
    "rasterio": Candidate(
        "rasterio kept open + bottleneck", "warped",
        tunings=(
            {"threads": 2, "gdal": _CACHED}, {"threads": 1, "gdal": _CACHED}, {"threads": 4, "gdal": _CACHED}, {"threads": 8, "gdal": _CACHED},
            *({"threads": 2, "gdal": more} for more in ({}, _REGIONS, _CHUNK, _THREADS, _MERGE_OFF)), {"threads": 2, "tolerance": 1e-4},
        ),
    ),
    "warpedvrt": Candidate(
        "WarpedVRT + bottleneck", "warped",
        tunings=(
            {"threads": 2, "windows": False, "gdal": _CACHED}, {"threads": 4, "windows": False, "gdal": _CACHED}, {"threads": 2, "windows": False},
            {"threads": 2, "windows": False, "overviews": False},
        ),
    ),
    "stackstac": Candidate(
        "stackstac + xarray", "stackstac_xarray", when="plain",
        tunings=(
            {"chunk_px": 2400, "threads": 2, "overviews": True}, {"chunk_px": 1200, "threads": 2, "overviews": True},
            {"chunk_px": 600, "threads": 2, "overviews": True}, {"chunk_px": 2400, "threads": 1, "overviews": True},
            {"chunk_px": 2400, "threads": 4, "overviews": True}, {"chunk_px": 2400, "threads": 2, "overviews": True, "gdal": {"GDAL_CACHEMAX": 1024}},
        ),
    ),
    "stackstac-full": Candidate(
        "stackstac + xarray, as it comes", "stackstac_xarray", when="plain", crs="EPSG:4326", gdal=False, values="other",
        tunings=({"chunk_px": 1200, "threads": 2, "overviews": False},), differs="it reads full resolution, which is another kernel and more to inflate",
    ),
    "earlier": Candidate(
        "the earlier cube's method", "earlier_cube", when="clean",
        tunings=({"chunk_px": 600, "threads": 2}, {"chunk_px": 600, "threads": 4}, {"chunk_px": 600, "threads": 2, "gdal": _CACHED}),
        differs="in chunks of 600 pixels, as it ran; its clean-up sees 5 pixels beyond a chunk, and needs 20",
    ),
    "earlier-tuned": Candidate(
        "the earlier cube's method in larger chunks", "earlier_cube", when="clean",
        tunings=(
            {"chunk_px": 2400, "threads": 2}, {"chunk_px": 1200, "threads": 2}, {"chunk_px": 2400, "threads": 4}, {"chunk_px": 2400, "threads": 2, "gdal": _CACHED},
        ),
    ),
    "inflate": Candidate(
        "inflating alone (libdeflate)", "inflate", when="plain", gdal=False, made=False, tunings=({"library": "libdeflate"},)
    ),
    "inflate-isal": Candidate(
        "inflating alone (ISA-L)", "inflate", when="plain", gdal=False, made=False, tunings=({"library": "isal"},)
    ),
}  # fmt: skip

CHIPS: dict[str, Candidate] = {
    "ours": Candidate("geo_assets", "ours", gdal=False),
    "odc": Candidate("odc-stac, a load a chip", "odc_eager", tunings=({"threads": 1}, {"threads": 2}, {"threads": 4}, {"threads": 1, "gdal": _CACHED})),
    "stackstac": Candidate("stackstac, a stack a chip", "stackstac_xarray", tunings=({"threads": 1}, {"threads": 2}, {"threads": 4}, {"threads": 1, "gdal": {"GDAL_CACHEMAX": 1024}})),
    "opened": Candidate(
        "rasterio opened a chip", "warped",
        tunings=({"keep_open": False, "threads": 2}, {"keep_open": False, "threads": 4}, {"keep_open": False, "threads": 2, "gdal": _CACHED}),
    ),
    "rasterio": Candidate(
        "rasterio kept open", "warped",
        tunings=(
            {"threads": 2}, {"threads": 1}, {"threads": 4}, {"threads": 12}, {"threads": 2, "gdal": _CACHED}, {"threads": 2, "gdal": _CHUNK}, {"threads": 2, "gdal": _MERGE_OFF},
        ),
    ),
    "inflate": Candidate(
        "inflating alone (libdeflate)", "inflate", gdal=False, made=False, tunings=({"library": "libdeflate"},)
    ),
}  # fmt: skip
