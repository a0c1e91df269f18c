"""What a run is to make; without Dagster, so that the command line starts at once."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RunOptions:
    """What to run."""

    first_month: str | None = None
    last_month: str | None = None
    regions: list[str] | None = None
    products: list[str] | None = None
    limit: int | None = None
    overwrite: bool = False
    initialize: bool = False
    retry_failed: bool = False
    tiles: str | None = None
