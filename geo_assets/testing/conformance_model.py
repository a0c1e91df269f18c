"""What every runtime of models has to do: a test class that any package can run on its own plugin, offline."""
# ruff: noqa: D102 - the name of a test says what it checks

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from geo_assets import registry
from geo_assets.errors import ConfigError
from geo_assets.model.mlm import ModelItem
from geo_assets.model.plugin import ModelRuntime

HEAVY = ("torch", "onnx", "onnxruntime", "lightgbm", "tensorflow", "jax")


class Canary:
    """An object whose pickle makes a file when it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.file}",)  # what is tested is that this never runs


def batch_for(model: ModelItem, count: int, seed: int = 0) -> npt.NDArray[Any]:
    """Random examples for a model whose first dimension is the batch."""
    shape = (count, *(8 if n == -1 else n for n in model.input.shape[1:]))
    return np.random.default_rng(seed).normal(size=shape).astype(model.input.dtype)


class ModelConformance:
    """Subclass it with the fixtures ``name``, that of the plugin, and ``made``: the bytes of a small model, and its item."""

    @pytest.fixture
    def plugin(self, name: str) -> ModelRuntime:
        runtime: ModelRuntime = registry.load("models", name)
        return runtime

    def test_results_have_the_shape_that_the_item_says(
        self, plugin: ModelRuntime, made: tuple[bytes, ModelItem]
    ) -> None:
        content, model = made
        session = plugin.open(content, model)
        for count in (1, 3):
            found = session.run(batch_for(model, count))
            assert found.shape[0] == count
            assert model.output.fits(found.shape)
            assert found.dtype == np.dtype(model.output.dtype)
            assert np.isfinite(found).all()

    def test_a_batch_gives_what_its_examples_give_one_by_one_and_the_same_twice(
        self, plugin: ModelRuntime, made: tuple[bytes, ModelItem]
    ) -> None:
        content, model = made
        batch, session = batch_for(model, 7), plugin.open(content, model, threads=1)
        found = session.run(batch)
        assert np.array_equal(found, plugin.open(content, model, threads=1).run(batch))
        single = np.concatenate([session.run(batch[n : n + 1]) for n in range(len(batch))])
        assert np.abs(found - single).max() <= 1e-5
        assert np.ptp(found) > 0

    def test_a_batch_of_another_shape_is_refused(self, plugin: ModelRuntime, made: tuple[bytes, ModelItem]) -> None:
        content, model = made
        batch = batch_for(model, 2)
        with pytest.raises(ConfigError, match=model.item_id):
            plugin.open(content, model).run(batch[:, :, :-1])

    @pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.99])
    def test_a_truncated_file_never_gives_other_results(
        self, plugin: ModelRuntime, made: tuple[bytes, ModelItem], share: float, capfd: pytest.CaptureFixture[str]
    ) -> None:
        # Where what is lost is nothing that the results need, they may come out as well
        content, model = made
        batch = batch_for(model, 1)
        try:
            found = plugin.open(content[: int(len(content) * share)], model).run(batch)
        except ConfigError:
            assert capfd.readouterr().out == ""  # where commands print their JSON
            return
        assert share > 0.9
        assert np.array_equal(found, plugin.open(content, model).run(batch))

    def test_a_pickle_is_refused_and_never_read(
        self, plugin: ModelRuntime, made: tuple[bytes, ModelItem], tmp_path: Path
    ) -> None:
        for protocol in (0, 2, 4, 5):
            with pytest.raises(ConfigError):
                plugin.open(pickle.dumps(Canary(tmp_path / "ran"), protocol), made[1])
        assert not (tmp_path / "ran").exists()

    def test_a_device_that_there_is_not_is_refused(self, plugin: ModelRuntime, made: tuple[bytes, ModelItem]) -> None:
        with pytest.raises(ConfigError):
            plugin.open(*made, device="abacus")

    def test_its_artifact_types_are_its_own(self, plugin: ModelRuntime, name: str) -> None:
        others = [registry.load("models", n).artifact_types for n in registry.available("models") if n != name]
        assert plugin.artifact_types
        assert not {*plugin.artifact_types} & {t for types in others for t in types}

    def test_loading_it_imports_no_heavy_library(self, name: str) -> None:
        code = f"import sys; from geo_assets.registry import load; load('models', {name!r}); print([m for m in {HEAVY!r} if m in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"

    def test_a_model_with_other_outputs_than_its_item_says_is_not_taken_for_it(
        self, plugin: ModelRuntime, made: tuple[bytes, ModelItem]
    ) -> None:
        content, model = made
        shape = tuple(9 if d == "class" else n for d, n in zip(model.output.dims, model.output.shape, strict=True))
        wrong = replace(model, output=replace(model.output, shape=shape))
        try:
            found = plugin.open(content, wrong).run(batch_for(model, 1))
        except ConfigError:
            return
        assert not wrong.output.fits(found.shape)
