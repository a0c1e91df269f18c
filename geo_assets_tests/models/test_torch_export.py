"""Archives of torch.export: what runs code in torch.export.load is refused before torch sees it."""

import contextlib
import io
import json
import pickle
import warnings
import zipfile

import numpy as np
import pytest

from geo_assets.errors import ConfigError
from geo_assets.models._pt2 import rebuilt
from geo_assets.models.torch_export import PLUGIN
from geo_assets.testing.conformance_model import Canary, batch_for
from geo_assets.testing.model_files import item_for, torch_model

torch = pytest.importorskip("torch", reason="torch is not installed: archives of torch.export are not opened")
ROOT = "archive"
PROGRAM, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"
CONSTANTS, SAMPLES = "data/constants/model_constants_config.json", "data/sample_inputs/model.pt"


@pytest.fixture(scope="module")
def made():
    return torch_model()


@pytest.fixture
def content(made):
    return made[0]


def parts_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {n.partition("/")[2]: archive.read(n) for n in archive.namelist()}


def archive_of(parts, compression=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, part in parts.items():
            archive.writestr(f"{ROOT}/{name}", part)
    return out.getvalue()


def changed(parts, name, change):
    about = json.loads(parts[name])
    change(about)
    parts[name] = json.dumps(about).encode()


def saved(thing):
    out = io.BytesIO()
    torch.save(thing, out)
    return out.getvalue()


def graph(about):
    return about["graph_module"]["graph"]


def pickled_samples(parts, canary):
    parts[SAMPLES] = saved(canary)


def pickled_weight(parts, canary):
    parts["data/weights/weight_9"] = saved(canary)

    def change(about):
        next(iter(about["config"].values())).update(path_name="weight_9", use_pickle=True)

    changed(parts, WEIGHTS, change)


def pickled_constant(parts, canary):
    parts["data/constants/opaque_obj_0"] = pickle.dumps(canary)

    def change(about):
        about["config"]["odd"] = {
            "path_name": "opaque_obj_0",
            "is_param": False,
            "use_pickle": True,
            "tensor_meta": None,
        }

    changed(parts, CONSTANTS, change)


def old_weights(parts, canary):
    parts["data/weights/model.pt"] = saved(canary)


def evaluated_size(parts, canary):
    def change(about):
        values = graph(about)["tensor_values"]
        name = graph(about)["inputs"][-1]["as_tensor"]["name"]
        values[name]["sizes"][0] = {"as_expr": {"expr_str": f"open({str(canary.file)!r}, 'w')", "hint": {"as_int": 2}}}

    changed(parts, PROGRAM, change)


def evaluated_guard(parts, canary):
    def change(about):
        about["guards_code"] = [f"__import__('os').system('touch {canary.file}') == 0"]

    changed(parts, PROGRAM, change)


def name_in_source(parts, canary):
    name = json.loads(parts[PROGRAM])["graph_module"]["graph"]["inputs"][-1]["as_tensor"]["name"]
    code = f"{name}=open({str(canary.file)!r}, 'w')"
    for text in ('{"name": %s}', '%s: {"dtype"'):  # wherever the value is meant, and not an operator's argument
        parts[PROGRAM] = parts[PROGRAM].replace((text % json.dumps(name)).encode(), (text % json.dumps(code)).encode())


RUNS = (pickled_samples, pickled_weight, pickled_constant, old_weights, evaluated_size, evaluated_guard, name_in_source)


@pytest.mark.parametrize("trick", RUNS, ids=lambda t: t.__name__)
def test_an_archive_that_runs_code_in_torch_is_refused_before_it_can(made, tmp_path, trick):
    parts = parts_of(made[0])
    trick(parts, Canary(tmp_path / "ran"))
    with pytest.raises(ConfigError, match="was not opened"):
        PLUGIN.open(archive_of(parts), made[1])
    assert not (tmp_path / "ran").exists()
    # And torch itself does run it: else this test would show nothing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(Exception):
            torch.export.load(io.BytesIO(archive_of(parts))).module()(torch.zeros(2, 2, 3, 16, 16))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "size", ["9**9**9**9", "Pow(9, 9)", "1" * 4000 + "x", "(" * 5000, "exec(chr(49))", "().__class__", "s77.evalf"]
)
def test_a_size_that_is_no_sum_or_product_is_refused_at_once(content, size):
    parts = parts_of(content)

    def change(about):
        name = graph(about)["inputs"][-1]["as_tensor"]["name"]
        graph(about)["tensor_values"][name]["sizes"][0] = {"as_expr": {"expr_str": size, "hint": {"as_int": 2}}}

    changed(parts, PROGRAM, change)
    with pytest.raises(ConfigError, match="expr_str"):
        rebuilt(archive_of(parts))


def other_operator(parts):
    def change(about):
        graph(about)["nodes"][0]["target"] = "torch.serialization.os.system"

    changed(parts, PROGRAM, change)


def operator_that_reads_files(parts):
    def change(about):
        node = graph(about)["nodes"][0]
        node["target"] = "torch.ops.aten.from_file.default"
        node["inputs"] = [{"name": "filename", "arg": {"as_string": "passwd"}, "kind": 1}]

    changed(parts, PROGRAM, change)


def operator_of_higher_order(parts):
    def change(about):
        graph(about)["nodes"][0]["inputs"][0]["arg"] = {"as_graph": {"name": "inner", "graph": {}}}

    changed(parts, PROGRAM, change)


def class_of_an_argument(parts):
    def change(about):
        signature = about["graph_module"]["module_call_graph"][0]["signature"]
        signature["in_spec"] = signature["in_spec"].replace("builtins.dict", "os.system")

    changed(parts, PROGRAM, change)


def weight_larger_than_its_bytes(parts):
    def change(about):
        next(iter(about["config"].values()))["tensor_meta"]["sizes"][0] = {"as_int": 10**15}

    changed(parts, WEIGHTS, change)


def compiled_code(parts):
    parts["data/aotinductor/model/wrapper.so"] = b"\x7fELF"


def entry_outside(parts):
    parts["../../evil"] = b"x"


def no_program(parts):
    del parts[PROGRAM]


def no_weight(parts):
    del parts[next(n for n in parts if n.startswith("data/weights/weight_"))]


def nested_json(parts):
    parts[PROGRAM] = b"[" * 200_000


def no_json(parts):
    parts[PROGRAM] = b"\xff\xfe"


@pytest.mark.parametrize(
    "trick",
    [
        other_operator, operator_that_reads_files, operator_of_higher_order, class_of_an_argument, weight_larger_than_its_bytes,
        compiled_code, entry_outside, no_program, no_weight, nested_json, no_json,
    ],
    ids=lambda t: t.__name__,
)  # fmt: skip
def test_an_archive_with_what_no_plain_program_has_is_refused(content, trick):
    parts = parts_of(content)
    trick(parts)
    with pytest.raises(ConfigError):
        rebuilt(archive_of(parts))


def test_packed_entries_are_refused_since_they_may_be_a_bomb(content):
    with pytest.raises(ConfigError, match="packed"):
        rebuilt(archive_of(parts_of(content), zipfile.ZIP_DEFLATED))


def test_an_entry_that_is_there_twice_is_refused(content):
    out = io.BytesIO(archive_of(parts_of(content)))
    with warnings.catch_warnings(), zipfile.ZipFile(out, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr(f"{ROOT}/{PROGRAM}", b"{}")
    with pytest.raises(ConfigError, match="twice"):
        rebuilt(out.getvalue())


@pytest.mark.parametrize("flipped", range(5))
def test_a_damaged_archive_is_refused(content, flipped):
    # In the middle of a weight's bytes: the zip's checksum tells
    at = content.index(b"weight_0") + 400 + flipped
    with pytest.raises(ConfigError):
        rebuilt(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])


def test_torch_save_and_torchscript_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"torch\.save \(a pickle\)"):
        rebuilt(saved({"weight": torch.zeros(3)}))
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(torch.nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 4, 4)), out)
    with pytest.raises(ConfigError, match="TorchScript"):
        rebuilt(out.getvalue())


def test_nothing_is_unpickled_when_a_sound_archive_is_opened(content, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("something was unpickled")

    for module, name in ((torch, "load"), (pickle, "loads"), (pickle, "load"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, never)
    model = item_for(content, "torch.export.save", window=16)
    assert PLUGIN.open(content, model).run(batch_for(model, 2)).shape == (2, 4, 16, 16)


def test_a_model_on_another_device_has_its_weights_there(made):
    """The device `meta`, which every machine has: it computes shapes and no values, so nothing can come back from it."""
    session = PLUGIN.open(*made, device="meta")
    assert {p.device.type for p in session._module.parameters()} == {"meta"}
    with pytest.raises(ConfigError, match="meta"):
        session.run(batch_for(made[1], 2))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_said(made):
    with pytest.raises(ConfigError, match="no GPU"):
        PLUGIN.open(*made, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: models are not run on one")
def test_a_gpu_gives_what_the_cpu_gives(made):
    batch = batch_for(made[1], 3)
    assert np.abs(PLUGIN.open(*made, device="cuda").run(batch) - PLUGIN.open(*made).run(batch)).max() <= 1e-5


class Wide(torch.nn.Module):
    """What segmentation networks are made of."""

    def __init__(self):
        super().__init__()
        n = torch.nn
        self.down = n.Sequential(n.Conv2d(6, 8, 3, padding=1), n.BatchNorm2d(8), n.GELU(), n.MaxPool2d(2))
        self.same, self.up = n.Conv2d(8, 8, 3, padding="same"), n.ConvTranspose2d(8, 4, 2, 2)
        self.attention, self.norm = n.MultiheadAttention(8, 2, batch_first=True), n.LayerNorm(8)
        self.series, self.last = n.LSTM(6, 4, batch_first=True), n.Conv2d(10, 4, 1)

    def forward(self, values):
        flat = values.flatten(1, 2)
        deep = self.same(self.down(flat))
        tokens = deep.flatten(2).transpose(1, 2)
        tokens = self.norm(self.attention(tokens, tokens, tokens)[0] + tokens)
        deep = tokens.transpose(1, 2).reshape(deep.shape)
        pooled = self.series(flat.flatten(2).transpose(1, 2))[0].mean((1, 2))
        found = self.last(torch.cat([self.up(deep), flat], 1)) * torch.tensor([1.0, 2.0, 3.0, 4.0])[None, :, None, None]
        mixed = torch.einsum("bchw,cd->bdhw", found, torch.eye(4)) + pooled[:, None, None, None]
        return torch.softmax(torch.nn.functional.interpolate(mixed, scale_factor=1.0, mode="bilinear"), 1)


@pytest.mark.slow
def test_what_networks_are_made_of_comes_through_unchanged():
    torch.manual_seed(1)
    network = Wide().eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(network, (torch.randn(2, 2, 3, 16, 16),), dynamic_shapes=({0: batch},))
    out = io.BytesIO()
    torch.export.save(program, out)
    model = item_for(out.getvalue(), "torch.export.save", window=16)
    given = batch_for(model, 3)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(given)).numpy()
    assert np.abs(PLUGIN.open(out.getvalue(), model).run(given) - wanted).max() <= 1e-6


def places(value, path=()):
    """Paths of all values within a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in inner:
        yield (*path, key)
        yield from places(held, (*path, key))


@pytest.mark.parametrize("name", [PROGRAM, WEIGHTS, CONSTANTS])
def test_an_archive_in_which_any_value_is_anything_is_made_anew_or_refused(content, name):
    rng = np.random.default_rng(4)
    known = json.loads(parts_of(content)[name])
    where = sorted(places(known), key=str)
    odd = [None, 0, -1, 10**30, "", "x", "os.system('x')", [], {}, [{}], {"as_int": 10**12}, True, 1.5]
    for _ in range(150):
        parts = parts_of(content)
        about = json.loads(parts[name])
        path = where[rng.integers(len(where))]
        holder = about
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = odd[rng.integers(len(odd))]
        parts[name] = json.dumps(about).encode()
        with contextlib.suppress(ConfigError):
            rebuilt(archive_of(parts))
