"""Two editors of one flow: what one has not seen is not overwritten."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from callflows import publishing
from callflows.models import Flow
from tests.callflows.test_admin import change_url, form_values


@pytest.fixture
def admins(person: Any, client: Client) -> Client:
    client.force_login(person("admins"))
    return client


def test_the_second_of_two_editors_is_told_and_keeps_what_was_typed_and_the_first_keeps_what_was_saved(
    admins: Client, draft: Flow, person: Any
) -> None:
    second = Client()
    second.force_login(person("admins", "ops"))
    values = form_values(admins.get(change_url(draft)).content)
    theirs = form_values(second.get(change_url(draft)).content)
    balance = next(name for name, sent in values.items() if sent[0].strip() == "Your balance is {balance:amount}.")
    assert admins.post(change_url(draft), values | {balance: ["You have {balance:amount}."]}).status_code == 302
    refused = second.post(change_url(draft), theirs | {"greeting": ["Words that must not be lost."]})
    page = refused.content.decode()
    assert refused.status_code == 200
    assert "admins saved this flow at " in page
    assert "Words that must not be lost." in page
    assert second.post(change_url(draft), form_values(refused.content)).status_code == 200, "again is no way around it"
    kept = publishing.build(draft)
    assert kept.intents[0].outcomes["ok"] == "You have {balance:amount}."
    assert "lost" not in kept.system.greeting.text
    again = form_values(second.get(change_url(draft)).content) | {"greeting": ["Words."]}
    assert second.post(change_url(draft), again).status_code == 302
    assert publishing.build(draft).intents[0].outcomes["ok"] == "You have {balance:amount}."


def test_an_editor_of_what_was_deleted_meanwhile_is_told_in_words_too(admins: Client, draft: Flow) -> None:
    values = form_values(admins.get(change_url(draft)).content)
    assert admins.post(change_url(draft), values | {"intents-1-DELETE": ["on"]}).status_code == 302
    refused = admins.post(change_url(draft), values)
    assert refused.status_code == 200
    assert "saved this flow at " in refused.content.decode()
    assert not draft.intents.filter(name="order_status").exists()
