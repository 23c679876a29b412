"""The error for an HTTP status, and how long a server asks to be left alone."""

from __future__ import annotations

import pytest

from ai_engine.errors import Kind, http_error, retry_after_s


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"Retry-After": "Thu, 01 Jan 1970 00:01:40 GMT"}, 60.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
    ],
)
def test_a_server_says_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, 40.0) == seconds


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, Kind.HTTP_400, False),
        (401, Kind.HTTP_401, False),
        (408, Kind.TIMEOUT, True),
        (422, Kind.HTTP_400, False),
        (429, Kind.HTTP_429, True),
        (503, Kind.HTTP_500, True),
    ],
)
def test_a_status_is_an_error_with_its_policy(status: int, kind: Kind, retryable: bool) -> None:
    error = http_error(status, {"Retry-After": "7"})
    assert (error.kind, error.retryable) == (kind, retryable)
    assert error.retry_after_s == (7.0 if retryable else None)
