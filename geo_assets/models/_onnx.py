"""What an ONNX file asks for, read from its bytes: files beside it, and operators that are not ONNX's own.

The few fields that matter are found by their numbers in ``onnx.proto`` (IR version 10 and later keep them); nothing else is
decoded, and no library of ONNX is needed.
"""

from collections.abc import Iterator, Mapping

from geo_assets.errors import ConfigError

_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
_DEEPEST = 64
# Message -> number of a field -> message that it holds
_HOLDS: Mapping[str, Mapping[int, str]] = {
    "Model": {7: "Graph", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 15: "Sparse"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "Sparse", 23: "Sparse"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Tensor": {},
}


def check_onnx(content: bytes) -> None:
    """Refuse a file that reads other files or needs operators of somebody's own.

    Raises:
        ConfigError: It does, or is no whole ONNX model.
    """
    if content[4:8] == b"ORTM":
        raise ConfigError(
            "the file is of ONNX Runtime's own format, which is not looked into: give the ONNX model itself"
        )
    try:
        graphs = _check(memoryview(content), "Model", 0)
    except _DamagedError as e:
        raise ConfigError(f"the file is no whole ONNX model: {e}; fetch it again") from e
    if not graphs:
        raise ConfigError("the file is no ONNX model: it holds no graph")


class _DamagedError(Exception):
    """The bytes are not what they should be."""


def _check(data: memoryview, message: str, depth: int) -> int:
    """Check a message and all in it; returns how many fields it has that hold messages."""
    if depth > _DEEPEST:
        raise _DamagedError("its graphs are nested too deeply")
    held = 0
    for number, value in _fields(data):
        if message == "Tensor" and (number == 13 or (number == 14 and value == 1)):
            raise ConfigError(
                "the ONNX model keeps weights in other files, which are not read: save it as one file, without external data"
            )
        # NodeProto.domain, and OperatorSetIdProto.domain of Model and Function
        if message == "Node" and number == 7 and isinstance(value, memoryview):
            _check_domain(value)
        if (message, number) in (("Model", 8), ("Function", 9)) and isinstance(value, memoryview):
            for inner, domain in _fields(value):
                if inner == 1 and isinstance(domain, memoryview):
                    _check_domain(domain)
        kind = _HOLDS[message].get(number)
        if kind is not None:
            if not isinstance(value, memoryview):
                raise _DamagedError(f"field {number} of {message} is no message")
            held += 1
            _check(value, kind, depth + 1)
    return held


def _check_domain(value: memoryview) -> None:
    name = bytes(value).decode("utf-8", "replace")
    if name not in _DOMAINS:
        raise ConfigError(f"the ONNX model needs operators of {name[:80]!r}; only those of ONNX itself can be run")


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Fields of a message: number, and the number or bytes that it holds (Protocol Buffers, "Encoding")."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise _DamagedError(f"wire type {kind}")
        if number == 0 or at + size > len(data):
            raise _DamagedError("a field ends after the file")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise _DamagedError("a number has no end")
