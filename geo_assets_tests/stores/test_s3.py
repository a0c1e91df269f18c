"""Cubes on object storage."""

import itertools
import pickle

import numpy as np
import pytest

from geo_assets import registry
from geo_assets.errors import StoreError
from geo_assets.storage import Storage
from geo_assets.testing.conformance_levels import LevelsConformance
from geo_assets.testing.conformance_store import GROUP, StoreConformance, block, made, put, stored, write
from geo_assets_tests.stores.s3 import BUCKET, SECRETS, moto_server, proxy, use

pytest.importorskip("s3fs", reason="S3 needs the extra `aws`")
pytest.importorskip("moto", reason="S3 is played by moto, of the extra `dev`")

_numbers = itertools.count()


@pytest.fixture(scope="module")
def server():
    with moto_server() as url:
        yield url


@pytest.fixture(autouse=True)
def environment(server, monkeypatch):
    use(monkeypatch, server)


@pytest.fixture
def uri():
    return f"s3://{BUCKET}/{next(_numbers)}/cube"


@pytest.fixture
def plugin(kind):
    return registry.load("stores", kind)


class TestTransactional(StoreConformance):
    @pytest.fixture
    def kind(self):
        return "icechunk"


class TestPlain(StoreConformance):
    transactional = False

    @pytest.fixture
    def kind(self):
        return "zarr"


class TestLevels(LevelsConformance):
    @pytest.fixture
    def kind(self):
        return "icechunk"


@pytest.mark.heavy
class TestPlainLevels(LevelsConformance):
    transactional = False

    @pytest.fixture
    def kind(self):
        return "zarr"


ICECHUNK = registry.load("stores", "icechunk")


def test_commits_of_two_writers_are_both_kept(uri):
    cube = made(ICECHUNK, uri)
    sessions = [ICECHUNK.open(uri).session(GROUP) for _ in range(4)]
    changes = [write(ICECHUNK, s.handle(), at=(i, 0), time=0, value=i) for i, s in enumerate(sessions)]
    for i, session in enumerate(sessions):
        session.commit([changes[i]], f"commit {i}", {})
    for i in range(4):
        assert np.array_equal(stored(cube, at=(i, 0), time=0), block(i))


@pytest.mark.parametrize("kind", ["icechunk", "zarr"])
def test_no_credential_is_in_what_is_sent_or_stored(plugin, uri, server):
    cube = made(plugin, uri)
    session = cube.session(GROUP)
    changes = write(plugin, session.handle(), at=(0, 0), time=0, value=1)
    session.commit([changes], "m", {"run": "r"})
    storage = Storage(uri.rpartition("/")[0])
    stored_bytes = b"".join(storage.read(name) for name in storage.names("cube"))
    assert stored_bytes
    for secret in SECRETS.values():
        for content in (session.handle(), changes, stored_bytes, pickle.dumps(list(cube.history()))):
            assert secret.encode() not in content


def test_storage_that_ignores_conditions_is_refused(uri, server, monkeypatch):
    with proxy(server) as between:
        use(monkeypatch, between.url)
        assert ICECHUNK.open(uri).probe() == "conditional writes"
        between.deaf = True
        with pytest.raises(StoreError, match="If-None-Match"):
            ICECHUNK.open(uri).probe()


@pytest.mark.parametrize("when", ["once", pytest.param("always", marks=pytest.mark.heavy)])
def test_commit_whose_reply_is_lost_counts_once(uri, server, monkeypatch, when):
    with proxy(server) as between:
        use(monkeypatch, between.url)
        cube = made(ICECHUNK, uri)
        session = cube.session(GROUP)
        changes = write(ICECHUNK, session.handle(), at=(0, 0), time=0, value=3)
        lost = []

        def cut(method, path):
            branch = method == "PUT" and "refs/branch.main" in path
            lost.extend([path] * branch)
            return branch and (when == "always" or len(lost) == 1)

        between.cut = cut
        found = session.commit([changes], "mine", {"run": "r1"})
        assert lost
        history = list(ICECHUNK.open(uri).history())
        assert [h["message"] for h in history].count("mine") == 1
        assert history[0]["id"] == found
        between.cut = lambda method, path: False
        assert np.array_equal(stored(cube, at=(0, 0), time=0), block(3))


@pytest.mark.parametrize("kind", ["icechunk", "zarr"])
def test_storage_that_refuses_is_a_store_error(plugin, monkeypatch):
    cube = plugin.open("s3://no-such-bucket/cube")
    with pytest.raises(StoreError, match="no-such-bucket"):
        made(plugin, "s3://no-such-bucket/cube")
    with pytest.raises(StoreError):
        cube.probe()


def test_put_after_put_on_plain_zarr_counts_at_once(uri):
    plugin = registry.load("stores", "zarr")
    cube = made(plugin, uri)
    put(plugin, cube, at=(0, 0), time=0, value=1)
    assert np.array_equal(stored(plugin.open(uri), at=(0, 0), time=0), block(1))
