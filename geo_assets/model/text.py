"""What others say in errors, fit for logs, receipts and reports: printable, and without secrets."""

import re

from geo_assets.model.href import without_query

# Control characters, lone surrogates, and the marks that reverse the direction of what follows
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_BLANKS = re.compile(r"(\s+)")
_ADDRESS = re.compile(r"(?<![A-Za-z0-9+.-])(?=[A-Za-z][A-Za-z0-9+.-]*://)")
# Bounded, since causes may be long
_SECRET = re.compile(
    r"(?i)((?:password|passwd|secret|token|api[_-]?key|access[_-]?key)[\w-]{0,40}[\"']?\s{0,9}[=:]\s{0,9})(?!\*)[^\s,;)}\]]+"
)
_PUNCTUATION = "\"'`)]}>,;:."


def printable(text: str) -> str:
    """Text with a sign in place of each character that steers a screen or cannot be written to a file."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def without_secrets(text: str) -> str:
    """Printable text without signatures, users and passwords of addresses, and without values that a name calls secret."""
    text = printable(text)
    if "://" in text or "?" in text:
        # Libraries quote addresses with their signatures, some of them several in one word
        text = "".join(_bare(part) for word in _BLANKS.split(text) for part in _ADDRESS.split(word))
    return _SECRET.sub(r"\1***", text)


def first_line(error: BaseException) -> str:
    """First line of an error's text without secrets, or "" where it has none that can be had."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # noqa: BLE001 - an error may be unable to describe itself: its class has to do
        lines = []
    return without_secrets(lines[0]) if lines else ""


def told(error: BaseException) -> str:
    """What a library raised, in one line: its class, and the first line of its text."""
    first = first_line(error)
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _bare(part: str) -> str:
    """One address without its query, or any other text as it is."""
    before, question, after = part.partition("?")
    if "://" in part:
        bare = without_query(part)
    else:
        bare = before if question and "=" in after else part
    return part if bare == part else bare + part[len(part.rstrip(_PUNCTUATION)) :]
