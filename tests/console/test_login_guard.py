"""Logging in: guessing is stopped for the name and for the address, said plainly, kept, and undone by a command."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.conf import settings as live_settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client, RequestFactory

from console import login_guard
from console.models import OperatorAction

PASSWORD = "a long enough one"
pytestmark = pytest.mark.django_db


@pytest.fixture
def anna() -> User:
    return User.objects.create_superuser("anna", password=PASSWORD)


def log_in(name: str, password: str, address: str = "10.1.1.1", url: str = "/login/") -> Any:
    client = Client(REMOTE_ADDR=address)
    answer = client.post(url, {"username": name, "password": password})
    assert ("sessionid" in client.cookies) == (answer.status_code == 302)
    return answer


def fail(count: int, name: str = "anna", address: str = "10.1.1.1", url: str = "/login/") -> Any:
    for _ in range(count):
        answer = log_in(name, "wrong", address, url)
    return answer


def test_settings_and_guard_mean_the_same() -> None:
    assert live_settings.AXES_FAILURE_LIMIT == login_guard.FAILURES_BY_NAME
    assert live_settings.AXES_COOLOFF_TIME.total_seconds() == login_guard.LOCKED_MINUTES * 60


@pytest.mark.parametrize("url", ["/login/", "/admin/login/"])
def test_a_name_is_locked_after_ten_failures_whatever_their_address(anna: User, url: str) -> None:
    for number in range(9):
        assert fail(1, address=f"10.1.1.{number}", url=url).status_code == 200
    assert log_in("anna", PASSWORD, "10.2.2.2", url).status_code == 302, "nine are forgiven"
    answer = fail(1, url=url)
    assert (answer.status_code, answer["Retry-After"]) == (429, "900")
    assert "is locked for 15 minutes" in answer.content.decode()
    assert log_in("anna", PASSWORD, "10.2.2.2", url).status_code == 429, "the right password does not help either"


def test_an_address_is_locked_after_fifty_failures_whatever_the_names(anna: User) -> None:
    for number in range(49):
        assert fail(1, name=f"user{number}").status_code == 200
    assert fail(1, name="another").status_code == 429
    assert log_in("anna", PASSWORD).status_code == 429
    assert log_in("anna", PASSWORD, "10.2.2.2").status_code == 302, "others are not held up"


def test_whoever_is_logged_in_stays_so(anna: User) -> None:
    working = Client()
    working.force_login(anna)
    fail(11)
    assert working.get("/calls/").status_code == 200


def test_one_lock_is_one_entry_and_attempts_while_it_lasts_write_nothing(anna: User) -> None:
    fail(30)
    (kept,) = OperatorAction.objects.all()
    assert (kept.user, kept.what, kept.target) == ("anna", "login locked", "10.1.1.1")
    (attempt,) = AccessAttempt.objects.all()
    assert attempt.failures_since_start == 10
    assert "wrong" not in attempt.post_data


def test_passwords_are_neither_kept_nor_logged_also_when_typed_as_a_name(anna: User, caplog: pytest.LogCaptureFixture) -> None:
    log_in("anna", "MARKER-of-a-password")
    (attempt,) = AccessAttempt.objects.all()
    assert "MARKER" not in attempt.post_data + attempt.get_data
    log_in("MARKER-as-a-name", "x")
    assert "login failure" in caplog.text
    assert "MARKER" not in caplog.text


def test_unlocking_lets_the_user_in_again_and_is_kept(anna: User) -> None:
    fail(10)
    said = StringIO()
    call_command("unlock_login", stdout=said)
    assert "10 failures user anna address 10.1.1.1" in said.getvalue()
    call_command("unlock_login", user="anna", stdout=said)
    assert log_in("anna", PASSWORD).status_code == 302
    assert OperatorAction.objects.get(what="login unlocked").target == "anna"
    call_command("unlock_login", user="anna", address="10.9.9.9", stdout=said)
    assert said.getvalue().endswith("There was nothing to forget.\n")


def test_a_lock_ends_by_itself(anna: User, settings: Any) -> None:
    fail(10)
    AccessAttempt.objects.update(attempt_time=AccessAttempt.objects.get().attempt_time - live_settings.AXES_COOLOFF_TIME * 2)
    assert log_in("anna", PASSWORD).status_code == 302


def test_behind_a_proxy_the_address_is_the_one_the_proxy_wrote(settings: Any) -> None:
    request = RequestFactory().get("/login/", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="6.6.6.6, 10.1.1.1")
    assert login_guard.client_address(request) == "10.0.0.1", "without a proxy the header is a browser's invention"
    settings.LIFELINE_TRUSTED_PROXY = True
    assert login_guard.client_address(request) == "10.1.1.1"
    assert login_guard.client_address(RequestFactory().get("/", REMOTE_ADDR="10.0.0.1")) == "10.0.0.1"


def test_a_session_costs_no_query_of_the_guard(anna: User, django_assert_num_queries: Any) -> None:
    client = Client()
    client.force_login(anna)
    with django_assert_num_queries(2):  # The session and the user.
        client.get("/login/")
