"""Texts of LightGBM models: numbers that lead out of a tree or round in circles are refused before LightGBM follows them."""

import re

import numpy as np
import pytest

from geo_assets.errors import ConfigError
from geo_assets.model.mlm import OutputClass, Tensor
from geo_assets.models._trees import rebuilt
from geo_assets.models.lightgbm import PLUGIN
from geo_assets.testing.model_files import item_for, lightgbm_model

lightgbm = pytest.importorskip("lightgbm", reason="lightgbm is not installed: no model of it can be made to test with")


@pytest.fixture(scope="module")
def text():
    return lightgbm_model()[0].decode()


def put(text, name, change):
    """The text with one line of its first tree changed."""
    head, separator, tree = text.partition("Tree=0")
    return head + separator + re.sub(rf"(?m)^{name}=(.*)$", lambda m: f"{name}={change(m[1])}", tree, count=1)


def test_a_sound_model_gives_the_same_to_the_last_bit(text):
    table = np.random.default_rng(1).normal(size=(500, 6))
    table[table > 1.5] = np.nan
    found = lightgbm.Booster(model_str=rebuilt(text, features=6, outputs=4)).predict(table)
    assert np.array_equal(found, lightgbm.Booster(model_str=text).predict(table))


@pytest.mark.parametrize("objective", ["regression", "binary", "multiclassova", "quantile", "rf"])
def test_a_model_of_any_objective_gives_the_same(objective):
    rng = np.random.default_rng(2)
    table = rng.normal(size=(300, 4))
    classes = {"binary": 2, "multiclassova": 3}.get(objective, 0)
    wanted = rng.integers(0, classes, 300) if classes else table @ np.arange(4) + 5
    options = {"objective": "regression" if objective == "rf" else objective, "verbosity": -1, "num_leaves": 5}
    options |= {"num_class": 3} if objective == "multiclassova" else {}
    options |= {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5} if objective == "rf" else {}
    booster = lightgbm.train(options, lightgbm.Dataset(table, wanted), num_boost_round=4)
    text = rebuilt(booster.model_to_string(), features=4, outputs=classes or 1)
    assert np.array_equal(lightgbm.Booster(model_str=text).predict(table), booster.predict(table))


def test_a_tree_of_one_leaf_passes():
    constant = lightgbm.train(
        {"verbosity": -1, "min_data_in_leaf": 50}, lightgbm.Dataset(np.zeros((60, 2)), np.ones(60)), num_boost_round=2
    )
    text = rebuilt(constant.model_to_string(), features=2, outputs=1)
    assert np.allclose(lightgbm.Booster(model_str=text).predict(np.ones((3, 2))), 1)


def test_objectives_that_write_past_their_rows_are_refused(text):
    for wrong in ("multiclass num_class:9", "multiclass", "custom", ""):
        with pytest.raises(ConfigError, match="objective"):
            rebuilt(text.replace("objective=multiclass num_class:4", f"objective={wrong}"), features=6, outputs=4)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("left_child", lambda v: re.sub(r"^\S+", "0", v), "no tree"),
        ("left_child", lambda v: re.sub(r"^\S+", "99999", v), "no tree"),
        ("right_child", lambda v: re.sub(r"\S+$", "-99999", v), "no tree"),
        ("left_child", lambda v: v.rpartition(" ")[0], "values"),
        ("split_feature", lambda v: re.sub(r"^\S+", "6", v), "feature"),
        ("split_feature", lambda v: re.sub(r"^\S+", "-1", v), "feature"),
        ("decision_type", lambda v: re.sub(r"^\S+", "1", v), "feature"),
        ("num_leaves", lambda v: "1000000000", "leaves"),
        ("num_leaves", lambda v: str(int(v) + 1), "values"),
        ("num_cat", lambda v: "1", "categories"),
        ("leaf_value", lambda v: v + " 0", "values"),
        ("threshold", lambda v: re.sub(r"^\S+", "x", v), "no number"),
    ],
)
def test_a_tree_that_cannot_be_followed_is_refused(text, name, change, says):
    with pytest.raises(ConfigError, match=says):
        rebuilt(put(text, name, change), features=6, outputs=4)


def test_another_number_of_features_or_outputs_is_refused(text):
    with pytest.raises(ConfigError, match="6 features"):
        rebuilt(text, features=7, outputs=4)
    with pytest.raises(ConfigError, match="4 values"):
        rebuilt(text, features=6, outputs=3)


def test_two_classes_come_out_as_two_scores():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(300, 6))
    booster = lightgbm.train(
        {"objective": "binary", "verbosity": -1}, lightgbm.Dataset(table, table[:, 0] > 0), num_boost_round=5
    )
    content = booster.model_to_string().encode()
    model = item_for(
        content, "lightgbm", output=Tensor((-1, 2), ("batch", "class")), classes=(OutputClass(0, "no"), OutputClass(1, "yes"))
    )  # fmt: skip
    found = PLUGIN.open(content, model).run(table.reshape(-1, 2, 3).astype(np.float32))
    assert np.allclose(found.sum(1), 1)
    assert ((found[:, 1] > 0.5) == (table[:, 0] > 0)).mean() > 0.9
