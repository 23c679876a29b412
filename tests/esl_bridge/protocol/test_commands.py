"""What may be sent: exact bytes for what is safe, a refusal for what FreeSWITCH could act on."""

from __future__ import annotations

import pytest

from esl_bridge.protocol import commands
from esl_bridge.protocol.commands import Application, safe_addresses, safe_value
from esl_bridge.protocol.conversation import MAX_JOBS, Conversation, Disconnecting, Happened, JobDone, Replied
from esl_bridge.protocol.errors import UnexpectedReply, UnsafeArgument
from esl_bridge.protocol.reader import Reader
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


@pytest.mark.parametrize("text", ["|", "h:1|", "h:1|h", "h:1|h:2;ll_owner=x", "h:1|h:2 async", "h:1|${x}:2", "h:1|" * 80 + "h:2"])
def test_a_list_that_is_not_of_addresses_is_refused(text: str) -> None:
    assert not safe_addresses(text)
    with pytest.raises(UnsafeArgument):
        commands.set_variables(UUID, {"ll_bridges": text})


def test_a_list_of_addresses_may_be_a_variable() -> None:
    assert safe_addresses("10.0.0.1:8084|bridge-2.example:8084")
    assert b"ll_bridges=h-1:1|h_2:2\n\n" in commands.set_variables(UUID, {"ll_bridges": "h-1:1|h_2:2"}).data


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
    assert conversation.unanswered() == ["stop"], "by bgapi, whose result nobody subscribed to"


def test_a_reply_to_nothing_is_an_error() -> None:
    conversation: Conversation[str] = Conversation()
    with pytest.raises(UnexpectedReply):
        list(conversation.receive(b"Content-Type: command/reply\nReply-Text: +OK\n\n"))


def test_what_was_never_answered_is_given_back() -> None:
    conversation: Conversation[str] = Conversation()
    conversation.send(commands.connect(), "connect")
    assert conversation.unanswered() == ["connect"]


def background(job: str, text: str) -> bytes:
    body = f"Event-Name: BACKGROUND_JOB\nJob-UUID: {job}\nContent-Length: {len(text)}\n\n{text}".encode()
    return b"Content-Length: %d\nContent-Type: text/event-plain\n\n" % len(body) + body


def accepted(job: str) -> bytes:
    return f"Content-Type: command/reply\nReply-Text: +OK Job-UUID: {job}\nJob-UUID: {job}\n\n".encode()


def attached() -> Conversation[str]:
    conversation: Conversation[str] = Conversation()
    conversation.send(commands.connect(), "connect")
    list(conversation.receive(b"Content-Type: command/reply\nReply-Text: %2BOK%0A\nEvent-Name: CHANNEL_DATA\n\n"))
    return conversation


def test_results_of_background_commands_are_found_by_their_job_in_any_order() -> None:
    conversation = attached()
    conversation.send(commands.stop_audio_stream(UUID), "first")
    conversation.send(commands.stop_audio_stream(UUID), "second")
    list(conversation.receive(accepted("job-1") + accepted("job-2")))
    events = background("job-2", "-ERR no bug\n") + background("job-9", "+OK") + background("job-1", "+OK\n")
    results = list(conversation.receive(events))
    assert [(done.tag, done.ok, done.text) for done in results if isinstance(done, JobDone)] == [
        ("second", False, "-ERR no bug"),
        ("first", True, "+OK"),
    ]
    assert [done.event.get("Job-UUID") for done in results if isinstance(done, Happened)] == ["job-9"], "of nobody here"


def test_a_job_whose_result_never_came_is_given_back_and_many_of_them_are_bounded() -> None:
    conversation = attached()
    for number in range(MAX_JOBS + 5):
        conversation.send(commands.stop_audio_stream(UUID), f"stop-{number}")
        list(conversation.receive(accepted(f"job-{number}")))
    assert conversation.unanswered() == [f"stop-{number}" for number in range(5, MAX_JOBS + 5)]


def test_the_recorded_job_is_found() -> None:
    """``barge-in`` sends one ``bgapi`` and does not subscribe to its result; ``inbound`` shows both, on the control port."""
    messages = list(Reader().feed(from_freeswitch("inbound")))
    reply = next(message for message in messages if message.job_uuid)
    event = next(message.event() for message in messages if b"BACKGROUND_JOB" in message.body)
    assert event.get("Job-UUID") == reply.job_uuid
    assert event.body
