"""A model over a raster, from its item: files that are refused, and results that do not depend on how they are made."""

import dataclasses
import hashlib
import json
import os
import tracemalloc

import numpy as np
import pytest
import xarray as xr

from geo_assets import registry
from geo_assets.eo.windows import Windows
from geo_assets.errors import ConfigError, QualityError
from geo_assets.model.mlm import InputBand, OutputClass, Scaling, Tensor
from geo_assets.model.mlm_write import write_item
from geo_assets.tasks import model_file
from geo_assets.tasks import predict as predict_module
from geo_assets.tasks.model_file import artifact_bytes, read_model
from geo_assets.tasks.predict import (
    ArrayRaster,
    DatasetRaster,
    OpenModel,
    check_steps,
    labels_of,
    open_content,
    open_model,
    predict,
    predict_bytes,
    predicted,
)
from geo_assets.testing.model_files import BANDS, CLASSES, MAKERS, STEPS, item_for, scores_of, weights

RUNTIMES = sorted(MAKERS)


class Linear:
    """A session of Python that gives the scores of ``scores_of``, window by window or pixel by pixel."""

    def __init__(self):
        self.shapes = []

    def run(self, batch):
        self.shapes.append(batch.shape)
        return np.einsum("ctb,ntb...->nc...", weights(), batch).astype(np.float32)


def windowed(window=16, batch=4, **more):
    item = item_for(b"x", "torch.export.save", window=window, **more)
    return OpenModel(item, Linear(), Windows(window, 2), batch)


def of_pixels(batch=500, **more):
    return OpenModel(item_for(b"x", "lightgbm", **more), Linear(), None, batch)


def values_of(rows=50, cols=40, seed=0):
    return np.random.default_rng(seed).normal(size=(STEPS, len(BANDS), rows, cols)).astype(np.float32)


def store(folder, content, model, name=None):
    """Write a model's files; the path of its item."""
    artifact = dataclasses.replace(model.artifact, href=name or model.artifact.href)
    (folder / artifact.href).write_bytes(content)
    file = folder / "item.json"
    file.write_text(json.dumps(write_item(dataclasses.replace(model, artifact=artifact))))
    return file


# ---- results


@pytest.mark.parametrize("make", [windowed, of_pixels])
def test_scores_when_the_model_is_linear_then_they_are_those_of_each_pixel(make):
    values = values_of()
    found = predicted(make(), ArrayRaster(values))
    wanted = scores_of(values)
    assert np.abs(found.scores - wanted).max() < 1e-5
    assert np.array_equal(found.labels, 10 * np.argmax(wanted, axis=0))
    assert found.labels.dtype == np.uint8


@pytest.mark.parametrize("make", [windowed, of_pixels])
def test_strips_when_joined_then_they_are_the_whole_and_a_part_is_as_in_it(make):
    raster = ArrayRaster(values_of())
    strips = list(predict(make(), raster))
    assert len(strips) > 1
    whole = predicted(make(), raster)
    assert np.array_equal(np.concatenate([s.labels for s in strips]), whole.labels)
    part = predicted(make(batch=3), raster, (slice(11, 37), slice(5, 29)))
    assert np.abs(part.scores - whole.scores[:, 11:37, 5:29]).max() <= 1e-5


@pytest.mark.parametrize("make", [windowed, of_pixels])
def test_missing_values_when_pixels_lack_some_then_they_are_nodata_and_their_neighbours_are_not(make):
    values = values_of()
    values[1, 2, 10, 10] = values[:, :, 30, 5:9] = np.nan
    found = predicted(make(), ArrayRaster(values))
    lost = np.isnan(values).any((0, 1))
    assert np.array_equal(found.labels == 255, lost)
    assert np.array_equal(np.isnan(found.scores).all(0), lost)
    assert np.abs(found.scores[:, ~lost] - scores_of(np.nan_to_num(values))[:, ~lost]).max() < 1e-5


def test_missing_values_when_the_item_fills_them_then_only_pixels_without_any_value_are_nodata():
    values = values_of()
    values[1, 2, 10, 10] = values[:, :, 30, 5:9] = np.nan
    for make in (windowed, of_pixels):
        found = predicted(make(missing="fill"), ArrayRaster(values))
        assert np.array_equal(found.labels == 255, np.isnan(values).all((0, 1)))


def test_classes_when_windows_disagree_then_scores_are_blended_and_never_codes():
    """Between class 0 and class 30 lies neither 10 nor 20: these would come of blending codes."""

    class Halves:
        def __init__(self):
            self.calls = 0

        def run(self, batch):
            out = np.zeros((len(batch), CLASSES, 16, 16), np.float32)
            for n in range(len(batch)):
                self.calls += 1
                out[n, 0 if self.calls % 2 else 3] = 1
            return out

    model = dataclasses.replace(windowed(), session=Halves())
    found = predicted(model, ArrayRaster(values_of(60, 61)))
    assert set(np.unique(found.labels)) == {0, 30}
    assert 0 < (found.scores > 0).sum(0).min() <= (found.scores > 0).sum(0).max() == 2


def test_scaling_when_the_item_says_so_then_the_model_sees_scaled_numbers():
    values = values_of()
    bands = tuple(InputBand(b, 0.5, 1.0) for b in BANDS)
    for make in (windowed, of_pixels):
        model = make(bands=bands, scaling=(Scaling("z-score", (2.0, 4.0)),) * 3)
        assert (
            np.abs(predicted(model, ArrayRaster(values)).scores - scores_of(((values - 1) / 0.5 - 2) / 4)).max() < 1e-5
        )


def test_batch_when_the_model_takes_only_one_size_then_the_last_is_filled_up():
    item = item_for(b"x", "onnx", window=16)
    item = dataclasses.replace(item, input=dataclasses.replace(item.input, shape=(8, *item.input.shape[1:])))
    model = OpenModel(item, Linear(), Windows(16, 2), 8)
    values = values_of()
    assert np.abs(predicted(model, ArrayRaster(values)).scores - scores_of(values)).max() < 1e-5
    assert {s[0] for s in model.session.shapes} == {8}


def test_dims_when_the_item_has_another_order_then_the_model_gets_that():
    names = ("width", "batch", "bands", "height", "time")

    class Turned(Linear):
        def run(self, batch):
            self.shapes.append(batch.shape)
            return np.einsum("ctb,xnbyt->nyxc", weights(), batch)

    item = item_for(b"x", "onnx", window=16, input=Tensor((16, -1, 3, 16, 2), names),
        output=Tensor((-1, 16, 16, CLASSES), ("batch", "height", "width", "class")))  # fmt: skip
    values = values_of()
    model = OpenModel(item, Turned(), Windows(16, 2), 4)
    assert np.abs(predicted(model, ArrayRaster(values)).scores - scores_of(values)).max() < 1e-5
    assert model.session.shapes[0][2:] == (3, 16, 2)


def test_dims_when_the_model_knows_no_time_then_it_is_given_none():
    class Bands(Linear):
        def run(self, batch):
            assert batch.shape[1:] == (3,)
            return batch @ weights()[:, 0].T

    item = item_for(b"x", "onnx", input=Tensor((-1, 3), ("batch", "bands")))
    values = values_of()
    found = predicted(OpenModel(item, Bands(), None, 100), ArrayRaster(values[:1]))
    assert np.allclose(found.scores, np.einsum("cb,byx->cyx", weights()[:, 0], values[0]), atol=1e-5)
    with pytest.raises(ConfigError, match="knows no time"):
        predicted(OpenModel(item, Bands(), None, 100), ArrayRaster(values))


def test_regression_when_there_are_no_classes_then_values_come_without_labels():
    class Mean:
        def run(self, batch):
            return batch.mean((1, 2))

    item = item_for(b"x", "onnx", window=16, classes=(), output=Tensor((-1, 16, 16), ("batch", "height", "width")))
    values = values_of()
    found = predicted(OpenModel(item, Mean(), Windows(16, 2), 4), ArrayRaster(values))
    assert found.labels is None
    assert np.abs(found.scores[0] - values.mean((0, 1))).max() < 1e-6


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda b: np.zeros((len(b), CLASSES + 1, 16, 16), np.float32), "5 x 16 x 16"),
        (lambda b: np.zeros((len(b), CLASSES, 8, 8), np.float32), "4 x 8 x 8"),
        (lambda b: np.zeros((len(b) + 1, CLASSES, 16, 16), np.float32), "its item says"),
        (lambda b: np.zeros((len(b), CLASSES, 16, 16), np.int64), "int64"),
    ],
)
def test_output_when_it_is_not_what_the_item_says_then_nothing_is_made_of_it(made, says):
    model = dataclasses.replace(windowed(), session=type("Odd", (), {"run": staticmethod(made)}))
    with pytest.raises(ConfigError, match=says):
        predicted(model, ArrayRaster(values_of()))


def test_output_when_it_is_no_number_then_that_is_an_error_and_not_nodata():
    made = staticmethod(lambda b: np.full((len(b), CLASSES, 16, 16), np.nan, np.float32))
    model = dataclasses.replace(windowed(), session=type("Odd", (), {"run": made}))
    with pytest.raises(QualityError, match="no number"):
        predicted(model, ArrayRaster(values_of()))


def test_labels_when_classes_go_beyond_a_byte_then_so_does_the_map():
    item = item_for(b"x", "lightgbm", classes=tuple(OutputClass(v, f"c-{v}") for v in (0, 254, 255, 1000)))
    scores = np.eye(4, dtype=np.float32)[:, None, :]
    scores = np.concatenate([scores, np.full((4, 1, 1), np.nan, np.float32), np.ones((4, 1, 1), np.float32)], axis=2)
    found = labels_of(item, scores)
    assert found.dtype == np.uint16
    assert found.tolist() == [[0, 254, 255, 1000, 65535, 0]]


@pytest.mark.parametrize("make", [windowed, of_pixels])
def test_memory_when_a_raster_is_large_then_it_stays_within_what_was_said(make):
    class Virtual:
        shape, origin = (1000, 300), (7, 9)

        def read(self, rows, cols):
            return np.ones((STEPS, len(BANDS), rows.stop - rows.start, cols.stop - cols.start), np.float32)

    class Cheap:
        def run(self, batch):
            return np.ones((len(batch), CLASSES, *batch.shape[3:]), np.float32)

    model = dataclasses.replace(make(), session=Cheap())
    tracemalloc.start()
    for strip in predict(model, Virtual()):
        assert (strip.labels == 0).all()
    took = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert took <= predict_bytes(model, 300) <= 8 * took


# ---- cubes


def cube(months=2, names=BANDS, start="2024-01"):
    time = np.arange(np.datetime64(start, "M"), np.datetime64(start, "M") + months).astype("datetime64[ns]")
    values = values_of()
    return xr.Dataset({n: (("time", "y", "x"), values[:months, i]) for i, n in enumerate(names)}, {"time": time})


def test_cube_when_its_bands_have_another_order_then_the_models_is_taken():
    turned = cube()[["nir", "red", "green"]]
    found = predicted(of_pixels(), DatasetRaster(turned, of_pixels().item))
    assert np.abs(found.scores - scores_of(values_of())).max() < 1e-5


def test_cube_when_it_has_grown_then_windows_stay_where_they_were():
    class Placed:
        def run(self, batch):
            return np.broadcast_to(np.arange(16, dtype=np.float32), (len(batch), CLASSES, 16, 16))

    model = dataclasses.replace(windowed(), session=Placed())
    before = predicted(model, DatasetRaster(cube(), model.item, origin=(5, 7)))
    after = predicted(model, DatasetRaster(cube().isel(x=slice(3, None)), model.item, origin=(5, 10)))
    assert np.array_equal(before.scores[:, :, 3:], after.scores)


@pytest.mark.parametrize("budget", [0, 20_000, 10**9])
@pytest.mark.parametrize("row", [0, 5])
def test_cube_when_it_is_read_by_strips_then_rows_of_chunks_are_decoded_once_and_values_are_right(
    monkeypatch, budget, row
):
    monkeypatch.setattr(predict_module, "READ_AHEAD_BYTES", budget)
    item, data = windowed().item, cube()
    for name in BANDS:
        data[name].encoding["chunks"] = (1, 16, 16)
    raster, reads = DatasetRaster(data, item, origin=(row, 0)), []
    plain = raster._read
    monkeypatch.setattr(raster, "_read", lambda rows, cols: reads.append((rows, cols)) or plain(rows, cols))
    for part in [(slice(0, 50), slice(3, 30)), (slice(20, 41), slice(0, 40))]:
        found = predicted(windowed(), raster, part).scores
        assert np.abs(found - scores_of(values_of())[:, *part]).max() < 1e-5
    ends = [rows.stop for rows, _ in reads]
    if budget == 10**9:
        assert all((end + row) % 16 == 0 or end == 50 for end in ends)
        assert len(set(ends)) + 2 >= len(ends)  # each row of chunks once for each of the two parts
    assert all((r.stop - r.start) * (c.stop - c.start) * 24 <= max(budget, 16 * 40 * 24) for r, c in reads)


def test_cube_when_it_lacks_a_band_or_has_other_months_then_it_is_refused():
    item = of_pixels(months=(1, 2)).item
    with pytest.raises(ConfigError, match=r"'nir'.*red, green, blue"):
        DatasetRaster(cube(names=("red", "green", "blue")), item)
    with pytest.raises(ConfigError, match="2 time steps, and there are 1"):
        DatasetRaster(cube(months=1), item)
    with pytest.raises(ConfigError, match="months 1, 2, in this order, and is given 6, 7"):
        DatasetRaster(cube(start="2024-06"), item)
    check_steps(item, 2)


# ---- files


@pytest.fixture
def known(monkeypatch):
    """A runtime of another package."""

    class Runtime:
        artifact_types = ("python.linear",)

        def open(self, content, model, *, device="cpu", threads=None):
            self.opened = content
            return Linear()

    runtime = Runtime()
    monkeypatch.setattr(model_file, "available", lambda kind: {"python": "somewhere"})
    monkeypatch.setattr(model_file, "load", lambda kind, name: runtime)
    return runtime


def small(content=b"weights", kind="python.linear", window=16, **more):
    return item_for(content, kind, window=window, **more)


def test_model_when_opened_from_its_item_then_it_runs(known, tmp_path):
    model = open_model(store(tmp_path, b"weights", small(batch=3)))
    assert known.opened == b"weights"
    assert (model.batch, model.windows) == (3, Windows(16, 2))
    assert np.abs(predicted(model, ArrayRaster(values_of())).scores - scores_of(values_of())).max() < 1e-5


def test_model_when_its_bytes_are_others_then_it_is_not_opened(known, tmp_path):
    file = store(tmp_path, b"weights", small())
    (tmp_path / "model.bin2").write_bytes(b"Weights")
    with pytest.raises(ConfigError, match="damaged or another model"):
        open_model(file)
    assert not hasattr(known, "opened")


def test_model_when_its_bytes_come_from_elsewhere_then_they_are_compared_too(known):
    assert open_content(small(), b"weights").windows == Windows(16, 2)
    for other in (b"Weights", b"weigh", b""):
        with pytest.raises(ConfigError, match=r"model\.bin2: has"):
            open_content(small(), other)


@pytest.mark.parametrize("content", [b"weigh", b"weights and more"])
def test_model_when_its_file_has_another_size_then_it_is_not_opened(known, tmp_path, content):
    file = store(tmp_path, b"weights", small())
    (tmp_path / "model.bin2").write_bytes(content)
    with pytest.raises(ConfigError, match="bytes, and the item says 7"):
        open_model(file)
    assert not hasattr(known, "opened")


def test_model_when_it_is_larger_than_allowed_then_no_more_is_read(known, tmp_path, monkeypatch):
    monkeypatch.setattr(model_file, "MOST_ARTIFACT_BYTES", 4)
    model = small()
    with pytest.raises(ConfigError, match="larger than 4 bytes"):
        open_model(store(tmp_path, b"weights", model))
    without = dataclasses.replace(model, artifact=dataclasses.replace(model.artifact, size=None))
    with pytest.raises(ConfigError, match="more than 4 bytes"):
        open_model(store(tmp_path, b"weights", without))


@pytest.mark.parametrize(
    "href", ["../model.bin2", "/etc/hostname", "file:///etc/hostname", "/vsicurl/x", "a/../../model.bin2"]
)
def test_model_when_its_file_lies_elsewhere_then_it_is_not_read(known, tmp_path, href):
    (tmp_path / "model.bin2").write_bytes(b"weights")
    inner = tmp_path / "inner"
    inner.mkdir()
    model = small()
    model = dataclasses.replace(model, artifact=dataclasses.replace(model.artifact, href=href))
    with pytest.raises(ConfigError):
        artifact_bytes(model, inner)


def test_model_when_a_link_leads_out_of_its_folder_then_it_is_not_read(tmp_path):
    (tmp_path / "secret").write_bytes(b"weights")
    inner = tmp_path / "inner"
    inner.mkdir()
    os.symlink(tmp_path / "secret", inner / "model.bin2")
    with pytest.raises(ConfigError, match="folder of its item"):
        artifact_bytes(small(), inner)


def test_model_when_its_file_is_a_pipe_or_missing_then_that_is_said(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        artifact_bytes(small(), tmp_path)
    os.mkfifo(tmp_path / "model.bin2")
    with pytest.raises(ConfigError, match="is no file"):
        artifact_bytes(small(), tmp_path)


def test_model_when_it_has_an_address_then_only_who_was_given_for_that_fetches_it(tmp_path):
    model = small()
    model = dataclasses.replace(
        model, artifact=dataclasses.replace(model.artifact, href="https://example.org/m.pt2?token=hidden")
    )
    with pytest.raises(ConfigError, match="beside its item") as error:
        artifact_bytes(model, tmp_path)
    assert "hidden" not in str(error.value)
    asked = []
    assert artifact_bytes(model, tmp_path, lambda href, most: asked.append((href, most)) or b"weights") == b"weights"
    assert asked == [("https://example.org/m.pt2?token=hidden", 8)]


@pytest.mark.parametrize("kind", ["torch.save", "torch.jit.save", "torch.jit.script", "pickle", "joblib"])
def test_model_when_its_type_is_a_pickle_then_it_is_refused_unread(tmp_path, kind):
    with pytest.raises(ConfigError, match="pickle, which runs code"):
        open_model(store(tmp_path, b"weights", small(kind=kind)))


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.PKL", "model.joblib", "model.ckpt"])
def test_model_when_its_name_is_that_of_a_pickle_then_it_is_refused_unread(known, tmp_path, name):
    with pytest.raises(ConfigError, match="pickle, which runs code"):
        open_model(store(tmp_path, b"weights", small(), name))


def test_model_when_no_runtime_opens_its_type_then_those_that_there_are_are_named(tmp_path):
    with pytest.raises(
        ConfigError, match=r"artifact_type: 'tf\.keras' cannot be run; there are .*onnx.*torch\.export\.save"
    ):
        open_model(store(tmp_path, b"weights", small(kind="tf.keras")))


def test_model_when_windows_are_not_said_then_they_may_be_given_and_must_be(known, tmp_path):
    model = small(window_px=None, halo_px=None, input=Tensor((-1, 2, 3, -1, -1), ("batch", "time", "bands", "height", "width")),
        output=Tensor((-1, 4, -1, -1), ("batch", "class", "height", "width")))  # fmt: skip
    file = store(tmp_path, b"weights", model)
    with pytest.raises(ConfigError, match=r"geo_assets\.window_px: is missing"):
        open_model(file)
    with pytest.raises(ConfigError, match=r"geo_assets\.halo_px: is missing"):
        open_model(file, window_px=32)
    assert open_model(file, window_px=32, halo_px=0).windows == Windows(32, 0)
    with pytest.raises(ConfigError, match="halo"):
        open_model(file, window_px=32, halo_px=9)


def test_model_when_another_window_is_asked_for_than_it_can_take_then_that_is_refused(known, tmp_path):
    with pytest.raises(ConfigError, match="windows of 16 pixels, not 32"):
        open_model(store(tmp_path, b"weights", small()), window_px=32)
    with pytest.raises(ConfigError, match="single pixels"):
        open_model(store(tmp_path, b"weights", small(window=None)), halo_px=1)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_item_when_it_is_no_json_object_then_the_file_is_named(tmp_path, content):
    (tmp_path / "item.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"item\.json"):
        read_model(tmp_path / "item.json")


def test_item_when_it_is_missing_or_huge_then_that_is_said(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_model(tmp_path / "item.json")
    monkeypatch.setattr(model_file, "MOST_ITEM_BYTES", 10)
    (tmp_path / "item.json").write_text("{" + " " * 20 + "}")
    with pytest.raises(ConfigError, match="larger"):
        read_model(tmp_path / "item.json")


# ---- real runtimes


@pytest.fixture(params=RUNTIMES, scope="module")
def stored(request, tmp_path_factory):
    make, packages = MAKERS[request.param]
    for package in packages:
        pytest.importorskip(package, reason=f"{package} is not installed: models of {request.param} are not run")
    content, model = make()
    return store(tmp_path_factory.mktemp("model"), content, model)


def test_runtime_when_batches_or_parts_are_others_then_results_are_within_a_hundred_thousandth(stored):
    values = values_of(23, 17)
    values[0, 0, 3, 4] = np.nan
    raster = ArrayRaster(values)
    wanted = predicted(open_model(stored, threads=1), raster)
    for batch in (1, 3, 1000):
        found = predicted(open_model(stored, batch=batch, threads=2), raster)
        assert np.nanmax(np.abs(found.scores - wanted.scores)) <= 1e-5
        assert np.array_equal(np.isnan(found.scores), np.isnan(wanted.scores))
    part = predicted(open_model(stored), raster, (slice(7, 20), slice(9, 17)))
    assert np.nanmax(np.abs(part.scores - wanted.scores[:, 7:20, 9:17])) <= 1e-5
    assert np.array_equal(predicted(open_model(stored, threads=1), raster).scores, wanted.scores, equal_nan=True)


def test_runtime_when_the_model_is_linear_then_its_scores_are_right(stored):
    model, values = open_model(stored), values_of()
    if model.item.artifact.kind.startswith("lightgbm"):
        share = (predicted(model, ArrayRaster(values)).labels == 10 * np.argmax(scores_of(values), 0)).mean()
        assert share > 0.6  # five rounds on 400 rows, and a quarter would be chance
    else:
        assert np.abs(predicted(model, ArrayRaster(values)).scores - scores_of(values)).max() < 1e-5


def test_runtimes_when_listed_then_each_has_its_name():
    assert set(RUNTIMES) <= set(registry.available("models"))
    assert hashlib.sha256(b"x").hexdigest() == small(b"x").artifact.sha256
