"""Where scenes are searched."""

import dagster as dg

from geo_assets.model.recipe import CatalogRecipe


class CatalogResource(dg.ConfigurableResource, CatalogRecipe):  # type: ignore[type-arg]
    """Any catalog plugin, by name, with its settings."""

    @classmethod
    def of(cls, recipe: CatalogRecipe) -> "CatalogResource":
        """With the project file's settings."""
        return cls(**recipe.model_dump())

    def recipe(self) -> CatalogRecipe:
        """Settings of the catalog plugin."""
        return CatalogRecipe(**{name: getattr(self, name) for name in CatalogRecipe.model_fields})
