"""What can be named in a project file: every plugin that is found, and what is missing to use it."""

import ast
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from geo_assets.errors import PluginError
from geo_assets.registry import KINDS, available, load

_DISTRIBUTION = "geo-assets"


def list_plugins() -> list[dict[str, Any]]:
    """Plugins of all kinds, by kind and name, one a row.

    Plugins of geo_assets itself are read, not imported, so that a listing loads no heavy library.

    Returns:
        ``kind``, ``name``, ``origin`` (module or entry point), ``usable``, ``missing`` (packages with the command that
        installs them, or what is wrong; or ""), ``install`` (that command alone, or "") and ``summary``.
    """
    rows = []
    for kind in KINDS:
        try:
            found = available(kind)
        except PluginError as e:
            rows.append(_row(kind, "", "", [str(e)], "", "cannot be listed"))
            continue
        rows += [
            _ours(kind, n, o) if o.startswith("geo_assets.") else _foreign(kind, n, o) for n, o in sorted(found.items())
        ]
    return rows


def _row(kind: str, name: str, origin: str, missing: list[str], install: str, summary: str) -> dict[str, Any]:
    shown = ", ".join(missing) + (f" ({install})" if install else "")
    return {
        "kind": kind,
        "name": name,
        "origin": origin,
        "usable": not missing,
        "missing": shown,
        "install": install,
        "summary": summary,
    }


def _ours(kind: str, name: str, origin: str) -> dict[str, Any]:
    tree = _tree(origin)
    if tree is None:
        return _row(kind, name, origin, ["its source cannot be read"], "", "")
    missing = sorted({m for m in _imported(tree) if not _findable(m)})
    return _row(kind, name, origin, missing, _install(missing), _first_line(ast.get_docstring(tree)))


def _foreign(kind: str, name: str, origin: str) -> dict[str, Any]:
    tree = _tree(origin.partition(":")[0])
    summary = _first_line(ast.get_docstring(tree)) if tree else ""
    try:
        load(kind, name)
    except Exception as e:  # noqa: BLE001 - another package's module runs here: whatever it raises is the finding
        return _row(kind, name, origin, [str(e).splitlines()[0][:300] if str(e) else type(e).__name__], "", summary)
    return _row(kind, name, origin, [], "", summary)


def _tree(module: str) -> ast.Module | None:
    try:
        spec = importlib.util.find_spec(module)
        file = Path(spec.origin) if spec and spec.origin else None
        return ast.parse(file.read_text(encoding="utf-8")) if file and file.suffix == ".py" else None
    except (ImportError, OSError, SyntaxError, ValueError, AttributeError):
        return None


def _imported(tree: ast.AST) -> Iterator[str]:
    """Top-level packages that a module cannot do without, also those imported inside its functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from _imported_from(node.module)
        elif isinstance(node, ast.Try) and any(_catches_import(h) for h in node.handlers):
            continue
        else:
            yield from _imported(node)


def _imported_from(module: str) -> Iterator[str]:
    """The package, or, for a module that our plugins share, what that module needs."""
    if re.fullmatch(r"geo_assets\.\w+\._\w+", module):
        shared = _tree(module)
        yield from _imported(shared) if shared else ()
    else:
        yield module.partition(".")[0]


def _catches_import(handler: ast.ExceptHandler) -> bool:
    """Whether the module goes on without the package; one that raises an error of its own does not."""
    if any(isinstance(n, ast.Raise) for n in ast.walk(handler)):
        return False
    names = {n.id for n in ast.walk(handler.type) if isinstance(n, ast.Name)} if handler.type else {"Exception"}
    return bool(names & {"ImportError", "ModuleNotFoundError", "Exception"})


def _findable(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _install(missing: list[str]) -> str:
    """The command that brings what is missing: our extras where they list it, else the packages themselves."""
    if not missing:
        return ""
    extras = _extras()
    wanted = [m.replace("_", "-").lower() for m in missing]
    named = sorted({extras[w] for w in wanted if w in extras})
    parts = [f"'{_DISTRIBUTION}[{','.join(named)}]'"] if named else []
    return " ".join(["pip install", *parts, *(w for w in wanted if w not in extras)])


def _extras() -> dict[str, str]:
    """Our extra by the package that it brings; ``dev`` only where no other has it."""
    try:
        requirements = importlib.metadata.requires(_DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found: dict[str, str] = {}
    for text in requirements:
        package, extra = re.match(r"[\w.-]+", text), re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", text)
        if package and extra and (extra[1] != "dev"):
            found.setdefault(package[0].replace("_", "-").lower(), extra[1])
    return found


def _first_line(docstring: str | None) -> str:
    """For people: without the marks of reStructuredText."""
    return (docstring or "").strip().partition("\n")[0].replace("``", "")
