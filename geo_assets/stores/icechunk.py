"""Icechunk: every finished partition is one commit, failed blocks leave no trace, releases are tags."""

import contextlib
import math
import os
import pickle
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import icechunk

from geo_assets.errors import ConfigError, ConflictError, StoreError
from geo_assets.model.geometry import PixelGrid
from geo_assets.model.period import Periods
from geo_assets.model.plugin import Variable
from geo_assets.stores import _layout, _levels, _probe

_BRANCH = "main"
_REBASE_TRIES = 100
_MOST_PARTS, _LEAST_SIDE = 1000, 32
_ERRORS = (icechunk.IcechunkError, icechunk.ConflictError, icechunk.RebaseFailedError, OSError)  # they share no base


def _storage(uri: str) -> icechunk.Storage:
    parts = urllib.parse.urlsplit(uri)
    prefix = parts.path.strip("/")
    if "://" not in uri:
        icechunk.set_logs_filter("error")  # it warns of concurrent commits on local disks, which our lock serialises
        return icechunk.local_filesystem_storage(os.path.abspath(uri))
    if parts.scheme == "s3":
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        return icechunk.s3_storage(
            bucket=parts.netloc, prefix=prefix, from_env=True, region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
            endpoint_url=endpoint, allow_http=bool(endpoint and endpoint.startswith("http://")), force_path_style=bool(endpoint),
        )  # fmt: skip
    if parts.scheme == "gs":
        return icechunk.gcs_storage(bucket=parts.netloc, prefix=prefix, from_env=True)
    if parts.scheme in ("az", "abfs"):
        account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
        if not account:
            raise ConfigError(f"{uri}: set AZURE_STORAGE_ACCOUNT_NAME to the storage account")
        return icechunk.azure_storage(account=account, container=parts.netloc, prefix=prefix, from_env=True)
    raise ConfigError(
        f"{uri}: icechunk keeps cubes on local paths, s3://, gs:// and az://; use cube.store: zarr elsewhere"
    )


def _config(grid: PixelGrid, periods: Periods) -> icechunk.RepositoryConfig:
    """Settings of a new repository: its lists of chunks are cut, by month and by squares of shards.

    A commit writes a list anew that it changes, so that one list of all chunks of an array grows with the square of the
    commits. Squares are as small as leaves a thousand lists an array, since every write looks at each of them.
    """
    rows, cols = (math.ceil(n / grid.block_px) for n in grid.array_geobox().shape)
    parts, side = max(1, _MOST_PARTS // len(periods)), _LEAST_SIDE
    while math.ceil(rows / side) * math.ceil(cols / side) > parts:
        side *= 2
    axes, dimension = {"time": 1, "y": side, "x": side}, icechunk.ManifestSplitDimCondition.DimensionName
    every = icechunk.ManifestSplitCondition.AnyArray()
    cut = icechunk.ManifestSplittingConfig.from_dict({every: {dimension(name): size for name, size in axes.items()}})
    config = icechunk.RepositoryConfig.default()
    config.manifest = icechunk.ManifestConfig(splitting=cut)
    return config


class IcechunkCube:
    """A cube in an Icechunk repository; see ``Cube``."""

    faults: tuple[type[Exception], ...] = (*_ERRORS, ValueError, RuntimeError)

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._repo: icechunk.Repository | None = None

    def _existing(self) -> icechunk.Repository | None:
        if self._repo is None and ("://" in self._uri or os.path.isdir(self._uri)):
            storage = _storage(self._uri)
            if icechunk.Repository.exists(storage):
                self._repo = icechunk.Repository.open(storage)
        return self._repo

    def _writable(self, config: icechunk.RepositoryConfig | None = None) -> icechunk.Repository:
        repo = self._existing()
        if repo is None:
            if "://" not in self._uri:
                os.makedirs(self._uri, exist_ok=True)
            repo = self._repo = icechunk.Repository.open_or_create(_storage(self._uri), config)
        return repo

    def describe(self) -> dict[str, Any] | None:
        """Attributes of the root, or None."""
        with _as_store_error(self._uri, "read"):
            repo = self._existing()
            return None if repo is None else _layout.describe(repo.readonly_session(_BRANCH).store, self._uri)

    def prepare(
        self,
        attrs: Mapping[str, Any],
        group: str,
        grid: PixelGrid,
        periods: Periods,
        variables: Sequence[Variable],
        levels: Sequence[PixelGrid] = (),
    ) -> None:
        """Create what is missing, in one commit; see ``Cube``."""
        with _as_store_error(self._uri, "prepare"), _lock(self._uri):
            for _ in range(_REBASE_TRIES):
                repo = self._writable(_config(grid, periods))
                there = repo.readonly_session(_BRANCH).store
                if not (
                    _layout.needs_work(there, self._uri, group, periods, variables)
                    or _levels.needs_work(there, self._uri, group, grid, periods, variables, levels)
                ):
                    return
                session = repo.writable_session(_BRANCH)
                _layout.prepare(session.store, attrs, group, grid, periods, variables)
                _levels.prepare(session.store, group, grid, periods, variables, levels)
                # On object storage another process may be first: then look again at what is still missing
                with contextlib.suppress(icechunk.ConflictError):
                    session.commit(
                        f"prepare {group}{' pyramid' if levels else ''}", metadata={"product": "layout", "group": group}
                    )
                    return
            raise StoreError(f"{self._uri}: other processes kept changing the cube; try again")

    def session(self, group: str) -> "IcechunkSession":
        """A session for one partition."""
        with _as_store_error(self._uri, "open"):
            return IcechunkSession(self._writable(), self._uri, group)

    def zarr_store(self, tag: str | None = None) -> Any:
        """Read-only store of the newest state or of a tag.

        Raises:
            StoreError: There is no cube, or no such tag.
        """
        with _as_store_error(self._uri, "read"):
            repo = self._existing()
            if repo is None:
                raise StoreError(f"no cube at {self._uri} yet: run the project first")
            if tag is not None and tag not in repo.list_tags():
                there = ", ".join(sorted(repo.list_tags())) or "none"
                raise StoreError(f"no tag {tag!r}; the cube has {there}")
            return (repo.readonly_session(tag=tag) if tag else repo.readonly_session(_BRANCH)).store

    def history(self) -> Iterator[dict[str, Any]]:
        """Commits, newest first."""
        with _as_store_error(self._uri, "read"):
            repo = self._existing()
            for snapshot in repo.ancestry(branch=_BRANCH) if repo else ():
                yield {
                    "id": snapshot.id,
                    "message": snapshot.message,
                    "time": snapshot.written_at,
                    "metadata": dict(snapshot.metadata),
                }

    def probe(self) -> str:
        """Write, read and delete a small object, and see that of two writers one is refused.

        Returns:
            What keeps concurrent commits apart here.

        Raises:
            StoreError: The storage cannot be written, or it would lose commits.
        """
        with _as_store_error(self._uri, "probe"):
            _probe.round_trip(self._uri)
            if "://" in self._uri:
                _probe.refuses_second_writer(self._uri)
                return "conditional writes"
            with _lock(self._uri):
                return "file lock"


class IcechunkSession:
    """See ``CubeSession``: workers write into forks, and only those of good blocks are merged."""

    atomic = True

    def __init__(self, repo: icechunk.Repository, uri: str, group: str) -> None:
        self._uri = uri
        self._session = repo.writable_session(_BRANCH)
        self._handle = pickle.dumps((self._session.fork(), group))

    def handle(self) -> bytes:
        """A fork of the session."""
        return self._handle

    def commit(self, changes: Sequence[bytes], message: str, metadata: Mapping[str, Any]) -> str:
        """Merge the workers' forks and commit them at once.

        Local disks know no conditional write, so commits there are serialised by a file lock: without it, acknowledged
        commits of concurrent writers get lost.
        """
        with _as_store_error(self._uri, "commit"):
            forks = [pickle.loads(c) for c in changes]  # noqa: S301 - made by our own workers in the same run
            _check_disjoint(forks)
            if forks:
                self._session.merge(*forks)
            if not self._session.has_uncommitted_changes:  # nothing observed and nothing to erase
                return str(self._session.snapshot_id)
            base = self._session.snapshot_id
            with _lock(self._uri):
                try:
                    rebase = icechunk.ConflictDetector()
                    done = self._session.commit(
                        message, metadata=dict(metadata), rebase_with=rebase, rebase_tries=_REBASE_TRIES
                    )
                    return str(done)
                except _ERRORS as e:
                    committed = _find_commit(self._uri, base, message, metadata)
                    if committed is not None:
                        return committed
                    if isinstance(e, icechunk.RebaseFailedError | icechunk.ConflictError):
                        raise ConflictError(
                            f"{self._uri}: another run committed the same blocks and month first, and this run's were not; run again"
                        ) from e
                    raise


def _find_commit(uri: str, base: str, message: str, metadata: Mapping[str, Any]) -> str | None:
    """The commit with this text made since ``base``: where only the reply to it was lost, it counts."""
    try:
        for snapshot in icechunk.Repository.open(_storage(uri)).ancestry(branch=_BRANCH):
            if snapshot.id == base:
                return None
            if snapshot.message == message and dict(snapshot.metadata) == dict(metadata):
                return str(snapshot.id)
    except _ERRORS:
        pass  # the storage is gone: the first error says more
    return None


def _check_disjoint(forks: Sequence[Any]) -> None:
    """Forks that wrote the same chunk would merge without a word, and one of them would win.

    Raises:
        StoreError: Two did.
    """
    seen: set[tuple[str, tuple[int, ...]]] = set()
    for fork in forks:
        mine = {(array, tuple(c)) for array, chunks in fork.status().updated_chunks.items() for c in chunks}
        if both := seen & mine:
            array, chunk = min(both)
            raise StoreError(f"two tasks wrote chunk {list(chunk)} of {array}: blocks of one commit must not overlap")
        seen |= mine


class IcechunkWriter(_layout.ZarrBlockWriter):
    """A worker's writer into its own copy of the fork."""

    faults = _ERRORS

    def __init__(self, fork: Any, group: str) -> None:
        super().__init__(fork.store, group)
        self._fork = fork

    def changes(self) -> bytes:
        """The fork with what was written."""
        return pickle.dumps(self._fork)


@contextlib.contextmanager
def _as_store_error(uri: str, what: str) -> Iterator[None]:
    try:
        yield
    except _ERRORS as e:
        raise StoreError(f"{uri}: cannot {what} the cube: {_layout.line(e)}") from e


@contextlib.contextmanager
def _lock(uri: str) -> Iterator[None]:
    if "://" in uri:
        yield
        return
    import fcntl  # not on every platform, and only local cubes need it

    path = Path(uri + ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not _is_at(handle, path):  # removed while it was waited for: the next one locks another file
                continue
            yield
            return


def _is_at(handle: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False


class _Icechunk:
    def open(self, uri: str) -> IcechunkCube:
        """The cube at a path or URI."""
        return IcechunkCube(uri)

    def writer(self, handle: bytes) -> IcechunkWriter:
        """A worker's writer."""
        fork, group = pickle.loads(handle)  # noqa: S301 - made by IcechunkSession in the same run
        return IcechunkWriter(fork, group)

    def reader(self, handle: bytes, changes: bytes = b"") -> _levels.ZarrBlockReader:
        """A worker's reader."""
        fork, group = pickle.loads(handle)  # noqa: S301 - made by IcechunkSession in the same run
        if changes:
            fork = pickle.loads(changes)  # noqa: S301 - made by IcechunkWriter in the same run
        return _levels.ZarrBlockReader(fork.store, group, (*_ERRORS, ValueError, RuntimeError))


PLUGIN = _Icechunk()
