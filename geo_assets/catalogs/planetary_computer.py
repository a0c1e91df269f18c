"""Microsoft's Planetary Computer: assets in Azure Blob Storage, signed in the task that reads them."""

import datetime as dt
import json
import re
import threading
import urllib.parse

from planetary_computer.settings import Settings

from geo_assets.catalogs._api import ApiCatalog
from geo_assets.catalogs._http import RetryingIO, Waiting
from geo_assets.eo.items import parse_time
from geo_assets.errors import CatalogError
from geo_assets.model.recipe import CatalogRecipe

_URL = "https://planetarycomputer.microsoft.com/api/stac/v1"
_BLOBS = ".blob.core.windows.net"
_HOSTS = (_BLOBS, "planetarycomputer.microsoft.com")
_PUBLIC = "ai4edatasetspublicassets"  # holds thumbnails only, and gives no tokens
_MARGIN_S = 300.0  # a token is renewed that long before it ends, so that a read that begins with it can finish
_LEAST_S = 60.0  # where this machine's clock is ahead, a token still serves that long
_CONTAINER = re.compile(r"/([a-z0-9$][a-z0-9-]{0,62})/.+")


class PlanetaryComputer(ApiCatalog):
    """Planetary Computer, or a copy of it at ``catalog.url``. The assets of a search are not signed.

    Args:
        waiting: Time and chance.
        sas_url: Where tokens come from; left out: as the environment variable PC_SDK_SAS_URL says, or Microsoft's.
    """

    def __init__(self, *, waiting: Waiting | None = None, sas_url: str | None = None) -> None:
        super().__init__(_URL, _HOSTS, waiting=waiting)
        self._sas_url = sas_url
        self._tokens: dict[tuple[str, str], tuple[str, float]] = {}
        self._lock = threading.Lock()

    def sign(self, href: str, *, fresh: bool = False) -> str:
        """The address with a token that holds for minutes at least. Called in the task, never for a table.

        Args:
            href: Address of an asset; one outside Azure's blob storage comes back as it is, and so does a signed one.
            fresh: Ask for a new token, because the last one was refused.

        Raises:
            CatalogError: No token to be had.
        """
        parts = urllib.parse.urlsplit(href)
        host = (parts.hostname or "").lower()
        container = _CONTAINER.match(parts.path)
        account = host.removesuffix(_BLOBS)
        signable = parts.scheme == "https" and host.endswith(_BLOBS) and account.isalnum() and account != _PUBLIC
        if not signable or container is None or "sig" in urllib.parse.parse_qs(parts.query):
            return href
        token = self._token(account, container[1], fresh=fresh)
        query = f"{parts.query}&{token}" if parts.query else token
        return urllib.parse.urlunsplit(parts._replace(query=query))

    def _token(self, account: str, container: str, *, fresh: bool) -> str:
        key = (account, container)
        with self._lock:  # one request for a container, however many threads read from it
            token, until = self._tokens.get(key, ("", 0.0))
            if fresh or not token or self.waiting.clock() >= until:
                token, seconds = self._fetch(account, container)
                self._tokens[key] = token, self.waiting.clock() + max(seconds - _MARGIN_S, _LEAST_S)
        return token

    def _fetch(self, account: str, container: str) -> tuple[str, float]:
        settings = Settings.get()
        url = f"{(self._sas_url or settings.sas_url or '').rstrip('/')}/{account}/{container}"
        headers = {"Ocp-Apim-Subscription-Key": settings.subscription_key} if settings.subscription_key else None
        answer = json.loads(RetryingIO(url, CatalogRecipe(), self.waiting).request(url, headers=headers))
        token, expiry = (
            (answer.get("token"), parse_time(answer.get("msft:expiry"))) if isinstance(answer, dict) else (None, None)
        )
        if not isinstance(token, str) or not token or expiry is None:
            raise CatalogError(f"{url} answers without a token: try again later")
        return token.lstrip("?"), (expiry - dt.datetime.now(dt.UTC)).total_seconds()


PLUGIN = PlanetaryComputer()
