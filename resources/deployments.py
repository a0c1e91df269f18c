"""Typed settings of the deployments local, test and cloud: the only reader of the environment."""

import os
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from geo_assets.errors import ConfigError

VARIABLE = "GEO_ASSETS_DEPLOYMENT"
STEPS_ON = "GEO_ASSETS_STEPS_ON"
_VARIABLES = {
    "name": VARIABLE,
    "storage_root": "GEO_ASSETS_STORAGE",
    "workers": "GEO_ASSETS_WORKERS",
    "steps_on": STEPS_ON,
}


class Deployment(BaseModel):
    """Where and with what a project runs; None leaves the project file's own value.

    Attributes:
        name: Which deployment.
        storage_root: Root of everything that is made (``GEO_ASSETS_STORAGE``).
        workers: Tasks at a time (``GEO_ASSETS_WORKERS``).
        steps_on: Dask scheduler whose workers run whole steps, such as ``tcp://scheduler:8786`` (``GEO_ASSETS_STEPS_ON``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["local", "test", "cloud"] = "local"
    storage_root: str | None = None
    workers: int | None = Field(default=None, ge=1)
    steps_on: str | None = None


def deployment() -> Deployment:
    """The deployment that the environment names; ``local`` if it names none.

    Raises:
        ConfigError: Unknown, or a setting that it needs is missing.
    """
    given = {field: value for field, name in _VARIABLES.items() if (value := os.environ.get(name))}
    try:
        found = Deployment.model_validate(given)
    except ValidationError as e:
        first = e.errors()[0]
        raise ConfigError(f"{_VARIABLES[str(first['loc'][0])]}={first['input']!r}: {first['msg']}") from None
    if found.name == "cloud" and (found.storage_root is None or "://" not in found.storage_root):
        raise ConfigError(
            f"{VARIABLE}=cloud needs GEO_ASSETS_STORAGE with the URI of a bucket, such as s3://bucket/prefix"
        )
    return found
