"""Coiled without its service: what stands in for the login and for machines in the cloud, and nothing else.

``coiled.function`` itself, its ``Function``, the futures it hands out and its store of clusters and clients are Coiled's own.
Put in their place are

- ``coiled.Cluster``: ``Machines``, which takes what the real one takes, refuses what that would refuse by name, and starts
  workers here, in processes that are the same workers of ``distributed`` that Coiled's machines run;
- ``coiled.add_interaction`` and ``coiled.delete_cluster``: requests to the service, which are noted;
- the token, which is one of no account.
"""

import contextlib
import inspect
import logging
from collections.abc import Iterator
from typing import Any, ClassVar

import coiled
import dask
import pytest
from distributed import LocalCluster


class Machines(LocalCluster):
    """Workers of this machine, by the name and with the arguments of ``coiled.Cluster``."""

    real: ClassVar[Any] = coiled.Cluster
    made: ClassVar[list["Machines"]] = []
    deleted: ClassVar[list[str]] = []
    fails_with: ClassVar[dict[str, BaseException]] = {}

    def __init__(self, name: str | None = None, **asked: Any) -> None:
        inspect.signature(self.real.__init__).bind(self, name=name, **asked)
        self.asked, self.function, self.keepalive, self.unset, self.ends = asked, name, 0.0, [], 0
        self.account, self.cluster_id, self.shutdown_on_close = "nobody", len(self.made), asked["shutdown_on_close"]
        self.spans: list[Any] = []
        if error := self.fails_with.get(asked["region"] or ""):
            raise error
        self.made.append(self)
        n_workers = asked["n_workers"]
        super().__init__(
            n_workers=max(n_workers) if isinstance(n_workers, list) else n_workers,  # Coiled's service scales, and there is none
            threads_per_worker=asked["worker_options"]["nthreads"], memory_limit=0, dashboard_address="127.0.0.1:0",
            silence_logs=logging.ERROR, host="127.0.0.1",
        )  # fmt: skip

    def set_keepalive(self, keepalive: float) -> None:
        self.keepalive = keepalive

    def send_private_envs(self, env: dict[str, str]) -> None:
        raise AssertionError("no environment was asked for")

    def unset_env_vars(self, unset: list[str]) -> None:
        self.unset = list(unset)

    def add_span(self, span_identifier: str, data: Any) -> None:
        self.spans.append(span_identifier)

    def shutdown(self) -> None:
        self.ends += 1
        self.close()


@contextlib.contextmanager
def coiled_here() -> Iterator[type[Machines]]:
    """Coiled's functions run here, and what they ask for is noted."""
    with pytest.MonkeyPatch.context() as patch, dask.config.set({"coiled.token": "no-account"}):
        patch.setattr(coiled, "Cluster", Machines)
        patch.setattr(coiled, "add_interaction", lambda *_, **__: None)
        patch.setattr(coiled, "delete_cluster", lambda name, **_: Machines.deleted.append(name))
        Machines.made, Machines.deleted, Machines.fails_with = [], [], {}
        try:
            yield Machines
        finally:
            left = [c for c in Machines.made if not c.ends]
            for cluster in left:
                cluster.close()
    assert not left
