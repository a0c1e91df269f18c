"""Lithops' own configuration, made from ours: one for this machine, or one for each cloud region."""

import copy
import math
import sys
from collections.abc import Iterator
from typing import Any

from geo_assets.errors import ConfigError
from geo_assets.model.compute import ComputeRecipe

LOCALHOST, LAMBDA = "localhost", "aws_lambda"
DEFAULT_MEMORY_MB = 4096
FUNCTION_S = 900  # AWS Lambda's limit
_SPARE_S = 5  # that a worker has to say that a task was over its time
_SECRETS = ("secret", "token", "password", "access_key", "api_key", "apikey", "private_key", "connection_string")
_OURS = {
    "region": "compute.region and compute.regions", "region_name": "compute.region and compute.regions",
    "runtime_memory": "compute.memory_mb", "architecture": "compute.architecture", "max_workers": "compute.workers",
}  # fmt: skip


def backend_of(recipe: ComputeRecipe) -> str:
    """Where Lithops runs tasks: ``localhost`` or ``aws_lambda``.

    Raises:
        ConfigError: Elsewhere, or the settings hold a secret.
    """
    for path in _secrets(recipe.config):
        raise ConfigError(
            f"compute.config holds a secret in {path}: take it out, and let the library find it as boto3 does, from the environment "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), from a profile (AWS_PROFILE) or from the machine's role"
        )
    named = _section(recipe.config, "lithops").get("backend", LOCALHOST)
    if named not in (LOCALHOST, LAMBDA):
        raise ConfigError(
            f"compute.config.lithops.backend is {named!r}: geo_assets runs Lithops on {LOCALHOST} and {LAMBDA}"
        )
    return str(named)


def _secrets(config: Any, path: str = "compute.config") -> Iterator[str]:
    """Places whose name says that a secret is there."""
    if isinstance(config, dict):
        for name, value in config.items():
            if any(word in str(name).lower() for word in _SECRETS) and value:
                yield f"{path}.{name}"
            yield from _secrets(value, f"{path}.{name}")
    elif isinstance(config, list):
        for number, value in enumerate(config):
            named = str(value.get("name", "")) if isinstance(value, dict) else ""
            if any(word in named.lower() for word in _SECRETS):
                yield f"{path}[{number}]"
            yield from _secrets(value, f"{path}[{number}]")


def local_config(recipe: ComputeRecipe) -> dict[str, Any]:
    """For this machine: version 1, one process at a time, which the adapter has several of."""
    config = copy.deepcopy(recipe.config)
    config["lithops"] = {
        "monitoring_interval": 0.05, **_section(config, "lithops"), "backend": LOCALHOST, "mode": LOCALHOST, "storage": LOCALHOST,
        # Only in case that the driver is gone: it ends tasks that are over their time itself
        "execution_timeout": math.ceil(recipe.timeout_s) + 60,
    }  # fmt: skip
    # Version 2 starts an interpreter for each task, and the name alone of one would be looked up in PATH
    config[LOCALHOST] = {
        "runtime": sys.executable, **_section(config, LOCALHOST), "version": 1, "worker_processes": 1
    }  # fmt: skip
    return _finished(config)


def regions_of(recipe: ComputeRecipe) -> list[str]:
    """AWS regions that tasks run in, the one for all others first.

    Raises:
        ConfigError: There is none for tasks that read no sensor, or not one of ours.
    """
    if not recipe.region:
        raise ConfigError("AWS Lambda needs a region: write compute.region, such as us-west-2")
    return list(dict.fromkeys([recipe.region, *recipe.regions.values()]))


def lambda_config(recipe: ComputeRecipe, region: str, account: dict[str, str]) -> dict[str, Any]:
    """For one region of AWS.

    Args:
        recipe: The settings.
        region: Which.
        account: ``account_id`` and ``user_id`` of whoever runs this.

    Raises:
        ConfigError: Something is missing, or is said where it does not count.
    """
    config = copy.deepcopy(recipe.config)
    aws, function, storage = (_section(config, name) for name in ("aws", LAMBDA, "aws_s3"))
    for name, where in _OURS.items():
        for section, values in (("aws", aws), (LAMBDA, function), ("aws_s3", storage)):
            if name in values:
                raise ConfigError(f"compute.config.{section}.{name} does not count: write {where}")
    for section, values, name, example in (
        (LAMBDA, function, "execution_role", "arn:aws:iam::123456789012:role/geo-assets-worker"),
        (LAMBDA, function, "runtime", "geo-assets:2026-01-31"),
        ("aws_s3", storage, "storage_bucket", "geo-assets-lithops-{region}"),
    ):
        if not values.get(name):
            raise ConfigError(f"compute.config.{section}.{name} is missing: write it, such as {example}")
    bucket = str(storage["storage_bucket"])
    if len(regions_of(recipe)) > 1 and "{region}" not in bucket:
        raise ConfigError(
            f"compute.config.aws_s3.storage_bucket is {bucket!r}, and tasks run in several regions, each of which needs a bucket of "
            f"its own: write {{region}} in the name, such as {bucket}-{{region}}"
        )
    limit = int(function.get("runtime_timeout", FUNCTION_S))
    config["lithops"] = {
        **_section(config, "lithops"), "backend": LAMBDA, "mode": "serverless", "storage": "aws_s3",
        "execution_timeout": min(math.ceil(recipe.timeout_s), limit - _SPARE_S),
    }  # fmt: skip
    config["aws"] = {**aws, "region": region}
    config["aws_s3"] = {**storage, "region": region, "storage_bucket": bucket.replace("{region}", region)}
    config[LAMBDA] = {
        "env_vars": [], **account, **function, "region": region, "runtime_memory": recipe.memory_mb or DEFAULT_MEMORY_MB,
        "runtime_timeout": limit, "architecture": recipe.architecture, "worker_processes": 1,
        # How many run at a time is the adapter's: Lithops forgets a place whose worker is lost
        "max_workers": 10**9, "invoke_pool_threads": max(4, min(64, recipe.workers)),
    }  # fmt: skip
    return _finished(config)


def _section(config: dict[str, Any], name: str) -> dict[str, Any]:
    found = config.get(name) or {}
    if not isinstance(found, dict):
        raise ConfigError(f"compute.config.{name} is {found!r}: it has to be a section, with names and values")
    return dict(found)


def _finished(config: dict[str, Any]) -> dict[str, Any]:
    """What is the same everywhere: no telemetry, no cleaning process, and tasks as large as ours may be."""
    config["lithops"] |= {"data_cleaner": False, "telemetry": False, "monitoring": "storage", "data_limit": 0}
    return config
