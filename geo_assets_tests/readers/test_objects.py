"""Objects: whose credentials are used, what faults do, and that nothing shows a credential."""

import http.client
import logging
import sys
import threading
import time
import urllib.parse

import pytest

from geo_assets.errors import ConfigError, SourceError
from geo_assets.model.href import Access
from geo_assets.model.plugin import Usage
from geo_assets.readers import _http, _objects
from geo_assets.readers._files import HEADER_BYTES, HEADS, Sources
from geo_assets.readers._http import ChangedError, Http, Patience
from geo_assets.readers._objects import ObjectFile
from geo_assets.testing.conformance_reader import unsigned
from geo_assets.testing.file_server import Fault, serve_files
from geo_assets_tests.readers.certificates import make_certificates
from geo_assets_tests.stores.s3 import BUCKET, SECRETS, moto_server

CONTENT = bytes(i * 7 % 251 for i in range(300_000))
HREF = f"s3://{BUCKET}/folder/a b.tif"
SPAN = (100_000, 180_000)
TRIES = 3


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """Nothing of this machine's own."""
    patience = Patience(tries=TRIES, backoff_s=0.01, connect_s=1.0, silence_s=0.3, deadline_s=6.0)
    monkeypatch.setattr(_http, "PATIENCE", patience)
    for name in list(_environ()):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(_objects, "_machine_of", lambda vendor: False)
    HEADS.clear()


def _environ():
    import os

    return [name for name in os.environ if name.upper().startswith(_objects._SETTINGS)]


@pytest.fixture
def server(monkeypatch):
    """A server that knows no signatures and notes what it is asked."""
    with serve_files({f"{BUCKET}/folder/a%20b.tif": CONTENT}) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


@pytest.fixture(scope="module")
def moto():
    pytest.importorskip("moto", reason="plays S3")
    with moto_server() as url:
        yield url


@pytest.fixture
def s3(moto, monkeypatch):
    """S3 with one object for everybody and one for its owner."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    put(moto, "folder/a b.tif", CONTENT, "public-read")
    put(moto, "folder/private.tif", CONTENT, "private")
    return moto


def put(url, key, content, acl):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)
    headers = {"x-amz-acl": acl, "Authorization": "AWS4-HMAC-SHA256 Credential=x/20240101/us-east-1/s3/aws4_request"}
    connection.request("PUT", f"/{BUCKET}/{urllib.parse.quote(key)}", content, headers)
    assert connection.getresponse().status == 200


def sign_in(monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


class Session:
    def __init__(self, access=None):
        self.usage = Usage()
        self.sources = Sources(access or Access(own=(f"s3://{BUCKET}",)), unsigned, self.usage)

    def open(self, href=HREF, keep=False):
        return self.sources.open(href, keep=keep)


# ---- S3 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [False, True])
def test_an_object_gives_its_size_first_bytes_and_ranges(s3, monkeypatch, signed):
    if signed:
        sign_in(monkeypatch)
    session = Session()
    source = session.open(HREF.replace("a b", "private") if signed else HREF)
    assert (source.size, source.head) == (len(CONTENT), CONTENT[:HEADER_BYTES])
    assert source.fetch(*SPAN) == CONTENT[slice(*SPAN)]
    assert (session.usage.bytes, session.usage.requests) == (HEADER_BYTES + SPAN[1] - SPAN[0], 2)
    assert source.file().read(100) == CONTENT[:100]


def test_an_object_for_its_owner_is_refused_to_everybody_else(s3):
    with pytest.raises(SourceError, match=r"private\.tif: status 403.*without credentials.*the environment has none"):
        Session().open(HREF.replace("a b", "private"))


def test_a_bucket_that_the_catalog_does_not_name_is_read_without_credentials(s3, monkeypatch):
    """An item of somebody else must not make us read what only we may read."""
    sign_in(monkeypatch)
    stranger = Access()
    assert Session(stranger).open().head == CONTENT[:HEADER_BYTES]
    with pytest.raises(
        SourceError, match=rf"status 403.*without credentials.*catalog\.hosts does not name s3://{BUCKET}"
    ):
        Session(stranger).open(HREF.replace("a b", "private"))
    named = Access(hosts=(f"s3://{BUCKET}",))
    assert Session(named).open(HREF.replace("a b", "private")).head == CONTENT[:HEADER_BYTES]


def test_what_is_not_there_is_said(s3):
    for href, code in (
        (f"s3://{BUCKET}/none.tif", "NoSuchKey"),
        ("s3://no-such-bucket-anywhere/a.tif", "NoSuchBucket"),
    ):
        with pytest.raises(SourceError, match=rf"tif: no such object \({code}\)"):
            Session().open(href)


def test_wrong_credentials_are_named_and_not_shown(s3, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    sign_in(monkeypatch)
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(s3).netloc)
    try:
        connection.request("POST", "/moto-api/reset-auth", b"0")
        assert connection.getresponse().read()
        with pytest.raises(SourceError, match=r"status 40\d \(Inval.*with the environment's credentials") as error:
            Session().open()
    finally:
        connection.request("POST", "/moto-api/reset-auth", b"inf")
        connection.getresponse().read()
    shown = "".join(r.getMessage() for r in caplog.records if r.name.startswith(("geo_assets", "urllib3", "boto")))
    seen = error.value
    while seen is not None:
        shown += repr(seen)
        seen = seen.__cause__ or seen.__context__
    assert not any(secret in shown for secret in SECRETS.values())


def test_a_range_beyond_the_end_is_cut_or_refused(s3):
    file = ObjectFile(HREF, Http(Access(own=(f"s3://{BUCKET}",)), unsigned, lambda n: None))
    assert file.fetch(len(CONTENT) - 10, len(CONTENT) + 90) == CONTENT[-10:]
    with pytest.raises(SourceError, match="416"):
        file.fetch(len(CONTENT) + 10, len(CONTENT) + 90)
    with pytest.raises(SourceError, match="beyond its 300000 bytes"):
        Session().open().fetch(len(CONTENT) - 10, len(CONTENT) + 90)


def test_an_object_that_is_replaced_between_two_ranges_is_an_error(s3):
    source = Session().open()
    put(s3, "folder/a b.tif", CONTENT[::-1], "public-read")
    with pytest.raises(ChangedError, match=r"a b\.tif: the file changed"):
        source.fetch(*SPAN)


def test_first_bytes_of_objects_are_kept_for_the_next_task(s3):
    for task in range(2):
        session = Session()
        source = session.open(keep=True)
        assert source.fetch(*SPAN) == CONTENT[slice(*SPAN)]
        assert (source.kept, session.usage.requests) == (task > 0, 2 - task)
    put(s3, "folder/a b.tif", CONTENT[::-1], "public-read")
    with pytest.raises(ChangedError):
        Session().open(keep=True).fetch(*SPAN)
    assert Session().open(keep=True).head == CONTENT[::-1][:HEADER_BYTES]


def test_without_credentials_nothing_is_signed(server):
    Session().open()
    assert "Authorization" not in server.headers[0]


@pytest.mark.parametrize("name", ["AWS_NO_SIGN_REQUEST", "AWS_SKIP_SIGNATURE"])
def test_credentials_are_not_used_where_the_environment_says_so(server, monkeypatch, name):
    sign_in(monkeypatch)
    monkeypatch.setenv(name, "YES")
    Session().open()
    assert "Authorization" not in server.headers[0]


def test_credentials_of_a_profile_are_used(server, monkeypatch, tmp_path):
    pytest.importorskip("boto3", reason="reads profiles")
    (tmp_path / "credentials").write_text("[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "other")
    Session().open()
    assert "Credential=AKIAOTHER/" in server.headers[0]["Authorization"]


def test_a_profile_that_does_not_exist_is_named(server, monkeypatch):
    pytest.importorskip("boto3", reason="reads profiles")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigError, match="nobody"):
        Session().open()


@pytest.mark.parametrize(
    ("variable", "role", "anonymous"),
    [("", False, True), ("", True, False), ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", False, False)],
)
def test_without_boto3_the_roles_of_containers_and_machines_count(monkeypatch, variable, role, anonymous):
    monkeypatch.setitem(sys.modules, "boto3", None)  # as if it were not installed
    monkeypatch.setattr(_objects, "_instance_role", lambda: role)
    if variable:
        monkeypatch.setenv(variable, "/v2/credentials")
    assert _objects._s3_credentials() == (None, anonymous)


@pytest.mark.parametrize(("payer", "sent"), [(None, None), ("requester", "requester"), ("REQUESTER", "requester")])
def test_the_requester_pays_only_where_the_environment_says_so(server, monkeypatch, payer, sent):
    sign_in(monkeypatch)
    if payer:
        monkeypatch.setenv("AWS_REQUEST_PAYER", payer)
    Session().open().fetch(*SPAN)
    assert [h.get("X-Amz-Request-Payer") for h in server.headers] == [sent, sent]


def test_a_bucket_that_is_not_listed_is_refused(server):
    with pytest.raises(SourceError, match="bucket other is not one of"):
        Session(Access(hosts=(f"s3://{BUCKET}",))).open("s3://other/a.tif")
    assert server.requests == []


@pytest.mark.parametrize("href", ["s3://bucket/a.tif?versionId=1", "s3://bu%63ket/a.tif", "s3://a/x", "gs://b%2f/x"])
def test_addresses_that_could_be_read_in_two_ways_are_refused(server, href):
    with pytest.raises(SourceError):
        Session().open(href)
    assert server.requests == []


PASSING = {
    "503 twice": [Fault(status=503), Fault(status=503)],
    "429": [Fault(status=429)],
    "reset before the answer": [Fault(cut=0, reset=True)],
    "reset in mid-body": [Fault(cut=20_000, reset=True)],
    "truncated": [Fault(cut=20_000)],
    "stalled": [Fault(stall_s=2)],
}


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_is_got_over(server, fault):
    source = Session().open()
    server.faults = list(PASSING[fault])
    assert source.fetch(*SPAN) == CONTENT[slice(*SPAN)]


LASTING = {
    "404": (Fault(status=404), "no such object", 1),
    "403": (Fault(status=403), "status 403", 1),
    "503 for ever": (Fault(status=503), "status 503", TRIES),
    "ranges ignored": (Fault(status=200), "ignores range requests", 1),
    "other bytes": (Fault(content_range="bytes 5-9/300000"), "other bytes than asked for", 1),
    "no Content-Range": (Fault(content_range=""), "without saying which", 1),
    "truncated for ever": (Fault(cut=20_000), "no answer .*body error", TRIES),
    "reset for ever": (Fault(cut=20_000, reset=True), "no answer .*body error", TRIES),
    "stalled for ever": (Fault(stall_s=5), "no answer", TRIES),
    "stalled in mid-body": (Fault(cut=20_000, stall_s=5), "no answer .*body error", TRIES),
    "redirect in a circle": (Fault(status=302, location="/bucket/folder/a%20b.tif"), "following redirect", 11),
    "more bytes than asked for": (Fault(grow=100_000), "180000 bytes instead of 80000", 1),
    "another version": (Fault(tag='"other"'), "changed", 1),
}


@pytest.mark.parametrize("fault", LASTING)
def test_a_fault_that_lasts_is_an_error(server, fault):
    always, cause, requests = LASTING[fault]
    source = Session().open()
    server.always = always
    with pytest.raises(SourceError, match=rf"a b\.tif: .*{cause}"):
        source.fetch(*SPAN)
    assert 1 < len(server.requests) <= 1 + requests


@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_authorities_of_the_environment_are_trusted(monkeypatch, tmp_path, name):
    certificates = make_certificates(tmp_path)
    with serve_files({f"{BUCKET}/folder/a%20b.tif": CONTENT}, tls=certificates.server) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        with pytest.raises(SourceError, match="no answer"):
            Session().open()
        assert server.requests == []
        monkeypatch.setenv(name, str(certificates.authority))
        assert Session().open().head == CONTENT[:HEADER_BYTES]


def test_nothing_is_fetched_after_the_end_of_a_session(server):
    session = Session()
    source = session.open()
    session.sources.cancel()
    with pytest.raises(SourceError, match="stopped"):
        source.fetch(*SPAN)


# ---- regions ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def stores(monkeypatch):
    """What stores are made of, without S3."""
    made = []

    class Store:
        def __init__(self, bucket, *, config, **more):
            made.append(config)

        async def get_async(self, path, *, options):
            if made[-1]["region"] != "eu-west-3":
                raise _objects.obstore.exceptions.GenericError("Server returned status code: 301 Moved Permanently")
            raise FileNotFoundError("found, so to speak")

    monkeypatch.setattr(_objects.obstore.store, "S3Store", Store)
    monkeypatch.setattr(_objects, "_region_of", lambda bucket: "eu-west-3")
    _objects._store.cache_clear()
    yield made
    _objects._store.cache_clear()


@pytest.mark.parametrize(("given", "tried"), [("", ["eu-west-3"]), ("us-east-1", ["us-east-1", "eu-west-3"])])
def test_a_bucket_of_another_region_is_found(stores, monkeypatch, given, tried):
    if given:
        monkeypatch.setenv("AWS_REGION", given)
    with pytest.raises(SourceError, match="no such object"):
        Session().open()
    assert [config["region"] for config in stores] == tried


def test_a_region_that_nobody_knows_is_an_error_and_no_circle(stores, monkeypatch):
    monkeypatch.setattr(_objects, "_region_of", lambda bucket: "")
    with pytest.raises(SourceError, match="status 301"):
        Session().open()
    assert len(stores) == 1


def test_what_a_thread_waits_for_ends_when_reading_is_stopped(server, monkeypatch):
    monkeypatch.setattr(_http, "PATIENCE", Patience())
    session, said = Session(), []
    server.always = Fault(stall_s=60)

    def fetch():
        with pytest.raises(SourceError, match="reading was stopped") as error:
            session.open()
        said.append(error.value)

    thread = threading.Thread(target=fetch)
    thread.start()
    while not server.requests:
        time.sleep(0.01)
    time.sleep(0.1)
    began = time.monotonic()
    session.sources.cancel()
    thread.join(10)
    assert said
    assert time.monotonic() - began < 5
