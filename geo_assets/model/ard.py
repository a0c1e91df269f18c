"""Analysis-ready scenes: what is asked for, and what of it one worker makes."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, field_validator

from geo_assets.model.cell import CellBox
from geo_assets.model.collection import SensorRecipe
from geo_assets.model.recipe import CatalogRecipe, MaskRecipe, Recipe, ResolutionText, digest
from geo_assets.model.scene import Scene
from geo_assets.model.terrain import TerrainCorrection

Format = Literal["cog", "zarr", "npz", "both"]
PLACING = ("flatten", "denoise", "geoid_m")  # options that count for pixels that heights place


class ArdRecipe(Recipe):
    """Analysis-ready scenes on the cells' grids."""

    sensors: list[str] = Field(default_factory=list, description="sensors; empty: all of the project")
    bands: dict[str, list[str]] = Field(
        default_factory=dict, description="bands by sensor; of one that is left out: its usual ones"
    )
    resolution: ResolutionText | None = Field(
        default=None, description="side of a pixel in units of cube.crs; left out: cube.resolution"
    )
    resampling: Literal["nearest", "bilinear", "cubic", "average"] = Field(
        default="bilinear", description="for bands; classes are always nearest"
    )
    backscatter: Literal["power", "db"] = Field(
        default="power", description="unit of radar bands: linear power, or decibel"
    )
    flatten: Literal["angle", "area"] = Field(
        default="angle",
        description="how the terrain's effect is taken off sentinel-1-grd: by the cosine of the local incidence, with NaN in shadow and layover; or by the area that the radar sees, which is right on steep slopes and takes twice as long",
    )
    denoise: bool = Field(
        default=True,
        description="whether thermal noise is taken off sentinel-1-grd; products of 2014 and 2015 may only be made without",
    )
    geoid_m: float | None = Field(
        default=None,
        ge=-120,
        le=120,
        description="height of the EGM2008 geoid above the WGS 84 ellipsoid in metres, for sentinel-1-grd; left out: as PROJ's grid has it",
    )
    layout: Literal["scenes", "tiles"] = Field(
        default="scenes",
        description="scenes: one file a scene and cell; tiles: the year of each tile as arrays of fixed steps (grid tiles, months.step 12)",
    )
    format: Format = Field(
        default="cog", description="cog: GeoTIFF; zarr: a Zarr group; both of them; or npz, for the layout tiles alone"
    )

    rules: dict[Literal["days", "steps", "radar"], dict[str, bool | int | float | str]] = Field(
        default_factory=dict,
        description="how the days of yearly tiles are chosen, where it is to differ: settings of days and steps (Sentinel-2) and radar (Sentinel-1); docs/how-to/tiles.md lists them",
    )

    @field_validator("bands")
    @classmethod
    def _distinct(cls, bands: dict[str, list[str]]) -> dict[str, list[str]]:
        for sensor, names in bands.items():
            if not names or len(set(names)) != len(names):
                raise ValueError(f"bands of {sensor}: name at least one, and each once")
        return bands


@dataclass(frozen=True)
class ArdTask:
    """Scenes that become one layer of each of some cells: one scene; or all of a sensor whose scenes have no date.

    Attributes:
        name: Of the layer: the scene's id, or ``mosaic``.
        region: Key of the region that owns the cells.
        month: Key of its period; None for what has no date.
        cells: Cells that the scenes may reach.
        scenes: In the order in which they fill a layer.
        sensor: Their sensor, as the project has it.
        bands: Names of the bands to make.
        ard: Recipe.
        mask: Recipe of the mask, as it is for the sensor.
        catalog: Where the scenes came from.
        root: Of the storage.
        reader: Name of the reader plugin.
        terrain: What brings pixels onto a map, where the sensor's do not lie on one.
    """

    name: str
    region: str
    month: str | None
    cells: tuple[CellBox, ...]
    scenes: tuple[Scene, ...]
    sensor: SensorRecipe
    bands: tuple[str, ...]
    ard: ArdRecipe
    mask: MaskRecipe
    catalog: CatalogRecipe
    root: str
    reader: str = "native"
    terrain: TerrainCorrection | None = None

    @property
    def source(self) -> str:
        """The sensor that it reads, by which ``compute.regions`` says where it runs."""
        return self.sensor.sensor


def by_region(ard: ArdRecipe, *, static: bool) -> bool:
    """Whether layers of a sensor have no period: its scenes have no date, and they are no yearly tiles."""
    return static and ard.layout == "scenes"


def ard_settings(
    ard: ArdRecipe,
    sensor: str,
    bands: tuple[str, ...],
    rules: tuple[str, ...] = (),
    *,
    placed: bool = False,
    radar: bool = False,
) -> str:
    """Fingerprint of what the recipe says of one sensor's pixels and files; an option that is added changes none.

    Args:
        ard: The recipe.
        sensor: Name of the sensor.
        bands: Of its layers.
        rules: Those of ``ard.rules`` that it reads.
        placed: Whether its pixels are placed by heights; options for those count for no other sensor.
        radar: Whether one of its bands is backscatter, whose unit counts for no other sensor.
    """
    return digest([ard_values(ard, rules, placed=placed, radar=radar, given=True), sensor, list(bands)])


def ard_values(
    ard: ArdRecipe, rules: tuple[str, ...] = (), *, placed: bool = False, radar: bool = False, given: bool = False
) -> dict[str, Any]:
    """Options that count for a sensor, by their names; see ``ard_settings``.

    Args:
        ard: The recipe.
        rules: Those of ``ard.rules`` that the sensor reads.
        placed: Whether its pixels are placed by heights.
        radar: Whether one of its bands is backscatter.
        given: Leave out options that have their default.
    """
    placing = () if placed else PLACING
    others = {"sensors", "bands", "rules", *placing, *(() if radar else ("backscatter",))}
    said = ard.model_dump(mode="json", exclude=others, exclude_defaults=given)
    if read := {name: dict(of) for name, of in ard.rules.items() if name in rules}:
        said["rules"] = read
    return said
