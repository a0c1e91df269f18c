"""The partition set and its key codec: region (dynamic) x month."""

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from geo_assets.errors import PartitionError
from geo_assets.model.geometry import Region
from geo_assets.model.period import Periods

REGION, MONTH = "region", "month"
MAX_KEYS = 60_000  # an asset with more is slow to list and to show
REGIONS = dg.DynamicPartitionsDefinition(name=REGION)


def cube_partitions(periods: Periods) -> dg.MultiPartitionsDefinition:
    """Partitions of everything that has a region and a month."""
    return month_partitions(periods.keys)


def month_partitions(months: Sequence[str]) -> dg.MultiPartitionsDefinition:
    """Partitions of what has a region and some of the project's months."""
    return dg.MultiPartitionsDefinition({REGION: REGIONS, MONTH: dg.StaticPartitionsDefinition(months)})


def reads_months(series: Mapping[str, Sequence[str]]) -> dg.MultiPartitionMapping:
    """What a product is made from that reads several months of the same region, by the month that it is for."""
    feeds: dict[str, list[str]] = {}
    for month, read in series.items():
        for key in read:
            feeds.setdefault(key, []).append(month)
    same, months = dg.IdentityPartitionMapping(), dg.StaticPartitionMapping(feeds)
    return dg.MultiPartitionMapping(
        {REGION: dg.DimensionPartitionMapping(REGION, same), MONTH: dg.DimensionPartitionMapping(MONTH, months)}
    )


def cube_key(region: str, month: str) -> dg.MultiPartitionKey:
    """Partition key of a region and month."""
    return dg.MultiPartitionKey({REGION: region, MONTH: month})


def split_key(key: str) -> tuple[str, str]:
    """Region and month of a partition key.

    Raises:
        PartitionError: Not a key of region and month.
    """
    if isinstance(key, dg.MultiPartitionKey):
        parts = key.keys_by_dimension
        return parts[REGION], parts[MONTH]
    month, _, region = key.partition("|")  # Dagster writes dimensions in the order of their names
    if not region:
        raise PartitionError(f"{key!r} is not a key of month|region")
    return region, month


def region_and_month(key: str) -> tuple[str, str | None]:
    """Region of any asset's partition key, and its month if it has one."""
    return split_key(key) if "|" in key else (key, None)


def register_regions(instance: dg.DagsterInstance, regions: Iterable[str]) -> list[str]:
    """Add region keys that the instance does not know yet; returns those that were new."""
    known = set(instance.get_dynamic_partitions(REGION))
    new = [Region.parse(r).key for r in regions if r not in known]
    if new:
        instance.add_dynamic_partitions(REGION, new)
    return new


def contiguous(keys: Sequence[str], order: Sequence[str]) -> list[tuple[str, str]]:
    """First and last of each run of ``keys`` that are neighbours in ``order``: what range runs are made of."""
    place = {key: i for i, key in enumerate(order)}
    ranges: list[tuple[str, str]] = []
    for key in sorted(set(keys), key=place.__getitem__):
        if ranges and place[ranges[-1][1]] + 1 == place[key]:
            ranges[-1] = (ranges[-1][0], key)
        else:
            ranges.append((key, key))
    return ranges
