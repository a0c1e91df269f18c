"""Lithops: this machine to try it, or AWS Lambda, in several regions at once.

Each region has an executor, a function and a bucket of its own, and tasks go to the region of the sensor that they read. Retries
of Lithops and of AWS stay off, since the driver tries again.
"""

import contextlib
from collections.abc import Iterator, Sequence

from geo_assets.compute._driver import Engine
from geo_assets.compute._lambda_prices import lambda_price
from geo_assets.compute._lithops_config import DEFAULT_MEMORY_MB, LOCALHOST, backend_of, local_config, regions_of
from geo_assets.compute._lithops_lambda import Lambda, connected
from geo_assets.compute._lithops_local import Local
from geo_assets.errors import PluginError
from geo_assets.model.compute import Capabilities, ComputeRecipe
from geo_assets.model.cost import FREE, Estimate, Load, Price, estimate


class Lithops:
    """See ``model.compute.Compute``."""

    def capabilities(self, recipe: ComputeRecipe) -> Capabilities:
        """Those of this machine or of AWS Lambda.

        Raises:
            ConfigError: The settings are wrong, or nobody knows the price of a region.
            PluginError: The library is not installed.
        """
        if backend_of(recipe) == LOCALHOST:
            _installed()
            return Local.capabilities
        _installed()
        for region in regions_of(recipe):
            self.price(recipe, region)
        return Lambda.capabilities

    def price(self, recipe: ComputeRecipe, region: str) -> Price:
        """What a try costs on AWS Lambda; this machine costs nothing.

        Raises:
            ConfigError: Nobody knows the price there.
        """
        if backend_of(recipe) == LOCALHOST:
            return FREE
        memory_mb = recipe.memory_mb or DEFAULT_MEMORY_MB
        return lambda_price(region or recipe.region or "", recipe.architecture, memory_mb, recipe.usd_per_gb_s)

    def estimate(self, recipe: ComputeRecipe, loads: Sequence[Load]) -> Estimate:
        """Time and money of some loads, each in the region of what it reads.

        Raises:
            ConfigError: Nobody knows the price there.
        """
        return estimate(
            loads, workers=recipe.workers, price=lambda source: self.price(recipe, recipe.region_of(source)), place=recipe.region_of
        )  # fmt: skip

    @contextlib.contextmanager
    def connect(self, recipe: ComputeRecipe) -> Iterator[Engine]:
        """Make what it needs in each region; leaving it ends what runs here, and deletes what is in storage."""
        self.capabilities(recipe)
        adapter: Local | Lambda
        adapter = Local(local_config(recipe), recipe.workers) if backend_of(recipe) == LOCALHOST else connected(recipe)
        try:
            yield Engine(adapter, recipe, price=lambda region: self.price(recipe, region))
        finally:
            adapter.close()


def _installed() -> None:
    try:
        import boto3  # noqa: F401
        import lithops  # noqa: F401
    except ImportError as e:
        raise PluginError(
            f"the backend lithops needs the extra lithops: pip install 'geo-assets[lithops]' ({e})"
        ) from e


PLUGIN = Lithops()
