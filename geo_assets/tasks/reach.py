"""Whether workers elsewhere see the storage: asked once a run, before tasks write to a disk that nobody reads."""

import uuid
from dataclasses import dataclass

from geo_assets.errors import ConfigError
from geo_assets.storage import Storage
from geo_assets.tasks.steps import Mapper

_FOLDER = "probes"


@dataclass(frozen=True)
class Reach:
    """A name that the driver has just written.

    Attributes:
        root: Path or URI of the storage.
        name: Of the object.
    """

    root: str
    name: str


def read_back(task: Reach) -> str:
    """What a worker finds there; "" if it finds nothing.

    Raises:
        StoreError: It cannot read there.
        ConfigError: It cannot use such a storage.
    """
    return (Storage(task.root).read(task.name) or b"").decode("ascii", "replace")


def refuse_unreached(storage: Storage, mapper: Mapper, *, backend: str) -> None:
    """Refuses a storage that workers do not see as the driver does.

    Args:
        storage: Of the project.
        mapper: Runs tasks.
        backend: Name of the compute backend.

    Raises:
        ConfigError: Workers read something else there, or cannot read at all.
        StoreError: The driver itself cannot write there.
    """
    token = uuid.uuid4().hex
    name = f"{_FOLDER}/{token}"
    storage.write(name, token.encode())
    try:
        (result,) = mapper(read_back, [Reach(storage.root, name)])
    finally:
        storage.delete(name)
    if result.value == token:
        return
    why = f": {result.cause}" if result.cause else ""
    place = (
        "give them a bucket, or a folder that all of them share" if "://" not in storage.root else "give them access"
    )
    raise ConfigError(f"workers of {backend} cannot read {storage.root}{why}; {place}; no task was sent")
