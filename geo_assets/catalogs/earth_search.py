"""Earth Search v1 by Element 84: open data on AWS, no account needed."""

from dataclasses import dataclass, field
from typing import Any

from geo_assets.catalogs._api import api_access, search_api
from geo_assets.catalogs._http import Waiting
from geo_assets.model.href import Access
from geo_assets.model.recipe import CatalogRecipe
from geo_assets.model.scene import SceneQuery

_URL = "https://earth-search.aws.element84.com/v1"
_HOSTS = (
    "sentinel-cogs.s3.us-west-2.amazonaws.com",
    "e84-earth-search-sentinel-data.s3.us-west-2.amazonaws.com",
    "copernicus-dem-30m.s3.amazonaws.com",
    "copernicus-dem-90m.s3.amazonaws.com",
    "s3://sentinel-cogs",
    "s3://sentinel-s1-l1c",
    "s3://sentinel-s2-l1c",
    "s3://sentinel-s2-l2a",
    "s3://copernicus-dem-30m",
    "s3://copernicus-dem-90m",
    "s3://usgs-landsat",
)


@dataclass(frozen=True)
class EarthSearch:
    """Earth Search, or a copy of it at ``catalog.url``."""

    waiting: Waiting = field(default_factory=Waiting)

    def search(self, recipe: CatalogRecipe, query: SceneQuery) -> list[dict[str, Any]]:
        """Items that overlap the query's area and days.

        Raises:
            CatalogError: The search failed for good, or its answer makes no sense.
            ConfigError: ``catalog.url`` is no such API, or it has none of the collections.
        """
        return search_api(recipe.url or _URL, recipe, query, waiting=self.waiting)

    def access(self, recipe: CatalogRecipe) -> Access:
        """The buckets that Earth Search lists, or the recipe's hosts."""
        return api_access(recipe.url or _URL, recipe, _HOSTS)

    def sign(self, href: str) -> str:
        """The address as it is."""
        return href


PLUGIN = EarthSearch()
