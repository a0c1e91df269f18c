"""Every product's work is done by a process that has neither Dagster nor the deployment, as that of the image ``worker``."""

import importlib
import os
import pickle
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import geo_assets
import geo_assets.tasks
from geo_assets.compute._call import Call
from geo_assets.model.chip_settings import ChipsRecipe
from geo_assets.model.prediction import PredictionRecipe
from geo_assets.model.project import MADE
from geo_assets.model.task import TaskResult
from geo_assets.project import LoadedProject
from geo_assets.tasks import cells
from geo_assets.tasks.layout import cube_id, ensure_levels
from geo_assets.tasks.partition import make_partition
from geo_assets.tasks.pyramid_partition import make_pyramid, plan_pyramid, read_composite
from geo_assets.tasks.steps import alone
from geo_assets.testing.model_files import identity_model, write_model
from geo_assets.testing.plain_ard import run_ard
from geo_assets.testing.plain_chips import run_chips
from geo_assets.testing.plain_prediction import run_prediction
from geo_assets.testing.plain_run import PlainRun, run_plain, stored_pixels
from geo_assets_tests.assets.tiny import WEST, WORLD, Tiny
from geo_assets_tests.tasks.products import cut_cells, search_scenes

ROOT = Path(__file__).parents[2]
MONTH = "2024-03"
MODULES = sorted(m.name for m in pkgutil.iter_modules(geo_assets.tasks.__path__))
SENT = [m for m in MODULES if hasattr(importlib.import_module(f"geo_assets.tasks.{m}"), "run")]  # what workers are sent
WORKER = """\
import importlib, pickle, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0].startswith("dagster") or name.split(".")[0] == "resources":
            raise ImportError(f"a worker has no {name}")

sys.meta_path.insert(0, Refuse())
from geo_assets.compute._worker import answer

for name in sys.argv[1:]:
    importlib.import_module(name)
pickle.dump([answer(blob) for blob in pickle.load(sys.stdin.buffer)], sys.stdout.buffer)
assert not any(m.split(".")[0].startswith("dagster") or m.split(".")[0] == "resources" for m in sys.modules)
"""


def elsewhere(fn: Callable[[Any], Any], tasks: Sequence[Any], *modules: str) -> Iterator[TaskResult]:
    """Results of tasks that were sent to such a process as backends send them."""
    calls = [Call(fn, task, i, 1) for i, task in enumerate(tasks)]
    done = subprocess.run(
        [sys.executable, "-c", WORKER, *modules], input=pickle.dumps([c.blob() for c in calls]), capture_output=True, cwd=ROOT, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    for call, blob in zip(calls, pickle.loads(done.stdout), strict=True):
        result = call.read(blob)
        assert result.status == "ok", result.cause
        assert result.worker
        yield result


class Sent:
    """Runs tasks elsewhere, and keeps their number."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, fn: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[TaskResult]:
        for result in elsewhere(fn, tasks):
            self.count += 1
            yield result


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> PlainRun:
    """A region and month, made here."""
    folder = tmp_path_factory.mktemp("made")
    WORLD.write(folder / "world")
    loaded = Tiny.create(folder / "project", folder / "world").loaded
    return run_plain(loaded, regions=[WEST], months=[MONTH])


def cells_elsewhere(made: PlainRun) -> None:
    (result,) = elsewhere(cut_cells, [str(made.loaded.file)])
    receipt = made.loaded.storage.read_receipt("cells", WEST)
    assert receipt is not None
    assert result.value[0] == receipt.data_version
    assert len(result.value) == 2


def scenes_elsewhere(made: PlainRun) -> None:
    before = made.loaded.storage.read_receipt("scenes/sentinel-2-l2a", WEST, MONTH)
    assert before is not None
    (result,) = elsewhere(search_scenes, [str(made.loaded.file)])
    assert result.value[0] == before.data_version
    assert len(set(result.value)) == 3


def composite_elsewhere(made: PlainRun) -> None:
    loaded, sent = made.loaded, Sent()
    before = stored_pixels(loaded, "utm33n", MONTH, WORLD.box.bounds)
    plan = run_plain(loaded, regions=[WEST], months=[MONTH], overwrite=True).plans[WEST, MONTH]
    steps = make_partition(
        plan, loaded.project, loaded.sensor, periods=loaded.periods(), cube=loaded.cube, storage=loaded.storage, run_id="elsewhere"
    )  # fmt: skip
    receipt = alone(steps, sent)
    assert sent.count == len(plan.todo) == 4
    assert receipt.data_version == made.receipts[WEST, MONTH].data_version
    after = stored_pixels(loaded, "utm33n", MONTH, WORLD.box.bounds)
    for name, values in before.values.items():
        assert values.any()
        np.testing.assert_array_equal(values, after.values[name])


def pyramid_elsewhere(made: PlainRun) -> None:
    here = pyramid(made.loaded, lambda fn, tasks: (TaskResult(i, "ok", value=fn(t)) for i, t in enumerate(tasks)))
    sent = Sent()
    there = pyramid(made.loaded, sent)
    assert sent.count > len(there.blocks) > 0  # each block's own levels, and those above them
    assert there.status == "ok"
    assert there.data_version == here.data_version


def pyramid(loaded: LoadedProject, mapper: Any) -> Any:
    """Receipt of the pyramid, made anew."""
    grid = cells.region_grid(WEST, loaded.project.cube)
    source = read_composite(loaded.storage, WEST, MONTH, grid, cube=cube_id(loaded.cube) or "")
    ensure_levels(loaded.cube, loaded.project, loaded.sensor, grid, loaded.periods())
    steps = make_pyramid(
        plan_pyramid(source, grid, None, overwrite=True), loaded.project, loaded.sensor, periods=loaded.periods(), cube=loaded.cube,
        storage=loaded.storage, run_id="elsewhere",
    )  # fmt: skip
    return alone(steps, mapper)


def ard_elsewhere(made: PlainRun) -> None:
    """Images of scenes, and the arrays of a yearly tile are of the same function."""
    here, sent = run_ard(made.loaded, months=[MONTH]), Sent()
    there = run_ard(made.loaded, months=[MONTH], overwrite=True, mapper=sent)
    assert sent.count == sum(len(p.todo) for p in there.plans.values()) > 0
    assert {k: r.data_version for k, r in there.receipts.items()} == {
        k: r.data_version for k, r in here.receipts.items()
    }
    for key, table in here.tables.items():
        assert table.drop(columns="geometry").equals(there.tables[key].drop(columns="geometry"))


def prediction_elsewhere(made: PlainRun) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    item = write_model(made.loaded.file.parent / "models", identity_model(), "same")
    project = made.loaded.project.model_copy(update={"prediction": PredictionRecipe(model=str(item))})
    loaded, sent = LoadedProject(project, made.loaded.file), Sent()
    here = run_prediction(loaded, regions=[WEST], months=[MONTH])
    table = geo_assets.open(loaded.project.storage).predictions("same")
    contents = [Path(file).read_bytes() for file in table["cog"]]
    there = run_prediction(loaded, regions=[WEST], months=[MONTH], overwrite=True, mapper=sent)
    assert sent.count == len(there[WEST, MONTH].blocks) > 0
    assert there[WEST, MONTH].data_version == here[WEST, MONTH].data_version
    assert here[WEST, MONTH].figures["observed_share"] > 0.1
    assert [Path(file).read_bytes() for file in table["cog"]] == contents


def chips_elsewhere(made: PlainRun) -> None:
    project = made.loaded.project.model_copy(update={"chips": ChipsRecipe(size_px=32)})
    loaded, sent = LoadedProject(project, made.loaded.file), Sent()
    here = run_chips(loaded, months=[MONTH])
    store = geo_assets.open(loaded.storage.root)
    pixels = store.chip_pixels(store.chips())
    there = run_chips(loaded, months=[MONTH], overwrite=True, mapper=sent)
    assert sent.count == len(there.todo) > 0
    assert pixels["clear"].any()
    assert pixels.equals(store.chip_pixels(store.chips()))
    assert {k: r.data_version for k, r in there.receipts.items()} == {
        k: r.data_version for k, r in here.receipts.items()
    }


CASES = {
    "chips": chips_elsewhere,
    "prediction": prediction_elsewhere,
    "ard": ard_elsewhere,
    "cells": cells_elsewhere,
    "scenes": scenes_elsewhere,
    "composite": composite_elsewhere,
    "pyramid": pyramid_elsewhere,
}


@pytest.mark.parametrize("product", sorted({*MADE, *SENT}))
def test_product_when_dagster_cannot_be_imported_then_its_work_is_done(product: str, made: PlainRun) -> None:
    assert product in CASES, f"say above how the work of {product} is done without Dagster"
    CASES[product](made)


def test_task_modules_when_dagster_cannot_be_imported_then_all_of_them_can() -> None:
    (result,) = elsewhere(len, [[1, 2]], *(f"geo_assets.tasks.{m}" for m in MODULES))
    assert result.value == 2
    assert {"composite", "pyramid"} <= set(SENT)


def test_worker_when_a_task_needs_dagster_then_it_is_refused() -> None:
    blob = pickle.dumps((0, 1, b"cdagster\nasset\n."))
    done = subprocess.run([sys.executable, "-c", WORKER], input=pickle.dumps([blob]), capture_output=True, check=True)
    (answered,) = pickle.loads(done.stdout)
    assert pickle.loads(answered).cause == "a worker has no dagster"
