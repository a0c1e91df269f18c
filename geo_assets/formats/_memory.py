"""Zarr groups that are made in memory, as the objects that they consist of."""

from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import MemoryStore

_ROOT = "zarr.json"


def objects(store: MemoryStore, folder: str) -> dict[str, bytes]:
    """Objects of a store by their names below ``folder``, the metadata of its root last."""
    found = sync(_all(store))
    ordered = [*sorted(name for name in found if name != _ROOT), _ROOT]
    return {f"{folder}/{name}": found[name] for name in ordered}


async def _all(store: MemoryStore) -> dict[str, bytes]:
    found = {}
    async for name in store.list():
        buffer = await store.get(name, prototype=default_buffer_prototype())
        assert buffer is not None
        found[name] = buffer.to_bytes()
    return found
