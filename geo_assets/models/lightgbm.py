"""LightGBM models as text (``Booster.save_model``), for single pixels: one row of time steps x bands each."""

from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.errors import ConfigError, PluginError
from geo_assets.model.mlm import ModelItem
from geo_assets.model.plugin import ModelSession
from geo_assets.model.text import told
from geo_assets.models._trees import rebuilt


class LightGbm:
    """See the module."""

    artifact_types = ("lightgbm.Booster.save_model", "lightgbm")

    def open(
        self, content: bytes, model: ModelItem, *, device: str = "cpu", threads: int | None = None
    ) -> ModelSession:
        """See ``ModelRuntime.open``."""
        if device != "cpu":
            raise ConfigError(f"device {device!r}: LightGBM models are run on the CPU only; take 'cpu'")
        if not model.per_pixel or model.steps == -1:
            raise ConfigError(
                f"model {model.item_id}: LightGBM sees single pixels of so many time steps: its input has the dims batch, time and bands, with a number of steps"
            )
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as e:
            raise ConfigError(
                "the file is no text: a LightGBM model is saved with Booster.save_model, and a pickle or joblib file, which runs code when it is opened, is refused"
            ) from e
        features = model.steps * len(model.bands)
        text = rebuilt(text, features=features, outputs=model.layers)
        try:
            import lightgbm
        except ImportError as e:
            raise PluginError(f"LightGBM models need lightgbm; install geo-assets[inference]: {e}") from e
        try:
            booster = lightgbm.Booster(model_str=text)
        except (lightgbm.basic.LightGBMError, ValueError, KeyError) as e:
            raise ConfigError(f"model {model.item_id}: LightGBM cannot open it: {told(e)[:300]}") from e
        return _Session(booster, features, model, threads)


class _Session:
    def __init__(self, booster: Any, features: int, model: ModelItem, threads: int | None) -> None:
        self._booster, self._features, self._model = booster, features, model
        self._options = {} if threads is None else {"num_threads": threads}

    def run(self, batch: npt.NDArray[Any]) -> npt.NDArray[Any]:
        rows = np.ascontiguousarray(batch).reshape(len(batch), -1)
        if rows.shape[1] != self._features:
            raise ConfigError(
                f"model {self._model.item_id} cannot be run with an array of {batch.shape}: it needs {self._features} values a row"
            )
        found = np.asarray(self._booster.predict(rows, **self._options))
        if found.ndim == 1 and self._model.layers == 2:  # the objective "binary" gives the share of class 1
            found = np.stack([1 - found, found], axis=1)
        if found.ndim == 1 and len(self._model.output.shape) == 2:
            found = found[:, None]
        return found.astype(self._model.output.dtype)


PLUGIN = LightGbm()
