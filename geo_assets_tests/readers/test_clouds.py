"""Google Cloud Storage and Azure: the requests that they get, with whose credentials, and what faults do."""

import base64
import urllib.parse
from dataclasses import dataclass
from typing import Any

import pytest

from geo_assets.errors import ConfigError, SourceError
from geo_assets.model.href import Access
from geo_assets.readers import _objects
from geo_assets.readers._files import HEADER_BYTES
from geo_assets.readers._http import Patience
from geo_assets.testing.file_server import Fault, FileServer, serve_files
from geo_assets_tests.readers.test_objects import CONTENT, LASTING, PASSING, SPAN, Session, environment

__all__ = ["environment"]

KEY = base64.b64encode(b"a key of our own").decode()
SETTINGS = {  # the address of the server, and credentials
    "gs": (("GOOGLE_BASE_URL",), {"GOOGLE_BEARER_TOKEN": KEY}),
    "gs by an emulator's variable": (("STORAGE_EMULATOR_HOST",), {"GOOGLE_BEARER_TOKEN": KEY}),
    "az": (("AZURE_STORAGE_ENDPOINT",), {"AZURE_STORAGE_ACCOUNT_NAME": "mine", "AZURE_STORAGE_ACCOUNT_KEY": KEY}),
}
BOTH = pytest.mark.parametrize("cloud", ["gs", "az"], indirect=True)


@dataclass
class Cloud:
    """A server that gives ranges as the storage service does, and notes what it is asked.

    Attributes:
        server: The server.
        bucket: The address of a bucket or container in it.
        credentials: Variables that name them.
    """

    server: FileServer
    bucket: str
    credentials: dict[str, str]

    def session(self, **access: Any) -> Session:
        """A session that may read the bucket, with credentials by default."""
        return Session(Access(**(access or {"hosts": (self.bucket,)})))

    @property
    def signed(self) -> list[bool]:
        """Which requests came with credentials."""
        return ["Authorization" in h for h in self.server.headers]


@pytest.fixture
def cloud(request, monkeypatch, environment):
    """Google's storage or Azure's."""
    names, credentials = SETTINGS[request.param]
    with serve_files({f"scenes/{name}": CONTENT for name in ("folder/a%20b.tif", "folder%2Fa%20b%2Etif")}) as server:
        for name in names:
            monkeypatch.setenv(name, server.url)
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "mine")
        yield Cloud(server, f"{request.param[:2]}://scenes", credentials)


def sign_in(monkeypatch, cloud):
    for name, value in cloud.credentials.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("cloud", SETTINGS, indirect=True)
def test_an_object_gives_its_size_first_bytes_and_ranges(cloud, monkeypatch):
    sign_in(monkeypatch, cloud)
    session = cloud.session()
    source = session.open(f"{cloud.bucket}/folder/a b.tif")
    assert (source.size, source.head) == (len(CONTENT), CONTENT[:HEADER_BYTES])
    assert source.fetch(*SPAN) == CONTENT[slice(*SPAN)]
    assert (session.usage.bytes, session.usage.requests) == (HEADER_BYTES + SPAN[1] - SPAN[0], 2)
    assert cloud.signed == [True, True]


@BOTH
def test_without_credentials_nothing_is_signed(cloud):
    cloud.session().open(f"{cloud.bucket}/folder/a b.tif")
    assert cloud.signed == [False]


@BOTH
def test_a_bucket_that_the_catalog_does_not_name_is_read_without_credentials(cloud, monkeypatch):
    sign_in(monkeypatch, cloud)
    cloud.session(hosts=()).open(f"{cloud.bucket}/folder/a b.tif")
    assert cloud.signed == [False]
    cloud.server.always = Fault(status=403)
    with pytest.raises(SourceError, match=rf"status 403, without credentials.*does not name {cloud.bucket}") as error:
        cloud.session(hosts=()).open(f"{cloud.bucket}/folder/c.tif")
    assert KEY not in str(error.value)


@BOTH
@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_is_got_over(cloud, fault):
    source = cloud.session().open(f"{cloud.bucket}/folder/a b.tif")
    cloud.server.faults = list(PASSING[fault])
    assert source.fetch(*SPAN) == CONTENT[slice(*SPAN)]


@BOTH
@pytest.mark.parametrize("fault", [f for f in LASTING if f != "redirect in a circle"])
def test_a_fault_that_lasts_is_an_error(cloud, fault, monkeypatch):
    sign_in(monkeypatch, cloud)
    always, cause, requests = LASTING[fault]
    source = cloud.session().open(f"{cloud.bucket}/folder/a b.tif")
    cloud.server.always = always
    with pytest.raises(SourceError, match=rf"a b\.tif: .*{cause}") as error:
        source.fetch(*SPAN)
    assert 1 < len(cloud.server.requests) <= 1 + requests
    assert KEY not in str(error.value)


# ---- settings, nothing is asked ------------------------------------------------------------------------------------------


def store(href, *, trusted=True):
    parts = urllib.parse.urlsplit(href)
    return _objects._store(parts.scheme, parts.netloc, "", Patience(), _objects._settings(), trusted)


@pytest.mark.parametrize(
    ("variables", "anonymous"),
    [
        ({}, True),
        ({"GOOGLE_BEARER_TOKEN": "secret"}, False),
        ({"GOOGLE_BEARER_TOKEN": "secret", "GS_NO_SIGN_REQUEST": "YES"}, True),
    ],
)
def test_google_is_asked_with_the_environments_credentials_or_none(monkeypatch, variables, anonymous):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    made, without = store("gs://gcp-public-data-sentinel-2/tiles/a.jp2")
    assert (without, made.config["skip_signature"]) == (anonymous, str(anonymous).lower())
    made, without = store("gs://gcp-public-data-sentinel-2/tiles/a.jp2", trusted=False)
    assert (without, made.config["skip_signature"]) == (True, "true")


@pytest.mark.parametrize(
    ("href", "variables", "account", "anonymous"),
    [
        ("az://data/a.tif", {"AZURE_STORAGE_ACCOUNT_NAME": "mine"}, "mine", True),
        ("az://data/a.tif", {"AZURE_STORAGE_ACCOUNT": "mine", "AZURE_STORAGE_SAS_TOKEN": "sig=x"}, "mine", False),
        ("abfs://data@mine.dfs.core.windows.net/a.tif", {"AZURE_STORAGE_ACCOUNT": "mine", "AZURE_STORAGE_SAS_TOKEN": "sig=x"},
         "mine", False),
        ("abfs://data@other.dfs.core.windows.net/a.tif", {"AZURE_STORAGE_ACCOUNT": "mine", "AZURE_STORAGE_SAS_TOKEN": "sig=x"},
         "other", True),
        ("abfs://data@other.blob.core.windows.net/a.tif", {}, "other", True),
        ("az://data/a.tif", {"AZURE_STORAGE_ACCOUNT": "mine", "AZURE_STORAGE_SAS_TOKEN": "sig=x", "AZURE_NO_SIGN_REQUEST": "YES"},
         "mine", True),
    ],
)  # fmt: skip
def test_azure_shows_credentials_to_their_own_account_only(monkeypatch, href, variables, account, anonymous):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    made, without = store(href)
    assert (without, made.config["skip_signature"]) == (anonymous, str(anonymous).lower())
    assert made.config["account_name"] == account
    made, without = store(href, trusted=False)
    assert (without, made.config["skip_signature"]) == (True, "true")


def test_azure_without_an_account_says_what_to_set():
    with pytest.raises(ConfigError, match="AZURE_STORAGE_ACCOUNT_NAME"):
        store("az://data/a.tif")
    with pytest.raises(SourceError, match="not a container"):
        store("abfs://data@evil.example.com/a.tif")
