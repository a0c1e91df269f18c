"""The exception tree: the class says what a handler should do, ``retryable`` whether a retry can help."""


class GeoAssetsError(Exception):
    """Base of every error that geo_assets raises on purpose; its text says what, where and what to do."""

    retryable = False


class ConfigError(GeoAssetsError, ValueError):
    """The recipe, the project file or the deployment is wrong: fix it and run again."""


class PluginError(GeoAssetsError, LookupError):
    """No such plugin, two of the same name, or one that cannot be imported here."""


class PartitionError(GeoAssetsError):
    """A partition key is unknown, malformed or out of range."""


class CatalogError(GeoAssetsError):
    """The scene search failed; the catalog may answer later."""

    retryable = True


class SourceError(GeoAssetsError):
    """Source pixels are missing, unreadable, refused or not what the item says."""


class StoreError(GeoAssetsError):
    """A write or a commit failed; what was committed before is untouched."""

    retryable = True


class ConflictError(StoreError):
    """Another run committed the same first; this run's work was dropped, and what the other made is there."""


class ComputeError(GeoAssetsError):
    """A backend lost a task or could not start it."""

    retryable = True


class QualityError(GeoAssetsError):
    """A result is too poor to be published."""
