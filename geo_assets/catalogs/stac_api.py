"""Any STAC API with item search."""

from dataclasses import dataclass, field
from typing import Any

from geo_assets.catalogs._api import api_access, search_api
from geo_assets.catalogs._http import Waiting
from geo_assets.errors import ConfigError
from geo_assets.model.href import Access
from geo_assets.model.recipe import CatalogRecipe
from geo_assets.model.scene import SceneQuery


@dataclass(frozen=True)
class StacApi:
    """The API at ``catalog.url``."""

    waiting: Waiting = field(default_factory=Waiting)

    def search(self, recipe: CatalogRecipe, query: SceneQuery) -> list[dict[str, Any]]:
        """Items that overlap the query's area and days.

        Raises:
            CatalogError: The search failed for good, or its answer makes no sense.
            ConfigError: There is no address, or no such API or collection there.
        """
        return search_api(_url(recipe), recipe, query, waiting=self.waiting)

    def access(self, recipe: CatalogRecipe) -> Access:
        """The recipe's hosts, or any public one; this machine's servers if the API is one of them."""
        return api_access(_url(recipe), recipe)

    def sign(self, href: str) -> str:
        """The address as it is."""
        return href


def _url(recipe: CatalogRecipe) -> str:
    if not recipe.url or not recipe.url.startswith(("https://", "http://")):
        raise ConfigError(
            f"catalog.url is {recipe.url!r}: give the address of a STAC API, such as https://example.org/stac/v1"
        )
    return recipe.url


PLUGIN = StacApi()
