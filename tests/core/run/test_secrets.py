"""What is hidden, in whatever form it comes, and what stays as it is."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from core.run.secrets import HIDDEN, redact, redact_fields, secret_values, secrets_of

KEY = "sk-a/b+c=0123456789'\"\\z"


@pytest.mark.parametrize(
    "form",
    [
        KEY,
        KEY.upper(),
        json.dumps(KEY)[1:-1],
        repr(KEY)[1:-1],
        quote(KEY, safe=""),
        base64.b64encode(KEY.encode()).decode(),
        KEY[:15],
    ],
)
def test_a_secret_is_hidden_in_every_form(form: str) -> None:
    shown = redact(f"bad key {form} given", KEY)
    assert form not in shown
    assert KEY[:12] not in shown
    assert shown.startswith("bad key ***")
    assert shown.endswith(" given")


def test_a_key_with_a_line_break_is_hidden_with_and_without_it() -> None:
    for form in ("key-0123\r\n", "key-0123", "key-0123\\r\\n"):
        assert "0123" not in redact(f"Illegal header value b'Bearer {form}'", "key-0123\r\n")


def test_a_very_short_secret_leaves_words_alone() -> None:
    assert redact("a key k1, and k12", "k1") == "a key ***, and k12"
    assert redact("an empty answer to EMPTY", "EMPTY") == "an empty answer to ***"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ann:hunter22@host:9/v1", "http://host:9/v1"),
        ("https://ann@host/v1", "https://host/v1"),
        ("https://:word@host/v1", "https://host/v1"),
        ("http://ann:p@ss@host/v1", "http://host/v1"),
        ("postgresql+psycopg://ann:pa/s#s?@host:5432/db", "postgresql+psycopg://host:5432/db"),
        ("to 'http://a:b@h/x' and http://c:d@h/y", "to 'http://h/x' and http://h/y"),
        ("postgresql://h/db?user=ann&password=word&ssl=1", "postgresql://h/db?user=ann&password=***&ssl=1"),
        ("{'Authorization': 'Bearer abcd'}", "{'Authorization': 'Bearer ***'}"),
        ("sent Bearer abc.def-123", "sent Bearer ***"),
    ],
)
def test_addresses_and_headers_lose_their_secrets(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://host:8000/v1/files/a@b.wav",
        "http://[::1]:8000/a@b",
        "sqlite:////home/ann@work/mlflow.db",
        "write to ann@host, key: value; the option is a bearer bond; Basic understanding",
        "https://host/v1?api-version=2024&max_tokens=5",
    ],
)
def test_what_holds_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_the_password_of_an_address_is_known_in_each_form() -> None:
    assert secrets_of("http://ann:p%40ss@host/v1") == (
        "p%40ss",
        "p@ss",
        base64.b64encode(b"ann:p@ss").decode(),
    )
    assert secrets_of("http://host:80/v1") == secrets_of("http://ann@host") == ()
    assert secrets_of("https://ghp_0123456789abcdef@host/x") == ("ghp_0123456789abcdef",)


def test_fields_are_hidden_by_name() -> None:
    given = {
        "api_key": "x",
        "endpoint.extra.access_token": "x",
        "headers": {"X-Api-Key": "x", "n": 1},
        "key_variable": "OPENAI_API_KEY",
        "max_tokens": 5,
        "pad_token": "<pad>",
        "url": "http://ann:word@host",
        "list": ["http://ann:word@host", None],
    }
    assert redact_fields(given) == {
        "api_key": HIDDEN,
        "endpoint.extra.access_token": HIDDEN,
        "headers": {"X-Api-Key": HIDDEN, "n": 1},
        "key_variable": "OPENAI_API_KEY",
        "max_tokens": 5,
        "pad_token": "<pad>",
        "url": "http://host",
        "list": ["http://host", None],
    }
    assert secret_values(given) == ("x", "x", "x")
