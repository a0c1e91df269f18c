"""Archives of torch.export, made anew from what is known to be harmless in them.

``torch.export.load`` runs code that an archive brings with it, in seven ways (tried with torch 2.13): it unpickles sample
inputs, weights and constants wherever reading them as plain weights fails; it evaluates the sizes of tensors and the
guards as Python; it writes the names of values into Python source; and it loads compiled libraries. So no archive is
given to it as it came. Every text in it is compared with what an exported program needs, weights and constants must
be plain bytes, sample inputs, guards and notes of the tracer are left out, and a new archive is written of the rest.
"""

import io
import json
import math
import pickletools
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from geo_assets.errors import ConfigError

_WEIGHTS, _CONSTANTS = "data/weights/model_weights_config.json", "data/constants/model_constants_config.json"
_PROGRAM, _SAMPLES, _EXTRA = "models/model.json", "data/sample_inputs/model.pt", "extra/"
_PLAIN = re.compile(r"data/(?:weights/weight_\d{1,6}|constants/tensor_\d{1,6})")
_SMALL = ("archive_format", "archive_version", "byteorder", ".data/version", ".data/serialization_id")
_MOST_JSON = 256 * 2**20
_OPERATOR = re.compile(
    r"torch\.ops\.aten\.(?P<aten>[a-z0-9_]+)\.\w+|torch\.sym_(?:int|float|max|min|not)|math\.(?:ceil|floor|trunc)"
    r"|_operator\.(?:getitem|add|sub|mul|truediv|floordiv|mod|neg|pow|eq|ne|lt|le|gt|ge)",
    re.ASCII,
)
# Operators whose texts are modes; others, such as from_file, take names of files
_WITH_TEXT = re.compile(
    r"conv[123]d|div|divide|einsum|gelu|pad|scatter|scatter_reduce|index_reduce|meshgrid|searchsorted|bucketize|fft_\w+|linalg_\w+"
)
_NAME = re.compile(r"[A-Za-z_]\w{0,255}", re.ASCII)
_WORD = re.compile(r"[\w.:+-]{0,512}", re.ASCII)
_MODE = re.compile(r"[\w .,:<>=+*-]{0,256}", re.ASCII)
# Sizes are sums and products of symbols (torch._export.serde prints them as sympy constructors). Powers are left out: they
# can be too large to be worked out. Possessive, so that no text takes long to be refused
_SIZE = re.compile(
    r"(?:Symbol|Integer|Add|Mul|Max|Min|Mod|PythonMod|FloorDiv|CeilDiv|CleanDiv|IntTrueDiv|Eq|Ne|positive|nonnegative"
    r"|integer|True|False|'[suz]\w{0,15}'|[su]\d++|\d++|[(),=+/ -]|\*(?!\*))*+",
    re.ASCII,
)
_MOST_SIZE = 4096
_LEFT_OUT: Mapping[str, Any] = {"metadata": {}, "guards_code": [], "treespec_namedtuple_fields": {}}
# What tensors are made of in a pickle (torch._weights_only_unpickler has the same and more)
_HARMLESS = re.compile(
    r"collections OrderedDict|torch [A-Za-z]{1,20}Storage|torch\.storage UntypedStorage|torch [a-z0-9]{1,20}"
    r"|torch\._utils _rebuild_(?:tensor_v2|parameter)|torch\._export\.serde\.serialize _reconstruct_fake_tensor"
)
_REFUSED = ("as_graph", "as_operator", "as_custom_obj", "as_strings", "custom_obj", "custom_obj_values", "token")


class _Refused(Exception):
    """What is wrong with an archive."""


def rebuilt(content: bytes) -> bytes:
    """An archive with the same program and weights, in which nothing can run.

    Raises:
        ConfigError: The file is damaged, is no such archive, or holds what could run code; says which.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = _members(archive)
            _whole(members, archive)
            if _SAMPLES in members:
                _check_pickle(archive.read(members[_SAMPLES]))
            parts = {n: archive.read(m) for n, m in members.items() if n != _SAMPLES and not n.startswith(_EXTRA)}
        parts[_PROGRAM] = _written(_program(_parsed(parts, _PROGRAM)))
        for config in (_WEIGHTS, _CONSTANTS):
            parts[config] = _written(_payload(_parsed(parts, config), config, parts))
    except _Refused as e:
        raise ConfigError(f"the torch.export archive was not opened: {e}") from e
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as e:
        raise ConfigError(
            f"the file is no whole torch.export archive (.pt2): {str(e)[:200]}; fetch it again, or export the model again with torch.export.save"
        ) from e
    except (KeyError, TypeError, AttributeError, IndexError) as e:  # a part of a description is not of its kind
        raise ConfigError(
            f"the torch.export archive was not opened: its program or weights are not described as they should be ({e}); export the model again with torch.export.save"
        ) from e
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, part in sorted((parts | {_SAMPLES: b"", "byteorder": b"little"}).items()):
            archive.writestr(f"model/{name}", part)
    return out.getvalue()


def _refuse(what: str) -> NoReturn:
    raise _Refused(f"{what}; export the model again with torch.export.save, on the CPU and without code of its own")


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Entries by their name below the archive's one folder."""
    found: dict[str, zipfile.ZipInfo] = {}
    entries = archive.infolist()
    names = [e.filename for e in entries]
    if any(n.endswith("data.pkl") for n in names):
        script = any("/code/" in n for n in names)
        raise _Refused(
            f"it was made by {'torch.jit.save (TorchScript)' if script else 'torch.save (a pickle)'}, which runs code when it is opened; "
            "export the model with torch.export.save"
        )
    for entry in entries:
        _, separator, name = entry.filename.partition("/")
        if not separator or name in found or ".." in name.split("/"):
            _refuse(f"entry {entry.filename[:80]!r} lies outside of its folder, or is there twice")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            _refuse(f"entry {entry.filename[:80]!r} is packed or encrypted, which torch never does")
        if name not in (_PROGRAM, _WEIGHTS, _CONSTANTS, _SAMPLES, *_SMALL) and not (
            _PLAIN.fullmatch(name) or name.startswith(_EXTRA)
        ):
            _refuse(
                f"entry {name[:80]!r} is not a program, plain weights or plain constants, and what else there is could run code"
            )
        found[name] = entry
    return found


def _whole(members: Mapping[str, zipfile.ZipInfo], archive: zipfile.ZipFile) -> None:
    missing = [n for n in (_PROGRAM, _WEIGHTS, _CONSTANTS, "archive_version") if n not in members]
    if missing:
        _refuse(f"it has no {missing[0]}")
    for name in _SMALL:
        if name in members and members[name].file_size > 64:
            _refuse(f"entry {name!r} is longer than it can be")
    if "byteorder" in members and archive.read(members["byteorder"]) != b"little":
        _refuse("its weights are big-endian")
    if any(members[n].file_size > _MOST_JSON for n in (_PROGRAM, _WEIGHTS, _CONSTANTS)):
        _refuse("its program is longer than 256 MB")


def _check_pickle(samples: bytes) -> None:
    """Refuse sample inputs that name anything but tensors. They are left out, and never unpickled, in any case."""
    if not samples:
        return
    with zipfile.ZipFile(io.BytesIO(samples)) as archive:
        pickles = [archive.read(n) for n in archive.namelist() if n.endswith("data.pkl")]
    for one in pickles or [_refuse("its sample inputs are no tensors")]:
        for operation, named, _ in pickletools.genops(one):
            if operation.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
                _refuse("its sample inputs name what is no tensor, which runs as code when they are unpickled")
            if operation.name == "GLOBAL" and not _HARMLESS.fullmatch(str(named)):
                _refuse(f"its sample inputs name {str(named)[:80]!r}, which runs as code when they are unpickled")


def _parsed(parts: Mapping[str, bytes], name: str) -> dict[str, Any]:
    try:
        found = json.loads(parts[name])
    except RecursionError as e:
        raise ValueError(f"{name} is nested too deeply") from e
    if not isinstance(found, dict):
        _refuse(f"{name} is no object")
    return found


def _written(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _program(program: dict[str, Any]) -> dict[str, Any]:
    """The program with what it does not need left out."""
    clean: dict[str, Any] = _clean(program, "")
    for node in clean["graph_module"]["graph"]["nodes"]:
        _check_operator(node)
    return clean


def _check_operator(node: Mapping[str, Any]) -> None:
    match = _OPERATOR.fullmatch(str(node["target"]))
    if match is None:
        _refuse(f"operator {str(node['target'])[:80]!r} is not one of torch's own of arrays (aten)")
    texts = any("as_string" in (one.get("arg") or {}) for one in node["inputs"])
    if texts and not _WITH_TEXT.fullmatch(match["aten"] or ""):
        _refuse(f"operator {node['target']!r} is given a text, and could take it for the name of a file")


def _clean(value: Any, key: str) -> Any:
    """A part of the program, each of whose texts is harmless."""
    if isinstance(value, dict):
        return {_text(k, ""): _LEFT_OUT[k] if k in _LEFT_OUT else _clean(v, k) for k, v in _held(value)}
    if isinstance(value, list):
        return [_clean(v, key) for v in value]
    return _text(value, key) if isinstance(value, str) else value


def _held(value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, held in value.items():
        if key == "guards_code" and any("__" in str(guard) or "import" in str(guard) for guard in held or ()):
            _refuse(f"its guards are code: {str(held)[:80]}")
        if key in _REFUSED and held:
            _refuse(f"the program has {key!r}: parts that are not operators of arrays could run code")
        yield key, held


def _text(text: str, key: str) -> str:
    if key in ("in_spec", "out_spec"):
        _check_spec(json.loads(text))
        return text
    pattern = {"expr_str": _SIZE, "as_string": _MODE, "name": _NAME, "as_name": _NAME, "forward_arg_names": _NAME}.get(
        key, _WORD
    )
    if (not pattern.fullmatch(text) or len(text) > _MOST_SIZE) and not (key == "name" and text == ""):
        _refuse(f"the text {text[:80]!r} of {key or 'a key'!r} is none that a program has, and could be run as code")
    return text


def _check_spec(spec: Any) -> None:
    """How arguments are nested: tuples, lists and dicts of values, and no classes."""
    todo = [spec[1]] if isinstance(spec, list) and len(spec) == 2 else _refuse("its arguments are not described")
    while todo:
        one = todo.pop()
        if one["type"] not in (None, "builtins.tuple", "builtins.list", "builtins.dict"):
            _refuse(f"an argument is of the class {str(one['type'])[:80]!r}")
        names = json.loads(one["context"]) if isinstance(one["context"], str) else None
        if names is not None and not all(isinstance(n, str) and _NAME.fullmatch(n) for n in names):
            _refuse("an argument has an odd name")
        todo += one["children_spec"]


def _payload(config: dict[str, Any], name: str, parts: Mapping[str, bytes]) -> dict[str, Any]:
    """Where weights lie, all of which are plain bytes and no larger than these."""
    folder = name.rsplit("/", 1)[0]
    clean: dict[str, Any] = _clean(config, "")
    for weight, meta in clean["config"].items():
        part = parts.get(f"{folder}/{meta['path_name']}")
        if meta.get("use_pickle") or part is None:
            _refuse(f"weight {weight[:80]!r} is a pickle, or is not there")
        sizes = [s.get("as_int") for s in meta["tensor_meta"]["sizes"]]
        if any(not isinstance(s, int) or s < 0 for s in sizes) or math.prod(sizes) > len(part):
            _refuse(f"weight {weight[:80]!r} says that it is larger than it is")
        if meta["tensor_meta"]["device"]["type"] != "cpu":
            _refuse(f"weight {weight[:80]!r} lies on {meta['tensor_meta']['device']['type']!r}")
    return clean
