"""Where everything that is made is kept."""

import dagster as dg

from geo_assets.assets.plain import PlainStore
from geo_assets.model.plugin import Cube
from geo_assets.storage import Storage


class StorageResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A path or URI; credentials come from the environment of the process, never from here."""

    root: str

    def storage(self) -> Storage:
        """Tables, receipts and pictures."""
        return PlainStore(self.root).storage()

    def cube(self, kind: str) -> Cube:
        """The cube."""
        return PlainStore(self.root).cube(kind)
