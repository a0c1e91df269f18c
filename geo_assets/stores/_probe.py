"""Whether a storage keeps what cubes rely on, tried out with small objects beside the cube."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from typing import Any

import fsspec

from geo_assets.errors import ConfigError, StoreError


@contextlib.contextmanager
def _scratch(uri: str) -> Iterator[tuple[Any, str]]:
    """A file system and the name of an object that is gone afterwards."""
    try:
        files, path = fsspec.core.url_to_fs(uri if "://" in uri else os.path.abspath(uri))
    except (ImportError, ValueError) as e:
        raise ConfigError(f"storage {uri!r} cannot be used here: {e}") from e
    name = f"{path.rstrip('/')}.probe-{uuid.uuid4().hex}"
    if "://" not in uri:
        files.makedirs(os.path.dirname(name), exist_ok=True)
    try:
        yield files, name
    finally:
        with contextlib.suppress(FileNotFoundError):
            files.rm_file(name)


def round_trip(uri: str) -> None:
    """Write, read and delete.

    Raises:
        StoreError: What was read is not what was written.
        OSError: The storage refused.
    """
    content = uuid.uuid4().bytes
    with _scratch(uri) as (files, name):
        files.pipe_file(name, content)
        files.invalidate_cache()
        if files.cat_file(name) != content:
            raise StoreError(f"{uri}: what is written cannot be read back")


def refuses_second_writer(uri: str) -> None:
    """See that the storage honours If-None-Match and, on S3, If-Match, by which concurrent commits are kept apart.

    Raises:
        StoreError: It does not.
        OSError: The storage refused the first writer already.
    """
    with _scratch(uri) as (files, name):
        files.pipe_file(name, b"first", mode="create")
        _refused(uri, "If-None-Match", lambda: files.pipe_file(name, b"second", mode="create"))
        if uri.startswith("s3://"):
            bucket, _, key = name.partition("/")
            stale = {"Bucket": bucket, "Key": key, "Body": b"third", "IfMatch": f'"{"0" * 32}"'}
            _refused(uri, "If-Match", lambda: files.call_s3("put_object", **stale))


def _refused(uri: str, condition: str, write: Any) -> None:
    try:
        write()
    except OSError:
        return
    raise StoreError(
        f"{uri}: the storage ignores {condition}, so concurrent commits would be lost; use one with conditional writes"
    )
