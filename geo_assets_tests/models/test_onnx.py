"""ONNX files: what reads other files or brings operators of its own is refused."""

import pytest

from geo_assets.errors import ConfigError
from geo_assets.models._onnx import check_onnx
from geo_assets.models.onnx import PLUGIN
from geo_assets.testing.model_files import item_for, onnx_model

onnx = pytest.importorskip("onnx", reason="onnx is not installed: no ONNX file can be made to test with")


@pytest.fixture
def proto():
    return onnx.load_from_string(onnx_model()[0])


def external(tensor):
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def test_a_sound_model_passes(proto):
    check_onnx(proto.SerializeToString())


def test_weights_in_another_file_are_refused_wherever_they_hide(proto):
    external(proto.graph.initializer[1])
    with pytest.raises(ConfigError, match="other files"):
        check_onnx(proto.SerializeToString())


def test_weights_in_another_file_are_refused_in_a_graph_within_a_graph(proto):
    inner = onnx.helper.make_graph([], "inner", [], [], [onnx.helper.make_tensor("t", 1, [1], [0.0])])
    external(inner.initializer[0])
    proto.graph.node[0].attribute.append(onnx.helper.make_attribute("body", inner))
    with pytest.raises(ConfigError, match="other files"):
        check_onnx(proto.SerializeToString())


def test_weights_in_another_file_are_refused_in_a_function(proto):
    tensor = onnx.helper.make_tensor("t", 1, [1], [0.0])
    external(tensor)
    node = onnx.helper.make_node("Constant", [], ["c"], value=tensor)
    proto.functions.append(onnx.helper.make_function("", "f", [], ["c"], [node], [onnx.helper.make_opsetid("", 17)]))
    with pytest.raises(ConfigError, match="other files"):
        check_onnx(proto.SerializeToString())


@pytest.mark.parametrize("where", ["opset", "node"])
def test_operators_of_somebodys_own_are_refused(proto, where):
    if where == "opset":
        proto.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    else:
        proto.graph.node[0].domain = "com.microsoft"
    with pytest.raises(ConfigError, match=r"com\.microsoft"):
        check_onnx(proto.SerializeToString())


@pytest.mark.parametrize(
    "content", [b"", b"\x08\x0a", b"\0\0\0\0ORTM" + bytes(64), b"\xff" * 40, b"tree\nversion=v4\n", b":\x05abc"]
)
def test_what_is_no_onnx_model_is_refused(content):
    with pytest.raises(ConfigError, match="the file is"):
        check_onnx(content)


def test_the_output_is_found_by_its_name(proto):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: ONNX models are not run")
    proto.graph.output.append(onnx.helper.make_tensor_value_info("layers", 1, ["batch", 6, 16, 16]))
    content = proto.SerializeToString()
    with pytest.raises(ConfigError, match="scores, layers"):
        PLUGIN.open(content, item_for(content, "onnx", window=16))
    PLUGIN.open(content, item_for(content, "onnx", window=16, output_name="scores"))
