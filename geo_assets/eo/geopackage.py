"""Feature tables of a GeoPackage, found without running anything that the file says.

A view is a program: one that recurses without end would hold whoever lists the layers of its file for ever. So the names
come from the file's own tables, and a view is never opened.
"""

import contextlib
import sqlite3
from pathlib import Path

from geo_assets.errors import ConfigError

_TABLES = """
    SELECT c.table_name, m.type, m.sql FROM gpkg_contents c
    JOIN gpkg_geometry_columns g ON lower(g.table_name) = lower(c.table_name)
    JOIN sqlite_master m ON lower(m.name) = lower(c.table_name) AND m.type IN ('table', 'view')
    WHERE c.data_type = 'features' ORDER BY m.rootpage
"""  # GeoPackage 1.4 (OGC 12-128r19), 1.1.3 and 2.1.5


def feature_tables(path: Path, name: str, *, layer: str | None = None) -> list[str]:
    """Names of the tables with geometries, in the order in which they were made.

    Args:
        path: A GeoPackage.
        name: What messages call it.
        layer: The one that is asked for.

    Raises:
        ConfigError: Not a GeoPackage, views in place of its own tables, or nothing but views.
    """
    # Another program may have it open; without its journal the file alone says what there is, and may not be written to
    still = "" if Path(f"{path}-wal").exists() else "&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro{still}", uri=True)) as file:
            views = [n for (n,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'view'")]
            posing = [n for n in views if n.lower().startswith(("gpkg_", "rtree_"))]
            if posing:
                raise ConfigError(
                    f"{name} has a view {posing[0][:80]!r} in place of a table of its own: export it anew"
                )
            rows = file.execute(_TABLES).fetchall()
    except (sqlite3.Error, UnicodeDecodeError) as e:
        raise ConfigError(f"{name} cannot be read as .gpkg: {e}; is it complete? Export it anew") from e
    tables = [str(n) for n, kind, sql in rows if kind == "table" and "virtual" not in str(sql).lower().split()[:2]]
    if layer in views or (views and not tables):
        raise ConfigError(f"layer {layer or views[0]} of {name} is a view, which is not run: export it as a table")
    return tables
