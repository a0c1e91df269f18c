"""What the bodies of one run share: the project with its deployment's resources, and what was loaded so far."""

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import geopandas as gpd

from geo_assets.assets.ports import Catalog, Store
from geo_assets.eo.scenes import read_scenes
from geo_assets.errors import PartitionError, SourceError
from geo_assets.model import path
from geo_assets.model.geometry import PixelGrid, Region
from geo_assets.model.project import Project
from geo_assets.model.sensor import Sensor
from geo_assets.project import LoadedProject
from geo_assets.registry import sensor_of
from geo_assets.storage import Storage
from geo_assets.tasks import areas
from geo_assets.tasks import cells as cell_task
from geo_assets.tasks.cells import BlockPlan, CellTable
from geo_assets.tasks.heights import height_sensor


@dataclass(frozen=True, eq=False)
class Workspace:
    """A project as a deployment runs it."""

    loaded: LoadedProject
    _blocks: dict[str, tuple[BlockPlan, ...]] = field(default_factory=dict, init=False, repr=False)
    _planned: dict[str, tuple[BlockPlan, ...]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, loaded: LoadedProject, *, storage: Store, catalog: Catalog | None = None) -> "Workspace":
        """The project with the deployment's storage and catalog in place of its own."""
        changed = {"storage": storage.storage().root} | ({"catalog": catalog.recipe()} if catalog else {})
        return cls(replace(loaded, project=loaded.project.model_copy(update=changed)))

    @property
    def project(self) -> Project:
        """The recipes."""
        return self.loaded.project

    @functools.cached_property
    def storage(self) -> Storage:
        """Where everything is kept."""
        return self.loaded.storage

    @functools.cached_property
    def cut(self) -> CellTable:
        """Cells of all areas, cut afresh."""
        return cell_task.cut(areas.areas(self.loaded), self.project.grid, self.project.cube)

    def grid(self, region: str) -> PixelGrid:
        """Pixel grid of a region's group."""
        return cell_task.region_grid(region, self.project.cube)

    def cells(self, region: str) -> gpd.GeoDataFrame:
        """Stored cells of a region.

        Raises:
            PartitionError: They were not made yet.
            SourceError: The table is damaged.
        """
        content = self.storage.read(path.cells(region))
        if content is None:
            raise PartitionError(
                f"no cells of region {region} in {self.storage.root}: materialize asset cells for it first"
            )
        with _named(self.storage.uri(path.cells(region))):
            return cell_task.read_cells(content)

    def scenes(self, sensor: str, region: str, month: str | None) -> gpd.GeoDataFrame:
        """Stored scene table of a partition.

        Raises:
            PartitionError: It was not made yet.
            SourceError: It is damaged.
        """
        of = self.scenes_month(sensor, month)
        name = path.scenes(sensor, region, of)
        content = self.storage.read(name)
        if content is None:
            note = self.storage.failure(f"scenes/{sensor}", region, of)
            why = f"its search failed: {note.cause}" if note else f"materialize asset scenes/{sensor} for it first"
            raise PartitionError(f"no scene table of {sensor} for {' '.join(filter(None, (region, of)))}: {why}")
        with _named(self.storage.uri(name)):
            return read_scenes(content)

    def heights(self, sensor: Sensor, region: str) -> gpd.GeoDataFrame | None:
        """Stored scene table of the sensor whose heights place a sensor's pixels; None where they lie on a map.

        Raises:
            PartitionError: It was not made yet.
            SourceError: It is damaged.
        """
        entry = height_sensor(self.project, sensor)
        return None if entry is None else self.scenes(entry.sensor, region, None)

    def scenes_month(self, sensor: str, month: str | None) -> str | None:
        """The month of a sensor's scene table for a month: None where its scenes have no date."""
        return None if sensor_of(self.project.sensor(sensor)).static else month

    def blocks(self, region: str) -> tuple[BlockPlan, ...]:
        """Blocks that the stored cells of a region ask for; computed once a region."""
        if region not in self._blocks:
            self._blocks[region] = tuple(
                cell_task.plan_blocks(self.cells(region), Region.parse(region), self.grid(region))
            )
        return self._blocks[region]

    def planned(self, region: str) -> tuple[BlockPlan, ...]:
        """Blocks that the areas as they are now ask for, whether or not their cells are stored; computed once a region."""
        if region not in self._planned:
            plans = cell_task.plan_blocks(self.cut.of_region(region), Region.parse(region), self.grid(region))
            self._planned[region] = tuple(plans)
        return self._planned[region]


@contextlib.contextmanager
def _named(uri: str) -> Iterator[None]:
    try:
        yield
    except SourceError as e:
        raise SourceError(f"{uri}: {e}") from e
