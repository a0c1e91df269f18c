"""Any STAC API with item search, at ``catalog.url``."""

from geo_assets.catalogs._api import ApiCatalog

PLUGIN = ApiCatalog()
