"""What a project's model reads of the cube, and whether that is there."""

from collections.abc import Mapping
from dataclasses import dataclass

import geopandas as gpd

from geo_assets.errors import ConfigError, PartitionError
from geo_assets.model.cell import CellBox
from geo_assets.model.geometry import PixelGrid, Region
from geo_assets.model.mlm import ModelItem
from geo_assets.model.period import Periods
from geo_assets.model.prediction import PredictionRecipe, series
from geo_assets.model.project import Project
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.storage import Storage
from geo_assets.tasks.model_file import read_model
from geo_assets.tasks.predict import windows_of
from geo_assets.tasks.pyramid_partition import read_composite


@dataclass(frozen=True)
class Predictor:
    """A project's model, and what of the cube it reads.

    Attributes:
        model: What its item says.
        recipe: How it is run.
        series: Periods that are read, oldest first, by the period that the prediction is for.
    """

    model: ModelItem
    recipe: PredictionRecipe
    series: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, project: Project, periods: Periods) -> "Predictor | None":
        """That of a project, or None where it has none.

        Raises:
            ConfigError: The item cannot be read, or the model does not fit the cube.
        """
        if project.prediction is None:
            return None
        model = read_model(project.prediction.model)
        windows_of(model, project.prediction.window_px, project.prediction.halo_px)
        for band in model.bands:
            if band.name not in project.cube.bands:
                raise ConfigError(
                    f"prediction.model: {model.item_id} reads the band {band.name!r}, and cube.bands are {', '.join(project.cube.bands)}"
                )
        return cls(model, project.prediction, series(model, project.prediction, periods))

    @property
    def product(self) -> str:
        """Name of the product: in receipts, on the command line and in Dagster."""
        return f"prediction/{self.recipe.label}"

    def refuse_without_periods(self, periods: Periods) -> None:
        """Refuses a model for which the project has no period.

        Raises:
            ConfigError: Says which the model needs.
        """
        if not self.series:
            months = f" of the calendar months {', '.join(map(str, self.model.months))}" if self.model.months else ""
            count = self.recipe.periods if self.model.steps == -1 else self.model.steps
            raise ConfigError(
                f"prediction.model: {self.model.item_id} reads {count} periods in a row{months}, and the project's {len(periods)} from {periods.start} on have none such: choose other months"
            )

    def reach(self, cell: CellBox, grid: PixelGrid) -> tuple[slice, slice]:
        """Rows and columns of the arrays that are read for a cell's map."""
        rows, cols = grid.array_slices(cell.box)
        windows = windows_of(self.model, self.recipe.window_px, self.recipe.halo_px)
        if windows is None:
            return rows, cols
        height, width = grid.array_geobox().shape
        return windows.reach(rows, height), windows.reach(cols, width)


class Composites:
    """Receipts of the composites that predictions are made from, each read once.

    Args:
        storage: Has them.
        cube: Id of the cube that must hold them.
    """

    def __init__(self, storage: Storage, cube: str | None) -> None:
        self._storage, self._cube = storage, cube
        self._known: dict[tuple[str, str], PartitionReceipt | PartitionError] = {}

    def of(self, region: str, month: str, grid: PixelGrid) -> PartitionReceipt:
        """That of a partition.

        Raises:
            PartitionError: There is none, or none that tells what the cube holds.
        """
        key = region, month
        if key not in self._known:
            try:
                self._known[key] = read_composite(self._storage, region, month, grid, cube=self._cube)
            except PartitionError as e:
                self._known[key] = e
        found = self._known[key]
        if isinstance(found, PartitionError):
            raise found
        return found

    def found(self, region: str, month: str, grid: PixelGrid) -> PartitionReceipt | None:
        """That of a partition, or None."""
        try:
            return self.of(region, month, grid)
        except PartitionError:
            return None


def needed_regions(table: gpd.GeoDataFrame, region: str) -> list[str]:
    """Regions of whose composites the maps of a region are made: its own, and those that its cells reach into."""
    group = Region.parse(region).group
    own = table[table["region"] == region]
    found = {region} | {r for regions in own["regions"] for r in regions if Region.parse(r).group == group}
    return sorted(found)
