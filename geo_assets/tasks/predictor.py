"""What a project's model reads of the cube or of yearly tiles, and whether that is there."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import geopandas as gpd

from geo_assets.eo.tile_months import MONTHS, Form, form_of
from geo_assets.errors import ConfigError, PartitionError
from geo_assets.model.cell import CellBox
from geo_assets.model.geometry import PixelGrid, Region
from geo_assets.model.mlm import ModelItem
from geo_assets.model.period import Periods
from geo_assets.model.prediction import PredictionRecipe, series
from geo_assets.model.project import Project
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.registry import sensor_of
from geo_assets.storage import Storage
from geo_assets.tasks.ard_partition import ard_sensors
from geo_assets.tasks.model_file import read_model
from geo_assets.tasks.predict import windows_of
from geo_assets.tasks.pyramid_partition import read_composite
from geo_assets.tasks.tile import tile_form

_USUAL: Mapping[Form, str] = {"optical": "sentinel-2-l2a", "radar": "sentinel-1-rtc", "terrain": "dem"}


@dataclass(frozen=True)
class Predictor:
    """A project's model, and what it reads.

    Attributes:
        model: What its item says.
        recipe: How it is run.
        series: Periods that are read, oldest first, by the period that the prediction is for.
        sensors: Of whose yearly tiles it reads, by the kind of each; none where it reads the cube.
    """

    model: ModelItem
    recipe: PredictionRecipe
    series: Mapping[str, tuple[str, ...]]
    sensors: Mapping[Form, str] = field(default_factory=dict)

    @classmethod
    def of(cls, project: Project, periods: Periods) -> "Predictor | None":
        """That of a project, or None where it has none.

        Raises:
            ConfigError: The item cannot be read, or the model does not fit the cube or the tiles.
        """
        if project.prediction is None:
            return None
        model = read_model(project.prediction.model)
        windows_of(model, project.prediction.window_px, project.prediction.halo_px)
        if project.prediction.source == "tiles":
            return cls(model, project.prediction, {k: (k,) for k in periods.keys}, _tile_sensors(model, project))
        for band in model.bands:
            if band.name not in project.cube.bands:
                raise ConfigError(
                    f"prediction.model: {model.item_id} reads the band {band.name!r}, and cube.bands are {', '.join(project.cube.bands)}"
                )
        return cls(model, project.prediction, series(model, project.prediction, periods))

    @property
    def of_tiles(self) -> bool:
        """Whether it reads yearly tiles."""
        return self.recipe.source == "tiles"

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


def _tile_sensors(model: ModelItem, project: Project) -> dict[Form, str]:
    """Sensors of whose yearly tiles a model reads.

    Raises:
        ConfigError: The project makes none that have a band, or several that do; or the model reads other months.
    """
    if model.steps not in (-1, MONTHS) or model.months not in ((), tuple(range(1, MONTHS + 1))):
        raise ConfigError(
            f"prediction.model: of yearly tiles a model reads the {MONTHS} months of a year, and {model.item_id} "
            + ("knows no time" if model.input.size("time") is None else f"reads {model.steps} time steps")
            + (f" of the months {', '.join(map(str, model.months))}" if model.months else "")
        )
    made: dict[Form | None, list[str]] = {}
    for name in ard_sensors(project):
        made.setdefault(tile_form(sensor_of(project.sensor(name))), []).append(name)
    found: dict[Form, str] = {}
    for band in model.bands:
        form = form_of(band)
        sensors = made.get(form, [])
        if len(sensors) != 1:
            there = ", ".join(ard_sensors(project))
            raise ConfigError(
                f"prediction.model: {model.item_id} reads the band {band.name!r}, of which yearly tiles are made of "
                + (f"{' and '.join(sensors)}: leave one out of ard.sensors" if sensors else f"none of {there}: add {_USUAL[form]} to sensors and ard.sensors")
            )  # fmt: skip
        found[form] = sensors[0]
    return found


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
