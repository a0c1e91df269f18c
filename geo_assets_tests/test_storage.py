"""Small objects: replaced in one piece, never outside the root, on disk and on S3."""

import datetime as dt
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_assets.errors import ConfigError, StoreError
from geo_assets.model import path
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.storage import DamagedError, Storage
from geo_assets_tests.stores.s3 import BUCKET, moto_server, use


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("s3fs", reason="S3 needs the extra `aws`")
    pytest.importorskip("moto", reason="S3 is played by moto, of the extra `dev`")
    with moto_server() as url:
        yield url


@pytest.fixture(params=["disk", "memory", "s3"])
def storage(request, tmp_path, monkeypatch):
    if request.param == "s3":
        use(monkeypatch, request.getfixturevalue("server"))
        return Storage(f"s3://{BUCKET}/{tmp_path.name}")
    return Storage(str(tmp_path / "data") if request.param == "disk" else f"memory://{tmp_path.name}")


def test_object_is_read_as_it_was_written_last(storage):
    assert storage.read("a/b.bin") is None
    for content in (b"one", b"", bytes(range(256)) * 1000):
        storage.write("a/b.bin", content)
        assert storage.read("a/b.bin") == content
    storage.delete("a/b.bin")
    assert storage.read("a/b.bin") is None
    storage.delete("a/b.bin")


def test_names_are_sorted_and_relative_to_the_root(storage):
    for name in ("r/b.json", "r/a/c.json", "q/x.json"):
        storage.write(name, b"x")
    assert storage.names("r") == ["r/a/c.json", "r/b.json"]
    assert storage.names("nothing") == []


def test_what_another_process_writes_is_seen_at_once(storage):
    assert storage.names("r") == []
    other = Storage(storage.root)
    other.write("r/a.json", b"1")
    assert storage.names("r") == ["r/a.json"]
    assert storage.read("r/a.json") == b"1"
    other.delete("r/a.json")
    assert storage.read("r/a.json") is None
    assert storage.names("r") == []


BAD = [
    "",
    "/",
    "..",
    "../x",
    "a/../../x",
    "a//b",
    "/etc/passwd",
    "a/./b",
    ".",
    "a/",
    "a\0b",
    "a\nb",
    "\ud800",
    "a/..",
    "./a",
]


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_name_that_leads_elsewhere_is_refused(storage, name):
    for use_it in (storage.read, storage.delete, storage.names, lambda n: storage.write(n, b"x")):
        with pytest.raises(ConfigError):
            use_it(name)


PIECES = st.sampled_from(
    ["..", ".", "", "a", "b.json", "~", "%2e%2e", "\\..", "..\\", "é", "\0", "C:", "$HOME", "*", " ", "\u202e"]
)


@settings(max_examples=150)
@given(st.lists(st.one_of(PIECES, st.text(max_size=12)), max_size=5).map("/".join))
def test_no_name_leaves_the_root(tmp_path_factory, name):
    top = tmp_path_factory.mktemp("top")
    storage = Storage(str(top / "in" / "data"))
    try:
        storage.write(name, b"x")
    except (ConfigError, StoreError):
        pass
    else:
        assert storage.read(name) == b"x"
    assert {
        os.path.relpath(os.path.join(d, f), top).split(os.sep)[:2][-1] for d, _, fs in os.walk(top) for f in fs
    } <= {"data"}


def test_reader_sees_the_old_object_or_the_new_one(tmp_path):
    storage = Storage(str(tmp_path))
    contents = {bytes([i]) * 200_000 for i in (1, 2)}
    storage.write("a", min(contents))
    stop = threading.Event()

    def writing():
        while not stop.is_set():
            for content in contents:
                storage.write("a", content)

    thread = threading.Thread(target=writing)
    thread.start()
    try:
        for _ in range(300):
            assert storage.read("a") in contents
    finally:
        stop.set()
        thread.join()
    assert os.listdir(tmp_path) == ["a"]


def test_failed_write_leaves_what_was_there_and_no_part(tmp_path, monkeypatch):
    storage = Storage(str(tmp_path))
    storage.write("a", b"old")

    def fail(*args):
        raise OSError(28, "No space left on device")

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, step, fail)
            with pytest.raises(StoreError, match="No space left"):
                storage.write("a", b"new")
        assert storage.read("a") == b"old"
        assert os.listdir(tmp_path) == ["a"]


def test_place_that_cannot_be_used_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    storage = Storage(str(tmp_path / "file"))
    with pytest.raises(StoreError):
        storage.write("a/b", b"x")
    with pytest.raises(StoreError):
        Storage(str(tmp_path)).read("file/b")
    with pytest.raises(StoreError):
        Storage(str(tmp_path)).write("a" * 300, b"x")
    with pytest.raises(ConfigError):
        Storage("nosuchscheme://x")


def test_file_address_is_a_path(tmp_path):
    storage = Storage(f"file://{tmp_path}")
    storage.write("a", b"x")
    assert storage.uri("a") == str(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"x"


def test_bucket_that_is_not_there_is_an_error(server, monkeypatch):
    use(monkeypatch, server)
    with pytest.raises(StoreError, match="no-such-bucket"):
        Storage("s3://no-such-bucket/x").write("a", b"x")


def test_receipt_that_is_none_is_an_error_that_says_what_to_do(storage):
    name = path.receipt("composite", "utm33n_r1_c1", "2024-01")
    for content in (b"", b"{", b"[]", b'{"product": 3}', b"\xff\xfe"):
        storage.write(name, content)
        with pytest.raises(StoreError, match="no receipt"):
            storage.read_receipt("composite", "utm33n_r1_c1", "2024-01")
        with pytest.warns(UserWarning, match="run the partition again"):
            assert storage.sound_receipt("composite", "utm33n_r1_c1", "2024-01") is None
        with pytest.warns(UserWarning, match="no receipt"):
            assert list(storage.receipts("composite")) == []


def test_receipt_of_another_partition_is_none_of_this_one(storage):
    receipt = PartitionReceipt(
        product="composite", region="utm33n_r1_c1", month="2024-01", status="ok", data_version="d", made_at=dt.datetime.now(dt.UTC)
    )  # fmt: skip
    storage.write_receipt(receipt)
    content = storage.read(path.receipt("composite", "utm33n_r1_c1", "2024-01"))
    storage.write(path.receipt("composite", "utm33n_r1_c1", "2024-02"), content)
    assert storage.read_receipt("composite", "utm33n_r1_c1", "2024-01") == receipt
    with pytest.raises(DamagedError, match="utm33n_r1_c1/2024-01"):
        storage.read_receipt("composite", "utm33n_r1_c1", "2024-02")
