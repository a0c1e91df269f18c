"""What is asked for, as what Iceberg leaves out parts, files and rows by."""

import datetime as dt
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg import expressions

from geo_assets.model.chip_table import Bounds, Where

_MOST_NAMED = 200  # values that a file's bounds are compared with one by one; pyiceberg looks at no more
_of: Any = expressions  # whose declared types are those of pydantic's fields and not of its constructors


def expression(where: Where) -> expressions.BooleanExpression:
    """One expression for all that is asked for."""
    parts: list[expressions.BooleanExpression] = []
    for column, names in (
        ("month", where.months),
        ("sensor", where.sensors),
        ("region", where.regions),
        ("chip_id", where.chips),
    ):
        if names:
            parts.append(_of.In(column, list(names)))
    if where.after is not None:
        parts.append(_of.GreaterThanOrEqual("datetime", where.after.astimezone(dt.UTC).isoformat()))
    if where.before is not None:
        parts.append(_of.LessThan("datetime", where.before.astimezone(dt.UTC).isoformat()))
    if where.min_clear is not None:
        parts.append(_of.GreaterThanOrEqual("clear_fraction", where.min_clear))
    if where.min_valid is not None:
        parts.append(_of.GreaterThanOrEqual("valid_fraction", where.min_valid))
    # What was not merged is not filled
    if where.max_fill is not None:
        parts.append(_of.Or(_of.IsNull("fill_fraction"), _of.LessThanOrEqual("fill_fraction", where.max_fill)))
    if where.max_age_days is not None:
        parts.append(_of.Or(_of.IsNull("max_age_days"), _of.LessThanOrEqual("max_age_days", where.max_age_days)))
    if where.bounds is not None:
        parts.append(_within(where.bounds))
    found: expressions.BooleanExpression = _of.AlwaysTrue()
    for part in parts:
        found = _of.And(found, part)
    return found


def _within(bounds: Bounds) -> expressions.BooleanExpression:
    west, south, east, north = bounds
    found: expressions.BooleanExpression
    if west > east:
        found = _of.Or(_within((west, south, 180.0, north)), _within((-180.0, south, east, north)))
        return found
    found = _of.And(
        _of.And(_of.LessThanOrEqual("west", east), _of.GreaterThanOrEqual("east", west)),
        _of.And(_of.LessThanOrEqual("south", north), _of.GreaterThanOrEqual("north", south)),
    )
    return found


def near(rows: pa.Table) -> expressions.BooleanExpression:
    """Which files may hold some keys."""
    times = pc.min_max(rows["datetime"]).as_py()
    within = _of.And(
        _of.GreaterThanOrEqual("datetime", times["min"].isoformat()),
        _of.LessThanOrEqual("datetime", times["max"].isoformat()),
    )
    ids = sorted(pc.unique(rows["chip_id"]).to_pylist())
    named = _of.In("chip_id", ids)
    if len(ids) > _MOST_NAMED:
        named = _of.And(_of.GreaterThanOrEqual("chip_id", ids[0]), _of.LessThanOrEqual("chip_id", ids[-1]))
    found: expressions.BooleanExpression = _of.And(within, named)
    return found
