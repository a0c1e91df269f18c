"""Coordinate reference systems: names, transformations and resolutions."""

import functools
import re
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from geo_assets.errors import ConfigError, PartitionError

METRES_PER_DEGREE = 111_320.0  # of latitude, and of longitude at the equator (WGS 84 equatorial radius * pi / 180)
_UTM_GROUP = re.compile(r"utm(\d{2})([ns])")


@functools.lru_cache(maxsize=256)
def crs_from(text: str) -> pyproj.CRS:
    """The CRS that a text names, in any form that PROJ reads.

    Raises:
        ConfigError: Unknown.
    """
    try:
        return pyproj.CRS.from_user_input(text)
    except pyproj.exceptions.CRSError as e:
        raise ConfigError(f"unknown CRS {text!r}: give an EPSG code such as EPSG:3035") from e


@functools.lru_cache(maxsize=512)
def transformer(source: str, target: str) -> pyproj.Transformer:
    """Coordinate transformation between two CRSs, always in the order (x, y).

    Raises:
        ConfigError: There is none, such as for a projection by a method that PROJ does not know.
    """
    try:
        return pyproj.Transformer.from_crs(crs_from(source), crs_from(target), always_xy=True)
    except pyproj.exceptions.ProjError as e:
        shown = source if len(source) < 80 else crs_from(source).name
        raise ConfigError(
            f"coordinates in {shown} cannot be moved to {target}: {str(e)[:100]}: give another CRS"
        ) from e


def reproject(geometry: Any, source: str, target: str) -> Any:
    """``geometry`` (one or an array of shapely geometries) in CRS ``target``; vertices only, edges are not densified."""
    if source == target:
        return geometry
    forward = transformer(source, target).transform

    def move(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.column_stack(forward(xy[:, 0], xy[:, 1]))

    return shapely.transform(geometry, move)


def canonical_crs(text: str) -> str:
    """``EPSG:code`` of a CRS given in any form that PROJ reads.

    Raises:
        ConfigError: Unknown, or without an authority code (its pixel grid could not be named for ever).
    """
    crs = crs_from(text)
    authority = crs.to_authority(min_confidence=100) or crs.to_authority()
    if authority is None:
        raise ConfigError(f"CRS {text!r} has no authority code: give one that has, such as EPSG:3035")
    if not (crs.is_geographic or crs.is_projected):
        raise ConfigError(f"CRS {text!r} is neither geographic nor projected: give one such as EPSG:3035")
    return f"{authority[0].upper()}:{authority[1]}"


def crs_of_group(group: str) -> str:
    """CRS of a cube's group: ``utm33n`` -> ``EPSG:32633``, ``epsg4326`` -> ``EPSG:4326``.

    Raises:
        PartitionError: Not the name of a group.
    """
    if utm := _UTM_GROUP.fullmatch(group):
        zone = int(utm[1])
        if 1 <= zone <= 60:
            return f"EPSG:{(32600 if utm[2] == 'n' else 32700) + zone}"
    elif other := re.fullmatch(r"([a-z]+)(\d+)", group):
        return f"{other[1].upper()}:{other[2]}"
    raise PartitionError(f"{group!r} is not a group of a cube; groups look like utm33n or epsg4326")


def group_of_crs(crs: str) -> str:
    """Name of the cube's group of a canonical CRS: ``EPSG:32633`` -> ``utm33n``."""
    authority, code = crs.split(":")
    if authority == "EPSG" and code.isdigit():
        number = int(code)
        if 32601 <= number <= 32660:
            return f"utm{number - 32600:02d}n"
        if 32701 <= number <= 32760:
            return f"utm{number - 32700:02d}s"
    return f"{authority.lower()}{code.lower()}"


def parse_resolution(value: str | float, what: str = "resolution") -> Fraction:
    """Exact resolution from ``10``, ``"1/3600"`` or ``0.000277777777777778`` (a float that means 1/n becomes 1/n).

    Raises:
        ConfigError: Not a number above 0, or not between 1e-7 and 1e6.
    """
    text = str(value).replace(" ", "")
    shown = f"{what} {str(value)[:40]!r}"
    # An exponent of many digits would take for ever to write out
    if len(text) > 40 or not re.fullmatch(r"[+-]?[\d./_]+(?:[eE][+-]?\d{1,2})?", text):
        raise ConfigError(f"{shown} is not a number: write 10 or 1/3600")
    try:
        exact = Fraction(text)
    except (ValueError, ZeroDivisionError) as e:
        raise ConfigError(f"{shown} is not a number: write 10 or 1/3600") from e
    if exact <= 0:
        raise ConfigError(f"{shown} must be above 0")
    if not Fraction(1, 10**7) <= exact <= 10**6:
        raise ConfigError(f"{shown} must lie between 1e-7 and 1e6")
    inverse = round(1 / exact)
    if inverse > 1 and abs(exact * inverse - 1) < Fraction(1, 10**9):
        return Fraction(1, inverse)
    return exact


@functools.lru_cache(maxsize=256)
def metres_per_unit(crs: str) -> float:
    """Metres of one unit of a CRS's coordinates; in geographic CRSs of a degree of latitude."""
    proj = crs_from(crs)
    return METRES_PER_DEGREE if proj.is_geographic else float(proj.axis_info[0].unit_conversion_factor)
