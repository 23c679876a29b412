"""The connection's table: the conversation does what it says, for every state and every message, and so do the recordings."""

from __future__ import annotations

from pathlib import Path

import pytest

from esl_bridge.protocol import commands
from esl_bridge.protocol.conversation import Conversation
from esl_bridge.protocol.errors import ConnectionLost, UnexpectedMessage
from esl_bridge.protocol.states import TRANSITIONS, State, Trigger, diagram, table

NOTICE = b"Content-Type: text/disconnect-notice\n"
BYTES = {
    Trigger.CHALLENGE: b"Content-Type: auth/request\n\n",
    Trigger.CHANNEL_DATA: b"Content-Type: command/reply\nReply-Text: %2BOK%0A\nEvent-Name: CHANNEL_DATA\n\n",
    Trigger.ACCEPTED: b"Content-Type: command/reply\nReply-Text: +OK\n\n",
    Trigger.REFUSED: b"Content-Type: command/reply\nReply-Text: -ERR no\n\n",
    Trigger.EVENT: b"Content-Length: 17\nContent-Type: text/event-plain\n\nEvent-Name: DTMF\n",
    Trigger.LOG: b"Content-Type: log/data\nContent-Length: 2\n\nhi",
    Trigger.LINGER: NOTICE + b"Content-Disposition: linger\n\n",
    Trigger.GOODBYE: NOTICE + b"Content-Disposition: disconnect\n\n",
    Trigger.REJECTION: b"Content-Type: text/rude-rejection\nContent-Length: 2\n\nno",
}
WAY = {
    State.NEW: (),
    State.CHALLENGED: (Trigger.CHALLENGE,),
    State.CONNECTING: (Trigger.CONNECT_SENT,),
    State.ATTACHED: (Trigger.CONNECT_SENT, Trigger.CHANNEL_DATA),
    State.LINGERING: (Trigger.CONNECT_SENT, Trigger.CHANNEL_DATA, Trigger.LINGER),
    State.OVER: (Trigger.CONNECT_SENT, Trigger.CHANNEL_DATA, Trigger.GOODBYE),
}
# A reply is what it is by what it answers: these follow the sending of a command, or of `connect`.
OF_MESSAGES = [trigger for trigger in Trigger if trigger not in (Trigger.CHANNEL_DATA, Trigger.ACCEPTED, Trigger.REFUSED)]


def do(conversation: Conversation[str], trigger: Trigger) -> None:
    if trigger is Trigger.CONNECT_SENT:
        conversation.send(commands.connect(), "connect")
    elif trigger is Trigger.COMMAND_SENT:
        conversation.send(commands.linger(5), "linger")
    else:
        list(conversation.receive(BYTES[trigger]))


def arrive(state: State) -> Conversation[str]:
    conversation: Conversation[str] = Conversation()
    for step in WAY[state]:
        do(conversation, step)
    assert conversation.state is state
    return conversation


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("trigger", OF_MESSAGES)
def test_the_conversation_does_what_the_table_says(state: State, trigger: Trigger) -> None:
    conversation = arrive(state)
    after = TRANSITIONS.get((state, trigger))
    if after is None:
        with pytest.raises((UnexpectedMessage, ConnectionLost)):
            do(conversation, trigger)
        assert conversation.state is state
    else:
        do(conversation, trigger)
        assert conversation.state is after


@pytest.mark.parametrize("state", [State.CHALLENGED, State.ATTACHED, State.LINGERING])
@pytest.mark.parametrize("trigger", [Trigger.ACCEPTED, Trigger.REFUSED])
def test_a_reply_moves_the_connection_as_the_table_says(state: State, trigger: Trigger) -> None:
    conversation = arrive(state)
    do(conversation, Trigger.COMMAND_SENT)
    do(conversation, trigger)
    assert conversation.state is TRANSITIONS[state, trigger]


@pytest.mark.parametrize("trigger", [Trigger.CHANNEL_DATA, Trigger.REFUSED])
def test_the_reply_to_connect_attaches_or_ends(trigger: Trigger) -> None:
    conversation = arrive(State.CONNECTING)
    do(conversation, trigger)
    assert conversation.state is TRANSITIONS[State.CONNECTING, trigger]


def test_the_documents_show_the_table() -> None:
    page = (Path(__file__).parents[3] / "docs/event-socket.md").read_text()
    assert f"```mermaid\n{diagram()}\n```" in page
    assert table() in page


def test_a_message_of_no_known_type_gives_the_connection_up() -> None:
    conversation: Conversation[str] = Conversation()
    with pytest.raises(UnexpectedMessage, match="text/html"):
        list(conversation.receive(b"Content-Type: text/html\n\n"))
