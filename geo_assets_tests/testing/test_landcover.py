"""Models trained on the sample world beat what one gets without: the commonest class, and the last month alone."""

import json

import numpy as np
import pytest

from geo_assets.model.mlm_write import write_item
from geo_assets.tasks.predict import ArrayRaster, open_model, predicted
from geo_assets.testing.landcover import (
    BLOCK_PX,
    GAP_PX,
    MONTHS,
    Score,
    blocked_split,
    majority,
    make_sample,
    train_lightgbm,
    train_torch,
)
from geo_assets.testing.world import SampleWorld
from geo_assets.testing.world_land import LAND_COVER


@pytest.fixture(scope="module")
def sample():
    return make_sample(SampleWorld(months=MONTHS, size_px=(384, 640), days=3, with_broken=False, with_duplicate=False))


def test_land_cover_when_asked_then_each_pixel_has_a_class_that_looks_like_itself():
    world = SampleWorld(size_px=(256, 384))
    cover, nir = world.land_cover(), world.truth("2024-07", "nir")
    assert cover.shape == world.size_px
    assert set(np.unique(cover)) == set(range(1, len(LAND_COVER) + 1))
    median = {name: np.median(nir[cover == code]) for code, name in enumerate(LAND_COVER, 1)}
    assert median["water"] < 0.05 < median["town"] < median["forest"] < median["maize"]
    beyond = world.box.window(-1, -1, 4, 4)
    assert world.land_cover(beyond)[0].tolist() == [0] * 4
    assert (world.land_cover(beyond)[1:, 1:] == cover[:3, :3]).all()


def test_split_when_made_then_training_and_test_pixels_are_further_apart_than_a_field_is_long():
    train, test = blocked_split((640, 1152))
    assert not (train & test).any()
    assert 0.2 < test.sum() / (train | test).sum() < 0.6
    near = np.zeros_like(train)
    rows, cols = np.nonzero(train)
    for step in range(-GAP_PX + 1, GAP_PX):
        near[np.clip(rows + step, 0, 639), cols] = near[rows, np.clip(cols + step, 0, 1151)] = True
    assert not (near & test).any()
    for mask in (train, test):  # whole blocks, less their edges
        inner = mask[GAP_PX // 2 : BLOCK_PX - GAP_PX // 2, GAP_PX // 2 : BLOCK_PX - GAP_PX // 2]
        assert inner.all() or not inner.any()
    assert np.array_equal(blocked_split((640, 1152))[0], train)
    assert not np.array_equal(blocked_split((640, 1152), seed=1)[0], train)


@pytest.mark.heavy
@pytest.mark.parametrize(("package", "train", "few"), [
    ("lightgbm", train_lightgbm, {"rounds": 20, "pixels": 8000}), ("torch", train_torch, {"rounds": 60}),
])  # fmt: skip
def test_model_of_twelve_months_when_mapped_then_it_beats_the_commonest_class_and_the_last_month(
    sample, tmp_path, package, train, few
):
    pytest.importorskip(package, reason=f"{package} is not installed: no model is trained with it")
    common, last, found = (
        majority(sample),
        mapped(train, sample.last_month(), tmp_path, few),
        mapped(train, sample, tmp_path, few),
    )
    assert found.accuracy > 0.85
    assert found.accuracy > last.accuracy + 0.1
    assert found.accuracy > common.accuracy + 0.4
    assert found.balanced > last.balanced + 0.1


def mapped(train, sample, folder, few):
    """The score of a model's map, made from its item as the platform makes it."""
    (folder / "item.json").write_text(json.dumps(write_item(train(sample, folder, **few))))
    return Score.of(predicted(open_model(folder / "item.json"), ArrayRaster(sample.series)).labels, sample)
