"""How a Ray cluster is started and left: its own one is closed to all others, and this process is as it was before."""

import contextlib
import importlib
import logging
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from geo_assets.compute._restored import restored
from geo_assets.errors import ComputeError, ConfigError, GeoAssetsError, PluginError
from geo_assets.model.compute import ComputeRecipe

_LOOPBACK = "127.0.0.1"
_STORE_BYTES = 256 * 2**20  # tasks and receipts are small; Ray's own default is a third of the memory
_LONGEST_FOLDER = 40  # a socket's path has 107 bytes (unix(7)), and Ray's names below its folder take 64
_OURS = {"address": "compute.address", "num_cpus": "compute.workers", "_node_ip_address": "compute.address"}


def library() -> Any:
    """The library.

    Raises:
        PluginError: It is not installed.
    """
    try:
        import ray
    except ImportError as e:
        raise PluginError(f"the backend ray needs the extra ray: pip install 'geo-assets[ray]' ({e})") from e
    return ray


def check(ray: Any, recipe: ComputeRecipe) -> None:
    """Refuse what would go wrong later, or elsewhere.

    Raises:
        ConfigError: A setting is wrong, or Ray is in use here.
    """
    for name in sorted(_OURS.keys() & recipe.config.keys()):
        raise ConfigError(f"compute.config.{name} has a setting of its own: {_OURS[name]}")
    if (recipe.address or "").startswith("ray://"):
        raise ConfigError(
            f"compute.address is {recipe.address}: through Ray Client nobody learns when a task starts; "
            "run on a machine of the cluster and write auto, or host:port of its head"
        )
    if ray.is_initialized():
        raise ConfigError("this process is connected to a Ray cluster already: call ray.shutdown() first")


@contextlib.contextmanager
def given(ray: Any, recipe: ComputeRecipe) -> Iterator[Callable[[], bool]]:
    """A cluster that runs already, until the end of the context; yields whether it runs still, as far as is known here."""
    _forget_token()
    with restored(signal.SIGTERM):
        _init(ray, f"the Ray cluster {recipe.address}", address=recipe.address, **_quiet(), **recipe.config)
    try:
        yield lambda: True  # Ray itself ends a process whose cluster is gone
    finally:
        ray.shutdown()


@contextlib.contextmanager
def own(ray: Any, recipe: ComputeRecipe) -> Iterator[Callable[[], bool]]:
    """A cluster of this machine, which listens on the loopback alone and takes a token that is nowhere written down.

    Yields whether all of its processes run.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="ray-", dir=_short_folder(), ignore_cleanup_errors=True)
        )
        settings = {
            "include_dashboard": False, "object_store_memory": _STORE_BYTES, "_temp_dir": folder, **_quiet(), **recipe.config
        }  # fmt: skip
        stack.callback(_forget_token)
        with restored(signal.SIGTERM), _loopback_alone():
            os.environ.update(
                RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32), RAY_USAGE_STATS_ENABLED="0",
                RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", PYTHONPATH=os.pathsep.join(p for p in sys.path if p),
            )  # fmt: skip
            _forget_token()
            stack.callback(ray.shutdown)
            _init(ray, "a Ray cluster of this machine", address="local", num_cpus=recipe.workers, _node_ip_address=_LOOPBACK, **settings)  # fmt: skip
        if ray.util.get_node_ip_address() != _LOOPBACK:
            raise ComputeError(
                "Ray listens beyond this machine, and is not used: see that its version is at least 2.50"
            )
        node: Any = importlib.import_module("ray._private.worker")._global_node
        yield lambda: not node.dead_processes()


def _init(ray: Any, what: str, **settings: Any) -> None:
    try:
        ray.init(**settings)
    except GeoAssetsError:
        raise
    except Exception as e:
        raise ComputeError(f"{what} cannot be used: {type(e).__name__}: {first_line(e)}") from e


def _quiet() -> dict[str, Any]:
    """Each lost worker is our result, and no line on the screen."""
    return {"log_to_driver": False, "logging_level": logging.ERROR}


def first_line(error: BaseException) -> str:
    """First line of what it says."""
    return next(iter(str(error).strip().splitlines()), "")


def _short_folder() -> str | None:
    """Where a folder's name is short enough for Ray's sockets."""
    return None if len(tempfile.gettempdir()) < _LONGEST_FOLDER - len("/ray-12345678") else "/tmp"  # noqa: S108


@contextlib.contextmanager
def _loopback_alone() -> Iterator[None]:
    """Ray puts the machine's outer address in the place of the loopback, but where clusters are switched off (services.py)."""
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _forget_token() -> None:
    """Have Ray look at the environment again: it keeps what it saw when it was imported, or at the last start."""
    raylet: Any = importlib.import_module("ray._raylet")
    if hasattr(raylet, "AuthenticationTokenLoader"):  # since 2.52
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()
