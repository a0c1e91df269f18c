"""Models exported by torch.export (``.pt2``), on the CPU or a GPU.

Only archives that ``models/_pt2.py`` has made anew are opened, so no pickle is read and no code of an archive runs.
Archives of torch.save and TorchScript (``.pt``, ``.pth``) are refused. The number of threads is the whole process's: torch
knows no other.
"""

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.errors import ConfigError, PluginError
from geo_assets.model.mlm import ModelItem
from geo_assets.model.plugin import ModelSession
from geo_assets.model.text import told
from geo_assets.models._pt2 import rebuilt


class TorchExport:
    """See the module."""

    artifact_types = ("torch.export.save", "torch.export")

    def open(
        self, content: bytes, model: ModelItem, *, device: str = "cpu", threads: int | None = None
    ) -> ModelSession:
        """See ``ModelRuntime.open``."""
        archive = rebuilt(content)
        try:
            import torch
        except ImportError as e:
            raise PluginError(f"models of torch.export need torch; install geo-assets[inference]: {e}") from e
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            target = torch.device(device)
            if target.type == "cuda" and not torch.cuda.is_available():
                raise ConfigError(f"device {device!r}: this machine has no GPU that torch can use; take 'cpu'")
            program = torch.export.load(io.BytesIO(archive))
            if target.type != "cpu":
                from torch.export.passes import move_to_device_pass

                program = move_to_device_pass(program, target)
            module = program.module()
        except ConfigError:
            raise
        except Exception as e:
            raise ConfigError(
                f"model {model.item_id}: torch cannot open it: {told(e)[:300]}; export it again with this version of torch"
            ) from e
        return _Session(module, target, model)


class _Session:
    def __init__(self, module: Any, device: Any, model: ModelItem) -> None:
        self._module, self._device, self._model = module, device, model

    def run(self, batch: npt.NDArray[Any]) -> npt.NDArray[Any]:
        import torch

        try:
            with torch.inference_mode():
                found = self._module(torch.from_numpy(np.ascontiguousarray(batch)).to(self._device))
                if isinstance(found, tuple | list) and len(found) == 1:
                    found = found[0]
                if isinstance(found, torch.Tensor):
                    return np.asarray(found.cpu().numpy())
        except Exception as e:
            raise ConfigError(
                f"model {self._model.item_id} cannot be run with an array of {batch.shape}: {told(e)[:300]}"
            ) from e
        raise ConfigError(f"model {self._model.item_id} gives {type(found).__name__}, and one array is needed")


PLUGIN = TorchExport()
