"""Land cover of the sample world, the whole way: scenes, cube, a trained model, maps, and how right they are.

    python examples/landcover_model.py FOLDER [--small]

writes a sample world of a year and a project into the folder, makes the cube, trains a model of trees on the cube's twelve
months, and lets the platform make its maps (`geo-assets predict`). It prints how many pixels are right on blocks of ground
that the model never saw, beside the commonest class everywhere and the same trees on the last month alone. Where torch is
installed, a model of convolutions is trained and mapped too.
"""

import importlib.util
import json
import sys
import tempfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio.merge
import yaml

import geo_assets
from geo_assets.doors.run import run_project
from geo_assets.doors.run_options import RunOptions
from geo_assets.model.mlm_write import write_item
from geo_assets.project import load_project
from geo_assets.tasks.predict import ArrayRaster, open_model, predicted
from geo_assets.testing.landcover import MONTHS, Sample, Score, blocked_split, majority, train_lightgbm, train_torch
from geo_assets.testing.world import SampleWorld
from geo_assets.testing.world_land import BANDS


def main(folder: Path, *, small: bool) -> None:
    size = {"size_px": (384, 640), "days": 3} if small else {}
    world = SampleWorld(months=MONTHS, with_broken=False, with_duplicate=False, **size)
    project = write_project(folder, world)
    made(project, ["composite"])
    sample = from_cube(folder, world)
    scores = {"commonest class everywhere": majority(sample)}
    with tempfile.TemporaryDirectory() as other:
        last = sample.last_month()
        file = written(train_lightgbm(last, Path(other)), Path(other))
        scores["trees, last month alone"] = Score.of(
            predicted(open_model(file), ArrayRaster(last.series)).labels, sample
        )
    models = folder / "models"
    models.mkdir(exist_ok=True)
    scores["trees, twelve months"] = mapped(project, written(train_lightgbm(sample, models), models), sample, world)
    if importlib.util.find_spec("torch"):
        file = written(train_torch(sample, models), models)
        scores["convolutions, twelve months"] = mapped(project, file, sample, world)
    print(f"{'on blocks not trained on':32}{'accuracy':>10}{'balanced':>10}")
    for name, score in scores.items():
        print(f"{name:32}{score.accuracy:10.3f}{score.balanced:10.3f}")


def write_project(folder: Path, world: SampleWorld) -> Path:
    """The sample world and the project file around it."""
    folder.mkdir(parents=True, exist_ok=True)
    world.write(folder / "world")
    (folder / "valley.geojson").write_text(gpd.GeoSeries([world.aoi], crs="EPSG:4326").to_json())
    settings = {
        "name": "land-cover", "aois": {"valley": "valley.geojson"}, "months": {"start": MONTHS[0], "end": MONTHS[-1]},
        "catalog": {"kind": "static", "path": "world/catalog.json"}, "storage": "./data",
        "grid": {"kind": "square", "size_m": 1280, "crs": world.crs}, "cube": {"bands": list(BANDS)},
    }  # fmt: skip
    file = folder / "geo_assets.yaml"
    file.write_text(yaml.safe_dump(settings, sort_keys=False))
    return file


def made(project: Path, products: list[str]) -> None:
    """What `geo-assets run` makes."""
    summary = run_project(load_project(project), RunOptions(products=products))
    if not summary.complete:
        sys.exit(f"{summary.failures[0]}")


def from_cube(folder: Path, world: SampleWorld) -> Sample:
    """The cube's twelve months under the world, and the split into blocks."""
    xs, ys = world.box.centers()
    cube = geo_assets.open(folder / "data").cube().sel(x=xs, y=ys, method="nearest", tolerance=1)
    series = np.stack([cube[b].to_numpy() for b in BANDS], axis=1).astype(np.float32)
    train, test = blocked_split(world.size_px)
    seen = np.isfinite(series).any(axis=(0, 1))
    return Sample(series, world.land_cover(), train & seen, test & seen)


def written(model, folder: Path) -> Path:
    """A model's item, beside its file."""
    file = folder / f"{Path(model.artifact.href).stem}.json"
    file.write_text(json.dumps(write_item(model), indent=2))
    return file


def mapped(project: Path, item: Path, sample: Sample, world: SampleWorld) -> Score:
    """The score of a model's maps, as the platform makes them of the cube."""
    settings = yaml.safe_load(project.read_text())
    settings |= {"products": ["composite", "prediction"], "prediction": {"model": f"models/{item.name}"}}
    project.write_text(yaml.safe_dump(settings, sort_keys=False))
    made(project, ["prediction"])
    table = geo_assets.open(project.parent / "data").predictions(item.stem, MONTHS[-1])
    whole, _ = rasterio.merge.merge(list(table["cog"]), bounds=world.box.bounds, res=10)
    return Score.of(whole[0], sample)


if __name__ == "__main__":
    arguments = [a for a in sys.argv[1:] if a != "--small"]
    if len(arguments) != 1:
        sys.exit(__doc__)
    main(Path(arguments[0]), small="--small" in sys.argv)
