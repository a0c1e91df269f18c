"""Functions of a user's own that the project file names, as ``package.module:function``."""

import hashlib
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from geo_assets.errors import ConfigError


def load_function(target: str | None, where: str) -> Callable[..., Any]:
    """The function of a name such as ``package.module:function``.

    Args:
        target: The name.
        where: The setting that has it, for messages.

    Raises:
        ConfigError: It is no such name, cannot be imported, or is no function.
    """
    module_name, _, name = (target or "").partition(":")
    if not module_name or not name:
        raise ConfigError(f"{where} is {repr(target) if target else 'missing'}: write package.module:function")
    try:
        function = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as e:
        raise ConfigError(f"{where} {target!r} cannot be imported: {e}; install its package or set PYTHONPATH") from e
    if not callable(function):
        raise ConfigError(f"{where} {target!r} is not a function")
    return function  # type: ignore[no-any-return]


def function_hash(function: Callable[..., Any]) -> str:
    """Fingerprint of the source of a function's module, so that what it made is made again once that changed."""
    try:
        source = inspect.getsource(inspect.getmodule(function) or function)
    except (OSError, TypeError) as e:
        raise ConfigError(
            f"{function!r} has no source that can be read, so nobody could tell whether it changed"
        ) from e
    return hashlib.sha256(source.encode()).hexdigest()[:16]
