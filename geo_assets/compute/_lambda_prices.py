"""What AWS Lambda costs where we are certain of it: its list prices of 2025, first tier, without free tier and taxes."""

from typing import Literal

from geo_assets.errors import ConfigError
from geo_assets.model.cost import Price

USD_PER_GB_S = {"x86_64": 0.0000166667, "arm64": 0.0000133334}
USD_PER_TRY = 0.20 / 1e6
STEP_S = 0.001

# Regions that share these prices; others cost more or are not known here
_REGIONS = frozenset({
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-north-1",
    "ap-northeast-1", "ap-southeast-1", "ap-southeast-2", "ap-south-1", "ca-central-1", "sa-east-1",
})  # fmt: skip


def lambda_price(
    region: str, architecture: Literal["x86_64", "arm64"], memory_mb: int, usd_per_gb_s: float | None
) -> Price:
    """What a try costs: the time of its handler, by the memory of the function, and the request.

    Args:
        region: AWS region.
        architecture: Processor of the function.
        memory_mb: Memory of the function; AWS counts 1024 MB as a GB.
        usd_per_gb_s: What a GB-second costs, instead of the list price.

    Raises:
        ConfigError: Nobody knows what it costs there.
    """
    if usd_per_gb_s is None and region not in _REGIONS:
        raise ConfigError(
            f"the price of AWS Lambda in region {region!r} is not known: write what a GB-second costs there as compute.usd_per_gb_s"
        )
    rate = USD_PER_GB_S[architecture] if usd_per_gb_s is None else usd_per_gb_s
    return Price(usd_per_s=memory_mb / 1024 * rate, usd_per_try=USD_PER_TRY, step_s=STEP_S)
