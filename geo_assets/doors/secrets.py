"""Credentials that stand where they should not, and texts without them."""

import re

_NAMES = r"secret|password|passwd|api[_-]?key|access[_-]?key|account[_-]?key|connection[_-]?string|token"
_PARAMETERS = r"X-Amz-Signature|X-Amz-Security-Token|X-Goog-Signature|sig|token|access_token|api_?key|subscription-key|Signature|AccountKey"
_PATTERNS = {
    "an AWS access key": r"\b(?P<value>(?:AKIA|ASIA)[0-9A-Z]{16})\b",
    "a private key": r"(?P<value>-----BEGIN [A-Z ]*PRIVATE KEY-----)",
    "an access token": r"\b(?P<value>gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|xox[abpr]-[\w-]{10,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]+)",
    "a user and password in an address": r"(?<=://)[^/\s:@'\"]+:(?P<value>[^/\s@'\"]+)(?=@)",
    "a signature or token in an address": rf"[?&](?:{_PARAMETERS})=(?P<value>[^&\s'\"]{{6,}})",
    "a secret under its name": rf"(?i)(?<![\w-])['\"]?[\w-]*(?:{_NAMES})['\"]?\s*[:=]\s*(?!null|~|\$\{{)['\"]?(?P<value>[^\s'\"#,}}]{{6,}})",
}


def find_secrets(text: str) -> list[tuple[int, str, str]]:
    """Line, kind and text of everything that looks like a credential; never show the last to anybody."""
    found = [(m.start("value"), kind, m["value"]) for kind, p in _PATTERNS.items() for m in re.finditer(p, text)]
    return [(text.count("\n", 0, start) + 1, kind, value) for start, kind, value in sorted(found)]


def without_secrets(message: str, source: str) -> str:
    """A message with ``***`` for every credential of ``source``, also where it shows only the beginning of one."""
    for _, _, value in find_secrets(source):
        shown = next((value[:n] for n in range(len(value), 5, -1) if value[:n] in message), None)
        message = message.replace(shown, "***") if shown else message
    return message


def shown_uri(uri: str) -> str:
    """An address without user and signature."""
    return re.sub(r"(?<=://)[^/@]*@", "", uri).split("?", 1)[0]
