"""Trains land cover models on the sample world and compares them with doing without.

    python examples/landcover_model.py FOLDER

writes a model of trees and one of convolutions with their STAC items into the folder, and prints the accuracy of each on
blocks of ground that it never saw, beside the commonest class everywhere and the same trees on the last month alone.
"""

import json
import sys
import tempfile
from pathlib import Path

from geo_assets.model.mlm_write import write_item
from geo_assets.tasks.predict import ArrayRaster, open_model, predicted
from geo_assets.testing.landcover import Score, majority, make_sample, train_lightgbm, train_torch


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sample = make_sample()
    scores = {"commonest class": majority(sample)}
    with tempfile.TemporaryDirectory() as other:
        last = sample.last_month()
        scores["trees, last month"] = mapped(train_lightgbm(last, Path(other)), Path(other), last)
    scores["trees, twelve months"] = mapped(train_lightgbm(sample, folder), folder, sample)
    scores["convolutions, twelve months"] = mapped(train_torch(sample, folder), folder, sample)
    print(f"{'on blocks not trained on':32}{'accuracy':>10}{'balanced':>10}")
    for name, score in scores.items():
        print(f"{name:32}{score.accuracy:10.3f}{score.balanced:10.3f}")


def mapped(model, folder, sample) -> Score:
    """The score of a model's map, by the way that the platform makes it: from the item."""
    file = folder / f"{Path(model.artifact.href).stem}.json"
    file.write_text(json.dumps(write_item(model), indent=2))
    return Score.of(predicted(open_model(file), ArrayRaster(sample.series)).labels, sample)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
