"""Settings that a project gives and that nothing reads, since another setting says so."""

from collections.abc import Iterator

from geo_assets.model.project import Project
from geo_assets.model.recipe import Recipe

# Which of our grids reads an option; those of other packages may read any
_GRID_OPTIONS = {
    "size_m": ("majortom", "majortom-eg", "square"), "overlap": ("majortom", "majortom-eg"), "margin_m": ("majortom",), "crs": ("square",),
    "precision": ("geohash",), "step": ("lonlat",), "path": ("tiles",), "layer": ("tiles",), "id_column": ("tiles", "custom"), "callable": ("custom",),
}  # fmt: skip
# Which of our backends reads an option
_OWN_BACKENDS = {"local", "dask", "lithops", "coiled", "ray", "spark"}
_COMPUTE_OPTIONS = {
    "isolation": {"local"}, "address": {"dask", "ray", "spark"}, "cluster": {"dask"}, "tls_ca": {"dask"}, "tls_cert": {"dask"}, "tls_key": {"dask"},
    "architecture": {"lithops"}, "usd_per_gb_s": {"lithops"}, "usd_per_hour": _OWN_BACKENDS - {"lithops"},
    "region": {"lithops", "coiled"}, "regions": {"lithops", "coiled"}, "config": _OWN_BACKENDS - {"local", "dask"},
}  # fmt: skip
_OWN_GRIDS = {"mgrs"} | {kind for kinds in _GRID_OPTIONS.values() for kind in kinds}


def unused(project: Project) -> list[str]:
    """A line for each setting that differs from its default and changes nothing."""
    return [f"{key} is not used, since {why}" for key, why in _unused(project)]


def _unused(project: Project) -> Iterator[tuple[str, str]]:
    cube, mask, grid = project.cube, project.mask, project.grid
    if cube.statistic != "percentile" and _given(cube, "percentile"):
        yield "cube.percentile", f"cube.statistic is {cube.statistic}"
    if cube.layout != "stacked" and _given(cube, "varname"):
        yield "cube.varname", f"cube.layout is {cube.layout}"
    if mask.kind == "none":
        names = ("preset", "resampling") if mask.preset else ("keep", "close_px", "open_px", "resampling")
        yield from ((f"mask.{name}", "mask.kind is none") for name in names if _given(mask, name))
    yield from _of_compute(project)
    if grid.kind in _OWN_GRIDS:
        for option, kinds in _GRID_OPTIONS.items():
            if grid.kind not in kinds and _given(grid, option):
                yield f"grid.{option}", f"grid.kind is {grid.kind}"


def _of_compute(project: Project) -> Iterator[tuple[str, str]]:
    compute = project.compute
    for option, backends in _COMPUTE_OPTIONS.items():
        if compute.backend in _OWN_BACKENDS - backends and _given(compute, option):
            yield f"compute.{option}", f"compute.backend is {compute.backend}"
    if compute.backend == "local" and compute.isolation == "thread" and _given(compute, "memory_mb"):
        yield "compute.memory_mb", "threads have no limit of their own: set compute.isolation to process"


def _given(recipe: Recipe, name: str) -> bool:
    return bool(
        getattr(recipe, name)
        != type(recipe).model_fields[name].get_default(call_default_factory=True, validated_data={})
    )
