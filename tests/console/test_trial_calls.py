"""Test calls: asked for on the page, placed by the worker's task on the simulated switch, told and remembered."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console import tasks, trial_calls, words
from console.models import OperatorAction, TrialCall, TrialState
from console.switch_panel import REPORTED_WITHIN, TRIAL_SHOWN, TrialRow, trial_row
from console.switch_settings import SwitchAddress
from console.switches import switches
from console.trial_calls import CALLING_LIMIT, TAKEN_WITHIN, TrialRefusedError
from esl_bridge.control_errors import NoAnswerError
from simulator.switch import Switch
from tests.console.switch_thread import PASSWORD, running_switch
from tests.console.test_pages import browser_of, make_call, text, user_with

pytestmark = pytest.mark.django_db


@pytest.fixture
def switch(tmp_path: Path, settings: Any) -> Iterator[Switch]:
    with running_switch(tmp_path) as running:
        settings.LIFELINE_SWITCH_HOST, settings.LIFELINE_SWITCH_PORT = "127.0.0.1", running.inbound_port
        settings.LIFELINE_SWITCH_PASSWORD = PASSWORD
        yield running


def ask(user: str = "anna") -> TrialCall:
    return trial_calls.ask(switches()[0], user)


def told(after: timedelta = timedelta()) -> TrialRow:
    row = trial_row(timezone.now() + after)
    assert row is not None
    return row


def test_a_test_call_is_placed_marked_and_remembered(switch: Switch) -> None:
    trial = ask()
    assert told().kind == "waiting"
    tasks.place_test_call(trial.pk)
    trial.refresh_from_db()
    assert trial.state == TrialState.ANSWERED
    assert switch.sessions[trial.call_uuid].channel.identity.destination == "9200"
    assert told().what == "Answered on the switch; waiting for the bridge's first report…"
    assert "no bridge has reported it" in told(REPORTED_WITHIN + timedelta(seconds=1)).what
    make_call(call_uuid=trial.call_uuid)
    other = make_call()
    assert told().what == "Answered by bridge-1, on the line: Asks for account number."
    client = browser_of("view_call")
    live = text(client, "/")
    assert f'<a href="/calls/{trial.call_uuid}/">Call {trial.call_uuid[:8]}</a>' in live
    for page in (live, text(client, "/calls/"), text(client, f"/calls/{trial.call_uuid}/")):
        assert page.count(">Test call<") == 1
    assert ">Test call<" not in text(client, f"/calls/{other.call_uuid}/")
    assert "anna had switch main place it" in text(client, f"/calls/{trial.call_uuid}/")
    done = list(OperatorAction.objects.order_by("pk").values_list("user", "what", "target", "why"))
    target = "main: loopback/9200/lifeline"
    assert done == [("anna", "test call", target, ""), ("anna", "test call answered", target, trial.call_uuid)]
    assert trial_row(timezone.now() + TRIAL_SHOWN) is None


def test_it_is_placed_once_however_often_the_order_comes(switch: Switch) -> None:
    trial = ask()
    tasks.place_test_call(trial.pk)
    tasks.place_test_call(trial.pk)
    assert len(switch.sessions) == 1


def test_an_order_that_waited_too_long_rings_nowhere(switch: Switch) -> None:
    trial = ask()
    TrialCall.objects.update(asked_at=timezone.now() - TAKEN_WITHIN)
    tasks.place_test_call(trial.pk)
    assert not switch.sessions
    assert told(timedelta(seconds=1)).what.startswith("Nobody took it, and nothing was called")


def test_why_there_is_no_call_is_said_and_remembered(switch: Switch, settings: Any) -> None:
    settings.LIFELINE_TEST_CALL_ENDPOINT = "sofia/internal/x@127.0.0.1:5099"
    tasks.place_test_call(ask().pk)
    assert told().kind == "bad"
    assert told().what == "No call: what was called failed for the moment (NORMAL_TEMPORARY_FAILURE)"
    assert OperatorAction.objects.get(what="test call failed").why.startswith("what was called failed")
    settings.LIFELINE_SWITCH_PASSWORD = "wrong"
    tasks.place_test_call(ask().pk)
    assert "set LIFELINE_SECRET_SWITCH_PASSWORD to" in told().what
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.LIFELINE_SWITCH_PORT = server.getsockname()[1]
    tasks.place_test_call(ask().pk)
    assert "Connection refused" in told().what


def test_an_order_without_an_answer_may_ring_all_the_same(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        def place_test_call(self, *_: object, **__: object) -> str:
            raise NoAnswerError("The switch did not answer within 13 s.")

    monkeypatch.setattr(trial_calls, "control_of", lambda _switch: Silent())
    tasks.place_test_call(ask().pk)
    assert told().what == "No call: The switch did not answer within 13 s. It may be on the line all the same."


def test_a_worker_that_dies_while_it_calls_is_not_waited_for(switch: Switch) -> None:
    trial = ask()
    TrialCall.objects.update(state=TrialState.CALLING, called_at=timezone.now())
    assert told().what == "Calling loopback/9200/lifeline…"
    with pytest.raises(TrialRefusedError, match="a test call on main is under way"):
        ask()
    assert told(CALLING_LIMIT + timedelta(seconds=1)).what.startswith("Not confirmed")
    TrialCall.objects.filter(pk=trial.pk).update(called_at=timezone.now() - CALLING_LIMIT)
    ask()


def test_a_switch_that_is_not_there_any_more_is_not_called(switch: Switch) -> None:
    trial = trial_calls.ask(SwitchAddress("east", "127.0.0.1", 1, PASSWORD), "anna")
    tasks.place_test_call(trial.pk)
    assert told().what == "No call: there is no switch east any more"


def order(client: Client, switch_name: str = "main") -> str:
    answer = client.post("/test-calls/", {"switch": switch_name}, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_order_is_stored_and_handed_to_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[object, ...]] = []

    def send(name: str, args: tuple[int], *, expires: float, **_: object) -> None:
        sent.append((name, args, expires))

    monkeypatch.setattr("console.orders.app.send_task", send)
    client = browser_of("view_call", "place_test_call")
    assert "Asked for a test call on main" in order(client)
    trial = TrialCall.objects.get()
    assert sent == [("console.place_test_call", (trial.pk,), 15.0)]
    assert "Not done: a test call on main is under way." in order(client)
    assert "Not done: there is no such switch." in order(client, "west")
    assert len(sent) == 1
    assert client.post("/test-calls/", {"switch": "main"})["Location"] == "/"


def test_with_the_queue_away_nothing_is_called_and_that_is_said() -> None:
    # The tests' settings name a Redis that does not run (tests/settings.py).
    began = time.monotonic()
    assert "Not done: the queue to the worker (Redis) does not answer." in order(browser_of("view_call", "place_test_call"))
    assert TrialCall.objects.get().state == TrialState.FAILED
    assert time.monotonic() - began < 5


def test_test_calls_are_for_who_may_with_a_token_by_post() -> None:
    watcher = browser_of("view_call")
    assert watcher.post("/test-calls/", {"switch": "main"}).status_code == 403
    assert "Place a test call" not in text(watcher, "/")
    caller = browser_of("view_call", "place_test_call")
    assert "Place a test call" in text(caller, "/")
    assert caller.get("/test-calls/").status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(user_with("view_call", "place_test_call"))
    assert strict.post("/test-calls/", {"switch": "main"}).status_code == 403
    assert not TrialCall.objects.exists()


def test_with_several_switches_the_operator_chooses(settings: Any) -> None:
    settings.LIFELINE_SWITCHES = (SwitchAddress("east", "127.0.0.1", 1, PASSWORD),)
    assert "<option>main</option><option>east</option>" in text(browser_of("view_call", "place_test_call"), "/")


def test_a_cause_without_words_is_shown_as_it_is() -> None:
    assert words.refusal("-ERR USER_BUSY") == "it is busy (USER_BUSY)"
    assert words.refusal("-ERR SOMETHING_NEW") == "the switch refused it (SOMETHING_NEW)"
    assert words.refusal("-USAGE: <call url>") == "the switch refused it (-USAGE: <call url>)"
