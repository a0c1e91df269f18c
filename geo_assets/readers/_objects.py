"""Objects of S3, Google Cloud Storage and Azure through obstore, with the environment's credentials or with none."""

import asyncio
import contextlib
import functools
import os
import re
import threading
import time
import urllib.parse
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore.exceptions
import obstore.store
import urllib3

from geo_assets.errors import ConfigError, SourceError
from geo_assets.model.href import without_query
from geo_assets.readers._http import ChangedError, Http, Patience, Version
from geo_assets.readers._wire import Wire, asked, certificates

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_AZURE = re.compile(r"(?:([a-z0-9$-]{1,63})@)?([a-z0-9]{3,24})\.(?:dfs|blob)\.core\.windows\.net", re.IGNORECASE)
_SETTINGS = (
    "AWS_",
    "AZURE_",
    "GOOGLE_",
    "GS_",
    "CLOUDSDK_",
    "STORAGE_EMULATOR_HOST",
    "HTTP",
    "NO_PROXY",
    "ALL_PROXY",
    "REQUESTS_",
    "SSL_",
    "CURL_",
)
_S3_CHAIN = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_GOOGLE_KEYS = (
    "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_BEARER_TOKEN",
)  # fmt: skip
_AZURE_KEYS = (
    "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY", "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_TOKEN", "AZURE_STORAGE_CLIENT_ID", "AZURE_CLIENT_ID", "AZURE_MSI_ENDPOINT",
    "AZURE_IDENTITY_ENDPOINT", "AZURE_USE_AZURE_CLI",
)  # fmt: skip
_ELSEWHERE = re.compile(r"status code: 301|PermanentRedirect|AuthorizationHeaderMalformed|redirect without LOCATION")
_SAID = {  # by obstore, without an address in it
    "non-partial response": "the server ignores range requests",
    r"Requested [\d.]+, got [\d.]+": "other bytes than asked for",
    "CONTENT_RANGE": "the server gives ranges without saying which",
    r"HTTP error: ([a-z ]{1,60})": "no answer ({})",
}
_REGION_S = 10.0  # to ask where a bucket lies
_REGIONS: dict[str, str] = {}  # of buckets, as S3 said


class ObjectFile:
    """Size and ranges of one object; its store retries.

    Args:
        href: Its address, which was checked.
        http: Patience, and who counts.
        version: The version to read, if one is known.

    Raises:
        SourceError: From all methods: missing, refused, or changed meanwhile.
        ConfigError: The environment's settings for such storage are incomplete.
    """

    def __init__(self, href: str, http: Http, version: Version | None = None) -> None:
        self._parts, self._shown = urllib.parse.urlsplit(href), without_query(href)
        if self._parts.query or self._parts.fragment:
            raise SourceError(f"{self._shown}: the address of an object has no query and no fragment")
        self._http, self.version, self._trusted = http, version, http.access.trusts(href)
        self._path, self._region = self._parts.path.lstrip("/"), ""
        self._store: tuple[Any, bool] | None = None

    def probe(self, most: int) -> memoryview:
        """Its first bytes, at most ``most``; ``version`` is known then."""
        return self.fetch(0, most)

    def fetch(self, start: int, end: int) -> memoryview:
        """The bytes from ``start`` to before ``end``."""
        options: dict[str, Any] = {"range": (start, end)}
        if self.version and self.version.tag:
            options["if_match"] = self.version.tag
        while True:
            self._http.check_running()
            store, anonymous = self._opened()
            try:
                return self._kept(*self._asked(store, options), start, end)
            except obstore.exceptions.PreconditionError:
                fault = None
            except (FileNotFoundError, ValueError, obstore.exceptions.BaseError) as e:
                fault = _fault(e, self._why_without(anonymous))
                if self._moves(e):
                    continue
            # Raised here, so that it has no cause: what the store says may quote credentials
            if fault is None:
                raise ChangedError.at(self._shown, start, end)
            raise SourceError(f"{self._shown}: {fault} while reading bytes {start} to {end}")

    def _asked(self, store: Any, options: dict[str, Any]) -> tuple[Any, memoryview]:
        """What the store knows of the object, and the bytes that were asked for.

        The first request may be to a server that never answers, so it can be ended from outside. That takes a third of a
        millisecond, which the others, to one that answered, are spared: they end at their own limits.
        """
        if self.version is None:
            return self._http.result_of(asyncio.run_coroutine_threadsafe(_get(store, self._path, options), _loop()))
        result = store.get(self._path, options=options)
        return result.meta, memoryview(result.bytes())

    def _opened(self) -> tuple[Any, bool]:
        if self._store is None:
            parts, patience = self._parts, self._http.patience
            self._store = _store(parts.scheme, parts.netloc, self._region, patience, _settings(), self._trusted)
        return self._store

    def _why_without(self, anonymous: bool) -> str:
        """Why no credentials were shown, or ""."""
        if not anonymous:
            return ""
        bucket = f"{self._parts.scheme}://{self._parts.netloc}"
        return "the environment has none" if self._trusted else f"catalog.hosts does not name {bucket}"

    def _moves(self, error: Exception) -> bool:
        """Whether the bucket lies in another region than the environment says, and which one is known now."""
        if self._region or self._parts.scheme != "s3" or not _ELSEWHERE.search(str(error)):
            return False
        self._region, self._store = _region_of(self._parts.netloc), None
        return bool(self._region)

    def _kept(self, meta: Any, data: memoryview, start: int, end: int) -> memoryview:
        self._http.count(len(data))
        version = Version(meta["size"], meta["e_tag"] or "", str(meta["last_modified"]))
        if self.version is not None and not self.version.same(version):
            raise ChangedError.at(self._shown, start, end)
        wanted = min(end, version.size) - start
        if len(data) != wanted:
            raise SourceError(
                f"{self._shown}: {len(data)} bytes instead of {wanted} while reading bytes {start} to {end}"
            )
        self.version = version
        return data


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """Where requests wait, in a thread of their own, so that whoever stops reading can end them."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="objects", daemon=True).start()
    return loop


async def _get(store: Any, path: str, options: dict[str, Any]) -> tuple[Any, memoryview]:
    """What a store knows of an object, and the bytes that were asked for."""
    result = await store.get_async(path, options=options)
    return result.meta, memoryview(await result.bytes_async())


def _fault(error: Exception, without: str) -> str:
    """What went wrong, without anything that may be a credential; ``without`` says why none was shown."""
    text = str(error)
    status, code = re.search(r"status code: (\d{3})", text), re.search(r"<Code>(\w{1,60})</Code>", text)
    if isinstance(error, FileNotFoundError):
        return f"no such object{f' ({code[1]})' if code else ''}"
    if not status:
        for said, meant in _SAID.items():
            if found := re.search(said, text):
                return meant.format(*found.groups())
        return type(error).__name__
    said = f"status {status[1]}" + (f" ({code[1]})" if code else "")
    if status[1] in ("401", "403"):
        said += f", without credentials, since {without}" if without else ", with the environment's credentials"
    return said


def _settings() -> int:
    """A number for the environment that stores depend on, so that a changed one gives new stores."""
    return hash(tuple(sorted((k, v) for k, v in os.environ.items() if k.upper().startswith(_SETTINGS))))


@functools.lru_cache(maxsize=64)  # one takes tens of milliseconds, and keeps its connections
def _store(scheme: str, netloc: str, region: str, patience: Patience, _: int, trusted: bool) -> tuple[Any, bool]:
    """The store of a bucket, and whether it is read without credentials, as one is that is not trusted."""
    limit = timedelta(seconds=patience.deadline_s / 2)  # for one try, and for beginning another: together the deadline
    options: dict[str, Any] = {
        "timeout": limit, "connect_timeout": timedelta(seconds=patience.connect_s),
        "read_timeout": timedelta(seconds=patience.silence_s), "user_agent": "geo-assets",
    }  # fmt: skip
    own = os.environ.get("AWS_CA_BUNDLE", "") if scheme == "s3" else ""
    if os.path.isfile(bundle := own or certificates()):
        options["root_certificate"] = Path(bundle).read_bytes()
    retries = {
        "max_retries": patience.tries - 1, "retry_timeout": limit,
        "backoff": {
            "init_backoff": timedelta(seconds=patience.backoff_s), "max_backoff": timedelta(seconds=patience.silence_s), "base": 2,
        },
    }  # fmt: skip
    more: dict[str, Any] = {"client_options": options, "retry_config": retries}
    if scheme == "s3":
        return _s3(netloc, region, trusted, more)
    if scheme == "gs":
        return _google(netloc, trusted, more)
    return _azure(scheme, netloc, trusted, more)


def _s3(bucket: str, region: str, trusted: bool, more: dict[str, Any]) -> tuple[Any, bool]:
    if not _BUCKET.fullmatch(bucket):
        raise SourceError(f"s3://{bucket}: not the name of a bucket")
    environ = os.environ
    endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or ""
    named = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
    if endpoint:
        region = named or "us-east-1"
        more["client_options"]["allow_http"] = endpoint.startswith("http://")
    config: dict[str, Any] = {"region": region or named or _region_of(bucket) or "us-east-1"}
    if endpoint:
        config["endpoint"] = endpoint
    if trusted and environ.get("AWS_REQUEST_PAYER", "").lower() == "requester":
        config["request_payer"] = True
    provider, anonymous = _s3_credentials() if trusted else (None, True)
    config["skip_signature"] = anonymous
    return obstore.store.S3Store(bucket, config=config, credential_provider=provider, **more), anonymous  # type: ignore[arg-type]


def _s3_credentials() -> tuple[Any, bool]:
    """What gives credentials, None for obstore's own chain; and whether there are none."""
    environ = os.environ
    if _flag("AWS_NO_SIGN_REQUEST") or _flag("AWS_SKIP_SIGNATURE"):
        return None, True
    if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
        return None, False
    try:
        import boto3
        import botocore.exceptions
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:  # profiles need it; what obstore's own chain knows does not
        return None, not (any(map(environ.get, _S3_CHAIN)) or _instance_role())

    try:
        session = boto3.Session()
        if session.get_credentials() is None:
            return None, True
        return Boto3CredentialProvider(session), False
    except botocore.exceptions.BotoCoreError as e:
        raise ConfigError(f"AWS credentials: {e}") from e


@functools.cache
def _instance_role() -> bool:
    """Whether this is a machine of EC2 with a role."""
    if _flag("AWS_EC2_METADATA_DISABLED") or not _machine_of("amazon"):
        return False
    base = os.environ.get("AWS_METADATA_ENDPOINT", "http://169.254.169.254")
    with contextlib.suppress(urllib3.exceptions.HTTPError), urllib3.PoolManager(retries=False, timeout=2.0) as http:
        token = http.request("PUT", f"{base}/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        headers = {"X-aws-ec2-metadata-token": token.data.decode()}
        return http.request("GET", f"{base}/latest/meta-data/iam/security-credentials/", headers=headers).status == 200
    return False


def _region_of(bucket: str) -> str:
    """Region of a bucket as S3 says it to anybody, or ""."""
    if bucket not in _REGIONS:
        wire = Wire()
        try:
            route = wire.route(f"https://s3.amazonaws.com/{bucket}")
            until = time.monotonic() + _REGION_S

            def in_time() -> None:
                if time.monotonic() > until:
                    raise TimeoutError("no answer")

            limits = _REGION_S, _REGION_S
            with asked(route, {"User-Agent": "geo-assets"}, *limits, in_time=in_time, method="HEAD") as (response, _):
                _REGIONS[bucket] = str(response.headers["x-amz-bucket-region"])
        except (urllib3.exceptions.HTTPError, OSError, KeyError, SourceError):
            return ""
        finally:
            wire.close()
    return _REGIONS[bucket]


def _google(bucket: str, trusted: bool, more: dict[str, Any]) -> tuple[Any, bool]:
    if not _BUCKET.fullmatch(bucket):
        raise SourceError(f"gs://{bucket}: not the name of a bucket")
    folder = os.environ.get("CLOUDSDK_CONFIG") or os.path.expanduser("~/.config/gcloud")
    found = (
        any(map(os.environ.get, _GOOGLE_KEYS))
        or os.path.exists(os.path.join(folder, "application_default_credentials.json"))
        or _machine_of("google")
    )
    anonymous = not trusted or _flag("GS_NO_SIGN_REQUEST") or _flag("GOOGLE_SKIP_SIGNATURE") or not found
    config: dict[str, Any] = {"skip_signature": anonymous}
    if base := os.environ.get("GOOGLE_BASE_URL") or os.environ.get("STORAGE_EMULATOR_HOST") or "":
        config["base_url"] = base
        more["client_options"]["allow_http"] = base.startswith("http://")
    return obstore.store.GCSStore(bucket, config=config, **more), anonymous  # type: ignore[arg-type]


def _azure(scheme: str, netloc: str, trusted: bool, more: dict[str, Any]) -> tuple[Any, bool]:
    own = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME") or os.environ.get("AZURE_STORAGE_ACCOUNT") or ""
    match = _AZURE.fullmatch(netloc)
    container, account = (match[1], match[2].lower()) if match else (netloc, own)
    if not container or "@" in container:
        raise SourceError(
            f"{scheme}://{netloc.rpartition('@')[2]}: not a container, or container@account.dfs.core.windows.net"
        )
    if not account:
        raise ConfigError(f"{scheme}://{container} needs a storage account: set AZURE_STORAGE_ACCOUNT_NAME")
    # A signature for one account must not be shown to another
    anonymous = (
        not trusted or _flag("AZURE_NO_SIGN_REQUEST") or _flag("AZURE_SKIP_SIGNATURE") or account != own or not any(map(os.environ.get, _AZURE_KEYS))
    )  # fmt: skip
    config: dict[str, Any] = {"account_name": account, "skip_signature": anonymous}
    endpoint = os.environ.get("AZURE_STORAGE_ENDPOINT") or os.environ.get("AZURE_ENDPOINT") or ""
    if endpoint.startswith("http://"):
        more["client_options"]["allow_http"] = True
    return obstore.store.AzureStore(container, config=config, **more), anonymous  # type: ignore[arg-type]


def _flag(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in ("1", "yes", "true", "on")


@functools.cache
def _machine_of(vendor: str) -> bool:
    """Whether this machine's firmware names a cloud."""
    found = ""
    for name in ("sys_vendor", "product_name", "bios_vendor", "bios_version"):
        with contextlib.suppress(OSError):
            found += Path("/sys/class/dmi/id", name).read_text().lower()
    return vendor in found
