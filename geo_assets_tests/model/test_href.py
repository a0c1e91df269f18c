"""Which addresses may be opened: everything else is refused before a reader sees it."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.errors import SourceError
from geo_assets.model.href import Access, is_local_host, without_query

PUBLIC = Access()
LOCAL_HOSTS = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "0", "0.0.0.0", "10.0.0.1", "172.16.3.4",
    "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1",
    "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::808:808", "::127.0.0.1", "::7f00:1", "fec0::1", "::ffff:0:7f00:1", "168.63.129.16", "192.0.0.192", "2002:a00:1::", "localhost", "a.localhost", "printer.local",
    "metadata.google.internal", "intranet",
]  # fmt: skip


@pytest.mark.parametrize("host", LOCAL_HOSTS)
def test_local_host_in_any_spelling_is_refused(host):
    assert is_local_host(host)
    shown = f"[{host}]" if ":" in host else host
    for scheme in ("http", "https"):
        with pytest.raises(SourceError):
            PUBLIC.check(f"{scheme}://{shown}/a.tif")
    with pytest.raises(SourceError):
        PUBLIC.check(f"http://example.com@{shown}:8080/a.tif")


@pytest.mark.parametrize("host", ["example.com", "8.8.8.8", "2606:4700::1111", "a.blob.core.windows.net", "1e100.net"])
def test_public_host_is_allowed(host):
    href = f"https://{f'[{host}]' if ':' in host else host}/a.tif?sig=x"
    assert PUBLIC.check(href) == href


@pytest.mark.parametrize(
    "href",
    [
        "file:///etc/passwd", "FILE:///etc/passwd", "/vsicurl/https://example.com/a.tif", "/vsizip/a.zip/b.tif", "/etc/passwd",
        "../a.tif", "<VRTDataset/>", "GTIFF_DIR:1:a.tif", "ftp://example.com/a.tif", "javascript:alert(1)", "data:,x", "",
        "http://127.0.0.1\\@example.com/a.tif", "http://example.com\\@127.0.0.1/a.tif", "http:\\\\127.0.0.1/a.tif",
        "http://127.0.0.1 .example.com/a.tif", "http://example.com/a\n.tif", "http://example.com/\0", "http://[::1/a.tif",
        "http:///a.tif", "http:/127.0.0.1/a.tif", "//127.0.0.1/a.tif", "https://example.com:99999/a.tif",
    ],
)  # fmt: skip
def test_odd_address_is_refused(href):
    for access in (PUBLIC, Access(hosts=("example.com",)), Access(roots=("/nonexistent",))):
        with pytest.raises(SourceError):
            access.check(href)


def test_loopback_of_a_local_catalog_allows_this_machine_and_nothing_else():
    access = Access(loopback=True)
    for host in ("127.0.0.1", "[::1]", "localhost", "127.1"):
        assert access.check(f"http://{host}:8080/a.tif")
    for host in ("10.0.0.1", "169.254.169.254", "metadata.google.internal", "intranet", "printer.local"):
        with pytest.raises(SourceError):
            access.check(f"http://{host}/a.tif")


def test_hosts_limit_what_may_be_read():
    access = Access(hosts=("example.com", ".blob.core.windows.net", "s3://sentinel-cogs"))
    for href in (
        "https://example.com/a",
        "https://x.blob.core.windows.net/a",
        "s3://sentinel-cogs/a",
        "https://EXAMPLE.com./a",
    ):
        assert access.check(href) == href
    for href in (
        "https://evil-example.com/a",
        "https://blob.core.windows.net.evil.com/a",
        "s3://other/a",
        "https://a.example.com/a",
    ):
        with pytest.raises(SourceError):
            access.check(href)


def test_bucket_is_known_by_its_exact_name():
    access = Access(hosts=("s3://data", "abfs://store.dfs.core.windows.net"), own=("gs://mine",))
    for href in ("s3://data/a.tif", "gs://mine/a.tif", "abfs://box@store.dfs.core.windows.net/a.tif"):
        assert access.check(href) == href
        assert access.trusts(href)
    for href in ("s3://Data/a.tif", "s3://data2/a.tif", "s3://mine/a.tif", "gs://data/a.tif"):
        assert not access.trusts(href)
        with pytest.raises(SourceError, match=r"bucket \w+ is not one of .*add it to catalog.hosts"):
            access.check(href)


def test_bucket_that_is_not_named_is_read_as_everybody_may():
    assert PUBLIC.check("s3://data/a.tif")
    assert not PUBLIC.trusts("s3://data/a.tif")
    assert Access(own=("s3://data",)).trusts("s3://data/a.tif")


def test_object_with_a_user_is_refused_without_showing_it():
    for scheme in ("s3", "gs"):
        with pytest.raises(SourceError, match="names no user") as error:
            PUBLIC.check(f"{scheme}://KEY:SECRET@data/a.tif")
        assert "SECRET" not in str(error.value)


def test_local_file_is_read_only_below_the_root(tmp_path):
    inside, beside = tmp_path / "in", tmp_path / "inside-not"
    for folder in (inside, beside):
        folder.mkdir()
        (folder / "a.tif").write_bytes(b"x")
    (inside / "link.tif").symlink_to(beside / "a.tif")
    (inside / "ok.tif").symlink_to(inside / "a.tif")
    access = Access(roots=(str(inside),))
    assert access.check(str(inside / "a.tif")) == os.path.realpath(inside / "a.tif")
    assert access.check(str(inside / "ok.tif")) == os.path.realpath(inside / "a.tif")
    for path in (beside / "a.tif", inside / "link.tif", inside / ".." / "inside-not" / "a.tif", "/etc/passwd", "a.tif"):
        with pytest.raises(SourceError):
            access.check(str(path))


SECRET = "S3CR3TT0K3N"
ADDRESSES = st.one_of(
    st.text(max_size=80),
    st.builds(
        "{}{}{}{}{}".format,
        st.sampled_from(["http://", "https://", "s3://", "file://", "", "//", "http:\\\\", "/vsicurl/http://"]),
        st.sampled_from(["example.com", "127.0.0.1", "[::1]", "[::1", "a\\@b.com", "10.1", " ", "\0", "é.com"]),
        st.sampled_from(["", ":80", ":x", ":-1", "@h"]),
        st.text(alphabet="/.\\ a%\n", max_size=8),
        st.sampled_from(["", "#f"]),
    ),
)


@given(ADDRESSES)
def test_any_text_is_an_allowed_address_or_a_source_error(text):
    for access in (PUBLIC, Access(loopback=True), Access(roots=("/srv/catalog",), hosts=("example.com",))):
        try:
            found = access.check(text)
        except SourceError:
            continue
        assert found.startswith("/srv/catalog") or "://" in found


@given(ADDRESSES)
def test_no_message_shows_a_query(text):
    href = f"{text}?sig={SECRET}"
    assert SECRET not in without_query(href)
    message = ""
    try:
        Access(hosts=("nowhere.example",)).check(href)
    except SourceError as e:
        message = str(e)
    assert SECRET not in message


def test_user_in_an_address_is_not_shown():
    assert without_query(f"https://user:{SECRET}@example.com/a.tif?sig={SECRET}#x") == "https://example.com/a.tif"


@pytest.mark.parametrize(
    "href",
    [
        "http://127%2e0.0.1/a.tif", "http://%31%32%37.0.0.1/a.tif", "http://169%2e254.169.254/a", "https://0%2e0.0.0/a", "http://l%6fcalhost/a",
        "http://１２７.0.0.1/a", "http://exa\ud800mple.com/a", "\ud800.tif", "s3://data/\ud800", "https://ex%61mple.com/a",
    ],
)  # fmt: skip
def test_host_that_libraries_would_read_otherwise_is_refused(href):
    for access in (PUBLIC, Access(loopback=True), Access(roots=("/",))):
        with pytest.raises(SourceError):
            access.check(href)


@pytest.mark.parametrize(
    "href",
    [
        "http://user:SEC/RET@example.com/a.tif", "s3://KEY:SEC/RET@data/a", "s3:/KEY:SECRET@data/a", "https:user:SECRET@example.com/a",
        "//user:SECRET@example.com/a", "az://key:SECRET@box/a",
    ],
)  # fmt: skip
def test_secret_in_an_odd_address_is_not_shown(href):
    with pytest.raises(SourceError) as error:
        Access(hosts=("s3://a",)).check(href)
    assert "SEC" not in str(error.value)
