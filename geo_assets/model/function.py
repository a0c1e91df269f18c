"""Functions of a user's own that the project file names, as ``package.module:function``."""

import hashlib
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from geo_assets.errors import ConfigError
from geo_assets.model.text import told


def load_function(target: str | None, where: str) -> Callable[..., Any]:
    """The function of a name such as ``package.module:function``.

    Args:
        target: The name.
        where: The setting that has it, for messages.

    Raises:
        ConfigError: It is no such name, cannot be imported, or is no function.
    """
    module_name, _, name = (target or "").partition(":")
    if not module_name or not name or module_name.startswith("."):
        raise ConfigError(f"{where} is {repr(target) if target else 'missing'}: write package.module:function")
    try:
        function = getattr(importlib.import_module(module_name), name)
    except (Exception, SystemExit) as e:  # the user's own module: whatever it raises is said in one line
        advice = "; install its package or set PYTHONPATH" if isinstance(e, ModuleNotFoundError) else ""
        raise ConfigError(f"{where} {target!r} cannot be imported: {told(e)[:300]}{advice}") from e
    if not callable(function):
        raise ConfigError(f"{where} {target!r} is not a function")
    return function  # type: ignore[no-any-return]


def function_hash(target: str, where: str) -> str:
    """Fingerprint of the source of a function's module, so that what it made is made again once that changed.

    The module that is named counts, and that in which the function was defined, if it comes from another one.

    Raises:
        ConfigError: It cannot be imported, or has no source, so that nobody could tell whether it changed.
    """
    function = load_function(target, where)
    named = importlib.import_module(target.partition(":")[0])
    defined = inspect.getmodule(function)
    try:
        sources = [inspect.getsource(m) for m in dict.fromkeys((named, defined)) if m is not None]
    except (OSError, TypeError) as e:
        raise ConfigError(
            f"{where} {target!r} has no source that can be read: nobody could tell whether it changed"
        ) from e
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()[:16]
