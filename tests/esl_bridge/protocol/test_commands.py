"""What may be sent: exact bytes for what is safe, a refusal for what FreeSWITCH could act on."""

from __future__ import annotations

import pytest

from esl_bridge.protocol import commands
from esl_bridge.protocol.commands import Application, safe_value
from esl_bridge.protocol.conversation import Conversation, Disconnecting, Happened, Replied
from esl_bridge.protocol.errors import UnexpectedReply, UnsafeArgument
from tests.esl_bridge.recorded import from_freeswitch

UUID = "67f4668d-b17d-4b43-a9e9-a79e324546cd"
ATTACKS = ["${system(touch /x)}", "a\nb", "a\rb", "a\x00b", "\\x", "$x", "{y}", "a;ll_owner=z", "a=b", "a b", "'q'"]


def test_execute_has_the_body_form_that_was_recorded() -> None:
    sent = commands.execute(Application.PLAYBACK, "/tmp/x.wav", event_uuid=UUID)
    assert sent.data == (
        b"sendmsg\ncall-command: execute\nexecute-app-name: playback\nEvent-UUID: " + UUID.encode()
        + b"\nevent-lock: true\ncontent-type: text/plain\ncontent-length: 10\n\n/tmp/x.wav\n\n"
    )


@pytest.mark.parametrize("text", ATTACKS)
def test_text_that_freeswitch_could_act_on_is_never_sent(text: str) -> None:
    assert not safe_value(text)
    with pytest.raises(UnsafeArgument):
        commands.set_variables(UUID, {"ll_slot_x": text})
    with pytest.raises(UnsafeArgument):
        commands.transfer(UUID, text, "lifeline")


@pytest.mark.parametrize("text", ["${system(x)}", "a\nb", "a\x00"])
def test_an_application_argument_is_checked(text: str) -> None:
    with pytest.raises(UnsafeArgument):
        commands.execute(Application.PLAYBACK, text, event_uuid=UUID)


def test_a_refusal_does_not_repeat_the_value() -> None:
    with pytest.raises(UnsafeArgument) as caught:
        commands.set_variables(UUID, {"ll_slot_x": "secret ${x}"})
    assert "secret" not in str(caught.value)


def test_a_dead_mans_timer_that_could_fire_at_once_is_refused() -> None:
    with pytest.raises(UnsafeArgument):
        commands.arm_timer(UUID, 3, "9200", "lifeline")
    assert commands.arm_timer(UUID, 6, "9200", "lifeline").data == (
        f"api sched_api +6 ll-{UUID} uuid_transfer {UUID} 9200 XML lifeline\n\n".encode()
    )


def test_a_recorded_conversation_is_matched_reply_by_reply() -> None:
    conversation: Conversation[str] = Conversation()
    conversation.send(commands.connect(), "connect")
    conversation.send(commands.linger(5), "linger")
    conversation.send(commands.filter_header("Unique-ID", UUID), "filter")
    conversation.send(commands.events(["PLAYBACK_START"]), "events")
    conversation.send(commands.start_audio_stream(UUID, "ws://127.0.0.1:8765/stream", '{"call":"x"}'), "start")
    conversation.send(commands.execute(Application.PLAYBACK, "/x", event_uuid=UUID), "play")
    conversation.send(commands.stop_audio_stream(UUID), "stop")
    conversation.send(commands.hangup(), "hangup")
    received = list(conversation.receive(from_freeswitch("audio-reply")))
    replies = [item for item in received if isinstance(item, Replied)]
    assert [reply.tag for reply in replies] == ["connect", "linger", "filter", "events", "start", "play", "stop", "hangup"]
    assert all(reply.ok for reply in replies)
    assert [item.lingering for item in received if isinstance(item, Disconnecting)] == [True, False]
    assert "mod_audio_stream::play" in [item.event.get("Event-Subclass") for item in received if isinstance(item, Happened)]
    assert conversation.unanswered() == []


def test_a_reply_to_nothing_is_an_error() -> None:
    conversation: Conversation[str] = Conversation()
    with pytest.raises(UnexpectedReply):
        list(conversation.receive(b"Content-Type: command/reply\nReply-Text: +OK\n\n"))


def test_what_was_never_answered_is_given_back() -> None:
    conversation: Conversation[str] = Conversation()
    conversation.send(commands.connect(), "connect")
    assert conversation.unanswered() == ["connect"]
