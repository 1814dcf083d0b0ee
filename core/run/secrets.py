"""Keys and passwords stay out of whatever is shown, sent or kept: messages, records, caches, MLflow.

`redact` is the one way to hide them. It comes before any cut: half a key is still a secret.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "***"
SHORTEST_CUT = 6  # characters of a secret's beginning that are hidden too, where somebody else has cut it

_SCHEME = r"\b([a-z][a-z0-9+.-]*://)"
_ADDRESSES = (
    re.compile(_SCHEME + r"[^\s/?#\"'<>]*@", re.IGNORECASE),
    # a password with "/", "?" or "#", which databases take; a number before "/" is a port
    re.compile(_SCHEME + r"[^\s/?#:@\[\"'<>]*:(?!\d+[/?#])[^\s\"'<>]*@", re.IGNORECASE),
)
_NAMES = r"(?:api[-_]?key|(?:access|auth|refresh|bearer|id)[-_]?token|password|passwd|secret|authorization)"
_NAMED = re.compile(rf"(?:^|.*[._/-]|.*client[-_]?|.*x[-_]?){_NAMES}(?:[-_]?key)?$", re.IGNORECASE)
_QUERY = re.compile(rf"([?&](?:{_NAMES}|key|token|sig|signature)=)[^&\s#\"'<>]+", re.IGNORECASE)
_HEADER = re.compile(
    r"(\bauthorization\W{1,4}(?:b?['\"])?(?:(?:bearer|basic|token)\s+)?)[^\s\"',}]{4,}", re.IGNORECASE
)
_BEARER = re.compile(r"(\bbearer\s+)(?=\S*\d)[\w.~+/=-]{8,}", re.IGNORECASE)


def redact(text: str, *secrets: str) -> str:
    """`text` with "***" for `secrets` and without the user and password of any address in it.

    A secret is found as it is, escaped (JSON, Python, HTML, URL), in base64, a long one in any case, and
    where only its beginning is left. Of fewer than four characters it is found as a whole word only.
    """
    for form in sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True):
        pattern = re.escape(form) if len(form) >= 4 else rf"(?<!\w){re.escape(form)}(?!\w)"
        text = re.sub(pattern, HIDDEN, text, flags=re.IGNORECASE if len(form) >= 12 else 0)
    for secret in secrets:
        for length in range(len(secret) - 1, max(SHORTEST_CUT, min(12, len(secret) // 2)) - 1, -1):
            text = text.replace(secret[:length], HIDDEN)
    for pattern_of in _ADDRESSES:
        text = pattern_of.sub(r"\1", text)
    for pattern_of in (_QUERY, _HEADER, _BEARER):
        text = pattern_of.sub(rf"\g<1>{HIDDEN}", text)
    return text


def redact_tracking(text: str) -> str:
    """`redact` with what the environment holds for the tracking server."""
    held = [os.environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("PASSWORD", "TOKEN")]
    return redact(text, *held, *secrets_of(os.environ.get("MLFLOW_TRACKING_URI", "")))


def redact_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping as it may be kept: texts under names such as api_key are hidden, other texts redacted."""
    return {name: _field(str(name), value) for name, value in values.items()}


def secret_values(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts that `redact_fields` hides by their names."""
    found: list[str] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += secret_values(value)
        elif isinstance(value, str) and value and _NAMED.match(str(name)):
            found.append(value)
    return tuple(found)


def secrets_of(address: str) -> tuple[str, ...]:
    """The password in an address as it stands there, decoded, and as the header that a client makes of it.

    A long user without password is a token.
    """
    found = re.match(r"[a-z][a-z0-9+.-]*://([^\s/?#:@]*)(?::(.*))?@", address, re.IGNORECASE)
    if found is None:
        return ()
    if not found[2]:
        return (found[1],) if len(found[1]) >= 16 else ()
    user, password = unquote(found[1]), unquote(found[2])
    header = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
    return tuple(dict.fromkeys((found[2], password, header)))


def _field(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return redact_fields(value)
    if isinstance(value, list | tuple):
        held = (_field(name, each) for each in value)
        return tuple(held) if isinstance(value, tuple) else list(held)
    if not isinstance(value, str):
        return value
    return HIDDEN if value and _NAMED.match(name) else redact(value)


def _forms(secret: str) -> set[str]:
    plain = {secret, secret.strip()}
    forms = set(plain)
    for one in plain:
        raw = one.encode("utf-8", "replace")
        forms |= {json.dumps(one)[1:-1], repr(one)[1:-1], one.replace("/", "\\/"), html.escape(one)}
        forms |= {quote(one, safe="", errors="replace"), quote_plus(one, errors="replace")}
        forms.add(base64.b64encode(raw).decode("ascii"))
    return {form for form in forms if form}
