"""A STAC catalog in files: ``catalog.json``, ``collection.json`` or an item collection, in a local folder or behind fsspec."""

import functools
import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import shapely

from geo_assets.catalogs._files import Folder
from geo_assets.eo.items import distinct, footprint, item_days, meets
from geo_assets.errors import CatalogError, ConfigError
from geo_assets.model.href import Access, without_query
from geo_assets.model.recipe import CatalogRecipe
from geo_assets.model.scene import SceneQuery

_REMEMBERED_FILES = 50_000

_MOST_BYTES = 100 * 2**20  # of one file of a catalog
_FIRST = ("catalog.json", "collection.json"), "a catalog.json, collection.json or item collection"


@dataclass(frozen=True)
class _Candidate:
    """What a search has to know of an item before it is read in full."""

    collection: str | None
    days: tuple[Any, Any] | None
    shape: shapely.Geometry | None


@dataclass(frozen=True)
class _Summary:
    """One file: the items in it and the files it links to."""

    items: tuple[_Candidate, ...]
    collection: str | None
    item_links: tuple[str, ...]
    child_links: tuple[str, ...]


class StaticCatalog:
    """Items of files that link to one another; nothing outside the folder of the first file is opened."""

    def search(self, recipe: CatalogRecipe, query: SceneQuery) -> list[dict[str, Any]]:
        """Items of the catalog that meet the query, with absolute asset addresses.

        Items without a date or footprint are among them, so that the scene table can say why they are not used.

        Raises:
            ConfigError: There is no such file, or it has none of the collections.
            CatalogError: A file cannot be read, is not STAC or links out of the catalog's folder.
        """
        folder = Folder.find(recipe.path or recipe.url, *_FIRST)
        found: list[dict[str, Any]] = []
        collections: set[str] = set()
        for path, summary, parent in _walk(folder, query):
            names = [item.collection or parent for item in summary.items]
            collections |= {name for name in names if name} | {n for n in (parent,) if n}
            wanted = [i for i, item in enumerate(summary.items) if _meets(item, names[i], query)]
            if wanted:
                items = _features(_read(folder.fs, path, folder.shown), path)
                found += [_absolute({**items[i], "collection": names[i]}, folder, path) for i in wanted]
        if collections and query.collections and not collections & set(query.collections):
            raise ConfigError(
                f"{folder.shown} has no collection {' or '.join(query.collections)}, but {', '.join(sorted(collections)[:10])}: "
                "name those to use in sensors: [{sensor: ..., collections: [...]}]"
            )
        return distinct(found)

    def access(self, recipe: CatalogRecipe) -> Access:
        """The catalog's own folder, and hosts as the recipe says."""
        return Folder.known(recipe.path or recipe.url, *_FIRST).access(tuple(recipe.hosts))

    def sign(self, href: str) -> str:
        """The address as it is."""
        return href


def _read(fs: Any, path: str, catalog: str) -> Any:
    """Content of a JSON file, or of a file with one JSON document a line."""
    shown = f"{without_query(path)} in the catalog {catalog}"
    if "://" not in path and os.path.lexists(path) and not os.path.isdir(path):
        state = os.stat(path)  # a pipe would be waited for, and a device read, for ever
        if not stat.S_ISREG(state.st_mode) or state.st_size > _MOST_BYTES:
            raise _permanent(
                f"{path} is no file of at most {_MOST_BYTES // 2**20} MB: remove the link to it from {catalog}"
            )
    try:
        data = fs.cat_file(path)
        if path.endswith((".ndjson", ".jsonl")):
            return {"type": "FeatureCollection", "features": [json.loads(k) for k in data.splitlines() if k.strip()]}
        return json.loads(data)
    except FileNotFoundError as e:
        raise _permanent(f"{shown} is linked to, but missing: restore it or remove the link") from e
    except (ValueError, RecursionError) as e:
        raise _permanent(f"{shown} is not valid JSON: {e}") from e
    except OSError as e:
        raise CatalogError(f"{shown} cannot be read: {e}") from e


def _summary(folder: Folder, path: str) -> _Summary:
    """What a file holds; a local file that did not change is not read again."""
    try:
        stat = os.stat(path) if folder.local else None
    except OSError:
        stat = None  # reading it says why
    if stat is None:
        return _summarise(_read(folder.fs, path, folder.shown), path)
    return _remembered(folder.fs, path, folder.shown, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=_REMEMBERED_FILES)
def _remembered(fs: Any, path: str, catalog: str, mtime_ns: int, size: int) -> _Summary:
    return _summarise(_read(fs, path, catalog), path)


def _permanent(message: str) -> CatalogError:
    error = CatalogError(message)
    error.retryable = False
    return error


def _walk(folder: Folder, query: SceneQuery) -> Iterable[tuple[str, _Summary, str | None]]:
    """Every file that can be reached, once, with the collection it was reached through."""
    seen = {folder.start}
    queue: list[tuple[str, str | None]] = [(folder.start, None)]
    for path, parent in queue:
        summary = _summary(folder, path)
        parent = summary.collection or parent
        yield path, summary, parent
        skip = (
            bool(query.collections) and summary.collection is not None and summary.collection not in query.collections
        )
        for href in (*summary.child_links, *(() if skip else summary.item_links)):
            target = folder.resolve(href, path)
            if target not in seen:
                if not folder.holds(target):
                    raise _permanent(
                        f"{without_query(path)} links to {without_query(target)[:200]}, outside of the catalog's folder {without_query(folder.root)}: remove the link"
                    )
                seen.add(target)
                queue.append((target, parent))


def _summarise(document: Any, path: str) -> _Summary:
    kind = document.get("type") if isinstance(document, dict) else None
    links = document.get("links") if isinstance(document, dict) else None
    hrefs: dict[str, list[str]] = {"item": [], "child": []}
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and isinstance(link.get("href"), str) and link.get("rel") in hrefs:
            hrefs[link["rel"]].append(link["href"])
    if kind in ("Feature", "FeatureCollection"):
        return _Summary(tuple(_candidate(i) for i in _features(document, path)), None, (), ())
    # Catalogs older than STAC 1.0 have no type
    if kind in ("Catalog", "Collection") or (isinstance(document, dict) and "stac_version" in document):
        is_collection = kind == "Collection" or "extent" in document
        return _Summary(
            (), str(document.get("id")) if is_collection else None, tuple(hrefs["item"]), tuple(hrefs["child"])
        )
    raise _permanent(
        f"{without_query(path)} is not STAC: its type is {str(kind)[:40]!r}, not Catalog, Collection, Feature or FeatureCollection"
    )


def _features(document: Any, path: str) -> list[dict[str, Any]]:
    items = document.get("features") if document.get("type") == "FeatureCollection" else [document]
    for item in items if isinstance(items, list) else [None]:
        well_formed = (
            isinstance(item, dict)
            and isinstance(item.get("id"), str)
            and isinstance(item.get("properties"), dict)
            and isinstance(item.get("assets"), dict)
        )
        if not well_formed:
            raise _permanent(f"{without_query(path)} has an item without id, properties or assets: repair or remove it")
    return list(items)


def _candidate(item: Mapping[str, Any]) -> _Candidate:
    collection = item.get("collection")
    return _Candidate(collection if isinstance(collection, str) else None, item_days(item), footprint(item))


def _meets(item: _Candidate, collection: str | None, query: SceneQuery) -> bool:
    if query.collections and collection not in query.collections:
        return False
    return meets(query, item.days, item.shape)


def _absolute(item: dict[str, Any], folder: Folder, path: str) -> dict[str, Any]:
    assets = {}
    for key, asset in item["assets"].items():
        if isinstance(asset, dict) and isinstance(asset.get("href"), str):
            asset = {**asset, "href": folder.resolve(asset["href"], path)}
        assets[key] = asset
    return {**item, "assets": assets}


PLUGIN = StaticCatalog()
