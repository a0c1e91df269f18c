"""Addresses of catalogs: those that hold a secret, cannot be read or lead to a machine's own metadata are refused."""

import re
import urllib.parse

from geo_assets.errors import ConfigError
from geo_assets.model.href import is_link_local
from geo_assets.model.recipe import CatalogRecipe


def check_address(recipe: CatalogRecipe, source: str) -> None:
    """Refuses a catalog's address, whose text is not shown.

    Args:
        recipe: Of the catalog.
        source: The setting that has it, for messages.

    Raises:
        ConfigError: It cannot be used; says why.
    """
    for key in ("url", "path"):
        address = getattr(recipe, key) or ""
        try:
            parts = urllib.parse.urlsplit(address)
            secret = parts.scheme != "" and "@" in parts.netloc
            chained = "::" in re.sub(r"\[[^]]*\]", "", address)  # of several file systems, as fsspec has them
            _ = parts.port
            if parts.scheme in ("http", "https"):
                _check_host(parts.hostname or "")
        except ValueError:
            raise ConfigError(f"{source}.{key}: not an address; check its host and port") from None
        if secret:
            raise ConfigError(f"{source}.{key}: holds a user or password; take it out of the address")
        if chained:
            raise ConfigError(f"{source}.{key}: give a path or one address, without ::")
        if is_link_local(parts.hostname or ""):
            raise ConfigError(
                f"{source}.{key}: a link-local address, where a cloud keeps credentials and nobody a catalog; correct it"
            )


def _check_host(host: str) -> None:
    """Refuses a host that no request can be sent to.

    Raises:
        ValueError: It is none, as the name service sees it.
    """
    labels = (
        host.removesuffix(".").encode("idna").decode()
    )  # refuses empty and overlong labels, also those between dots
    if ":" not in host and not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", labels):
        raise ValueError(host)
