"""Earth Search v1 by Element 84, or a copy of it at ``catalog.url``: open data on AWS, no account needed."""

from geo_assets.catalogs._api import ApiCatalog

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

PLUGIN = ApiCatalog(_URL, _HOSTS)
