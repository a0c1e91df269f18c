"""ONNX models through ONNX Runtime, on the CPU; one file, without external data or operators of somebody's own."""

from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.errors import ConfigError, PluginError
from geo_assets.model.mlm import ModelItem
from geo_assets.model.plugin import ModelSession
from geo_assets.model.text import told
from geo_assets.models._onnx import check_onnx


class Onnx:
    """See the module."""

    artifact_types = ("onnx", "torch.onnx.export", "onnx.save")

    def open(
        self, content: bytes, model: ModelItem, *, device: str = "cpu", threads: int | None = None
    ) -> ModelSession:
        """See ``ModelRuntime.open``."""
        if device != "cpu":
            raise ConfigError(f"device {device!r}: ONNX models are run on the CPU only; take 'cpu'")
        check_onnx(content)
        try:
            import onnxruntime
        except ImportError as e:
            raise PluginError(f"ONNX models need onnxruntime; install geo-assets[inference]: {e}") from e
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.use_deterministic_compute = True
        options.add_session_config_entry("session.load_model_format", "ONNX")
        if threads is not None:
            options.intra_op_num_threads = options.inter_op_num_threads = threads
        try:
            # Its fall-back is the same once more, with a notice on stdout
            session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except Exception as e:  # onnxruntime's errors have no base of their own
            raise ConfigError(f"model {model.item_id}: ONNX Runtime cannot open it: {told(e)[:300]}") from e
        inputs = session.get_inputs()
        if len(inputs) != 1:
            raise ConfigError(f"model {model.item_id} has {len(inputs)} inputs, and its item one")
        return _Session(session, inputs[0].name, model)


class _Session:
    def __init__(self, session: Any, name: str, model: ModelItem) -> None:
        self._session, self._name, self._model = session, name, model
        outputs = [o.name for o in session.get_outputs()]
        if len(outputs) > 1 and model.output_name not in outputs:
            raise ConfigError(
                f"model {model.item_id} has the outputs {', '.join(outputs)}; the item's output must have the name of one of them, not {model.output_name!r}"
            )
        self._output = model.output_name if model.output_name in outputs else outputs[0]

    def run(self, batch: npt.NDArray[Any]) -> npt.NDArray[Any]:
        try:
            (found,) = self._session.run([self._output], {self._name: np.ascontiguousarray(batch)})
        except Exception as e:  # onnxruntime's errors have no base of their own
            raise ConfigError(
                f"model {self._model.item_id} cannot be run with an array of {batch.shape}: {told(e)[:300]}"
            ) from e
        if not isinstance(found, np.ndarray):
            raise ConfigError(f"model {self._model.item_id} gives {type(found).__name__}, and one array is needed")
        return found


PLUGIN = Onnx()
