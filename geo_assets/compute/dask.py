"""Dask: a cluster of this machine's processes, one that runs already, or any that a function of the user's makes.

How a try is sent, told and taken back is in ``_dask_client``: on a cluster of our own the worker of a try that is over its
time is started anew.
"""

import contextlib
import importlib
import logging
import re
import socket
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Any

from geo_assets.compute import _life
from geo_assets.compute._dask_client import PAYLOAD_MB, SETTINGS, Cluster, DaskAdapter
from geo_assets.compute._driver import Engine
from geo_assets.errors import ComputeError, ConfigError, GeoAssetsError, PluginError
from geo_assets.model.compute import Capabilities, ComputeRecipe
from geo_assets.model.cost import Estimate, Load, Price, estimate, hourly
from geo_assets.model.text import told, without_secrets

_START_S, _ANSWER_S = 60.0, 10.0
_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_OWN_CLUSTER = {
    **SETTINGS,
    **{
        f"distributed.worker.memory.{k}": False for k in ("target", "spill", "pause")
    },  # the limit ends a worker, and no less
}


class Dask:
    """See ``model.compute.Compute``."""

    def capabilities(self, recipe: ComputeRecipe) -> Capabilities:
        """Those of a cluster of our own, or of one that is given.

        Raises:
            PluginError: The library is not installed.
            ConfigError: The scheduler's address, or the name of the function that makes a cluster, is none.
        """
        _distributed()
        if recipe.address:
            _place(recipe.address)
        if recipe.cluster and not _FUNCTION.fullmatch(recipe.cluster):
            raise ConfigError(f"compute.cluster is {recipe.cluster!r}: write package.module:function")
        own = not (recipe.address or recipe.cluster)
        return Capabilities(
            isolated=True, kills=own, limits_memory=own, remote=not own, paid=bool(recipe.usd_per_hour), payload_mb=PAYLOAD_MB
        )  # fmt: skip

    def price(self, recipe: ComputeRecipe, region: str) -> Price:
        """A worker's hour as the settings say: a scheduler does not know."""
        return hourly(recipe.usd_per_hour)

    def estimate(self, recipe: ComputeRecipe, loads: Sequence[Load]) -> Estimate:
        """Time and money of some loads on so many workers as the settings say."""
        return estimate(loads, workers=recipe.workers, price=lambda _: self.price(recipe, ""))

    @contextlib.contextmanager
    def connect(self, recipe: ComputeRecipe) -> Iterator[Engine]:
        """Connect to the scheduler, or start a cluster first; both end with the context."""
        distributed, capabilities = _distributed(), self.capabilities(recipe)
        logging.getLogger("distributed").setLevel(logging.ERROR)  # each lost worker is our result
        with contextlib.ExitStack() as stack:
            if recipe.address:
                _refuse_silent(recipe.address)
            try:
                where = stack.enter_context(_cluster(recipe)) if not recipe.address else recipe.address
                client = stack.enter_context(
                    distributed.Client(where, security=_security(recipe), timeout=_START_S, set_as_default=False)
                )
                client.wait_for_workers(1, timeout=_START_S)
            except GeoAssetsError:
                raise
            except Exception as e:
                raise ComputeError(
                    f"the Dask cluster {recipe.address or recipe.cluster or 'of this machine'} cannot be used: {told(e)}"
                ) from e
            cluster = Cluster(client, own=not (recipe.address or recipe.cluster))
            adapter = DaskAdapter(capabilities, cluster_in=lambda _: cluster, slots=lambda: cluster.threads)
            yield Engine(
                adapter, recipe, price=lambda region: self.price(recipe, region), dashboard=client.dashboard_link or ""
            )


def _distributed() -> Any:
    """The library.

    Raises:
        PluginError: It is not installed.
    """
    try:
        import distributed
    except ImportError as e:
        raise PluginError(f"the backend dask needs the extra dask: pip install 'geo-assets[dask]' ({e})") from e
    return distributed


def _security(recipe: ComputeRecipe) -> Any:
    """TLS as the recipe says."""
    if not recipe.tls_ca:
        return None
    from distributed import Security

    return Security(
        require_encryption=True, tls_ca_file=recipe.tls_ca, tls_client_cert=recipe.tls_cert, tls_client_key=recipe.tls_key
    )  # fmt: skip


@contextlib.contextmanager
def _cluster(recipe: ComputeRecipe) -> Iterator[Any]:
    """A cluster of the user's making, or one of this machine's processes with one thread each."""
    if recipe.cluster:
        with _made(recipe.cluster) as cluster:
            yield cluster
        return
    import dask
    from distributed import LocalCluster

    memory = f"{recipe.memory_mb}MiB" if recipe.memory_mb else 0
    with (
        dask.config.set(_OWN_CLUSTER),
        LocalCluster(
            n_workers=recipe.workers, threads_per_worker=1, processes=True, memory_limit=memory, dashboard_address=_dashboard(), silence_logs=logging.ERROR,
            preload=[_life.__name__],
        ) as cluster,
    ):  # fmt: skip
        yield cluster


def _dashboard() -> str | None:
    """Where the dashboard listens: a free port of the loopback, if bokeh is here."""
    return "127.0.0.1:0" if importlib.util.find_spec("bokeh") else None


def _place(address: str) -> tuple[str, int]:
    """Host and port of a scheduler.

    Raises:
        ConfigError: It is no address that Dask can connect to.
    """
    from distributed.comm.registry import backends

    scheme, _, rest = address.rpartition("://")
    try:
        parts = urllib.parse.urlsplit(f"//{rest}")
        if parts.hostname and parts.port and (scheme or "tcp") in backends:
            return parts.hostname, parts.port
    except ValueError:
        pass  # a port that is no number
    raise ConfigError(
        f"compute.address is {without_secrets(address)!r}: write it as tcp://host:8786 or tls://host:8786"
    )


def _refuse_silent(address: str) -> None:
    """Ask once whether anybody is there: Dask's client would ask again and again for a minute.

    Raises:
        ComputeError: Nobody is.
    """
    host, port = _place(address)
    try:
        socket.create_connection((host, port), timeout=_ANSWER_S).close()
    except OSError as e:
        raise ComputeError(
            f"nobody answers at compute.address {address}: {e}; start the scheduler, or mend the address"
        ) from e


def _made(target: str) -> Any:
    """What the user's function makes.

    Raises:
        ConfigError: There is no such function, or it makes nothing that is used as a cluster is.
        ComputeError: It fails.
    """
    module, _, name = target.partition(":")
    try:
        make = getattr(importlib.import_module(module), name)
    except Exception as e:  # a module of the user's may raise anything
        raise ConfigError(
            f"compute.cluster {target!r} cannot be imported: {told(e)}; install its package or set PYTHONPATH"
        ) from e
    try:
        made = make()
    except (Exception, SystemExit) as e:
        raise ComputeError(f"compute.cluster {target!r} failed: {told(e)}") from e
    if not (hasattr(made, "__enter__") and hasattr(made, "scheduler_address")):
        raise ConfigError(
            f"compute.cluster {target!r} returned {type(made).__name__}: it has to return a cluster of Dask"
        )
    return made


PLUGIN = Dask()
