"""Products whose work is not sent out as tasks, as functions of one argument that can be: the path of a project file."""

from geo_assets.model.geometry import Region
from geo_assets.project import load_project
from geo_assets.tasks import areas, cells, search


def cut_cells(file: str) -> list[str]:
    """Cut the cells of all regions and store them; returns the data versions."""
    loaded = load_project(file)
    grid = loaded.project.grid
    table = cells.cut(areas.areas(loaded), grid, loaded.project.cube)
    stored = [
        cells.store_cells(loaded.storage, grid, region, table.of_region(region), run_id="worker")
        for region in table.regions
    ]
    return [receipt.data_version for receipt, _ in stored]


def search_scenes(file: str) -> list[str]:
    """Search the scenes of the first region and store them; returns the data versions."""
    loaded = load_project(file)
    project = loaded.project
    region = cells.cut(areas.areas(loaded), project.grid, project.cube).regions[0]
    found = search.search(
        Region.parse(region), cells.region_grid(region, project.cube), list(loaded.periods()), catalog=project.catalog,
        sensor=project.sensor(project.cube.sensor), mask=project.mask,
    )  # fmt: skip
    stored = [
        search.store_scenes(loaded.storage, project, loaded.sensor, region, month, table, run_id="worker")
        for month, table in found.items()
    ]
    return [receipt.data_version for receipt, *_ in stored]
