"""The control port against a server that answers as FreeSWITCH did (recorded), against silence, and the simulator."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
import uuid as uuids
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from esl_bridge import control
from esl_bridge.control import SwitchControl
from esl_bridge.control_answers import read_channels, read_status
from esl_bridge.control_errors import (
    AccessListError,
    ControlUnavailableError,
    NoAnswerError,
    RefusedError,
    SwitchAwayError,
    SwitchControlError,
    UnknownCommandError,
    WrongPasswordError,
)
from esl_bridge.control_process import UNANSWERED_MOST
from simulator.config import SwitchConfig
from simulator.switch import Switch

PASSWORD = "ClueCon"
CALL = "1a2b3c4d-0000-4000-8000-00000000abcd"
GOODBYE = (
    "Content-Type: text/disconnect-notice\nContent-Length: 67\n\n"
    "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
)
# What FreeSWITCH 1.11 said on its port 8021, byte by byte (the recording's other half, the commands, are ours).
STATUS = (
    "UP 0 years, 0 days, 0 hours, 4 minutes, 38 seconds, 475 milliseconds, 49 microseconds\n"
    "FreeSWITCH (Version 1.11.3-dev  64bit) is ready\n19 session(s) since startup\n"
    "0 session(s) - peak 2, last 5min 2 \n0 session(s) per Sec out of max 1000, peak 3, last 5min 3 \n"
    "10000 session(s) max\nmin idle cpu 0.00/78.23\nCurrent Stack Size/Max 240K/240K\n"
)
REPLIES = {
    "status": STATUS,
    "show channels as json": '{"row_count": 0}\n',
    f"uuid_kill {CALL} NORMAL_CLEARING": "-ERR No such channel!\n",
}


class RecordedSwitch:
    """One thread that serves one connection after the other. ``heard`` is every command it was sent."""

    def __init__(self, talk: Callable[[RecordedSwitch, socket.socket], None]) -> None:
        self.heard: list[str] = []
        self.replies = dict(REPLIES)
        self._talk = talk
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            with peer, contextlib.suppress(OSError):
                peer.settimeout(10)
                self._talk(self, peer)

    def read(self, peer: socket.socket) -> str:
        data = b""
        while not data.endswith(b"\n\n"):
            if not (more := peer.recv(1)):
                raise ConnectionResetError
            data += more
        self.heard.append(data.decode().strip())
        return self.heard[-1]

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(15)
        assert not self._thread.is_alive()


def as_recorded(switch: RecordedSwitch, peer: socket.socket) -> None:
    peer.sendall(b"Content-Type: auth/request\n\n")
    if switch.read(peer) != f"auth {PASSWORD}":
        peer.sendall(f"Content-Type: command/reply\nReply-Text: -ERR invalid\n\n{GOODBYE}".encode())
        return
    peer.sendall(b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n")
    while True:
        body = switch.replies[switch.read(peer).removeprefix("api ")]
        peer.sendall(f"Content-Type: api/response\nContent-Length: {len(body)}\n\n{body}".encode())


def is_far_away(switch: RecordedSwitch, peer: socket.socket) -> None:
    """What it says is under way until no further question comes without it."""
    peer.sendall(b"Content-Type: auth/request\n\n")
    switch.read(peer)
    peer.sendall(b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n")
    questions = sorted(switch.replies)
    asked = min(len(questions), UNANSWERED_MOST)
    for _ in range(asked):
        switch.read(peer)
    for number, question in enumerate(questions, 1):
        body = switch.replies[question]
        peer.sendall(f"Content-Type: api/response\nContent-Length: {len(body)}\n\n{body}".encode())
        if asked + number <= len(questions):
            switch.read(peer)


def hangs_up_before_it_answers(switch: RecordedSwitch, peer: socket.socket) -> None:
    peer.sendall(b"Content-Type: auth/request\n\n")
    switch.read(peer)
    peer.sendall(b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n")
    switch.read(peer)


def never_says_a_word(switch: RecordedSwitch, peer: socket.socket) -> None:
    peer.recv(1)


def rejects_the_address(switch: RecordedSwitch, peer: socket.socket) -> None:
    peer.sendall(b"Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n")
    peer.recv(1)


def is_a_web_server(switch: RecordedSwitch, peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 400 Bad Request\n\n")


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[RecordedSwitch, socket.socket], None]], RecordedSwitch]]:
    with contextlib.ExitStack() as stack:

        def start(talk: Callable[[RecordedSwitch, socket.socket], None]) -> RecordedSwitch:
            switch = RecordedSwitch(talk)
            stack.callback(switch.close)
            return switch

        yield start


Serve = Callable[[Callable[[RecordedSwitch, socket.socket], None]], RecordedSwitch]


def client(switch: RecordedSwitch, password: str = PASSWORD, deadline_s: float = control.DEADLINE_S) -> SwitchControl:
    return SwitchControl("127.0.0.1", switch.port, password, deadline_s)


def test_status_is_read_over_the_wire(serve: Serve) -> None:
    switch = serve(as_recorded)
    status = client(switch).status()
    assert status.version == "1.11.3-dev 64bit"
    assert status.is_ready
    assert status.uptime == timedelta(minutes=4, seconds=38)
    assert (status.sessions, status.sessions_peak) == (0, 2)
    assert (status.sessions_most, status.sessions_since_startup) == (10_000, 19)
    assert (status.sessions_per_s, status.sessions_per_s_most) == (0, 1000)
    assert switch.heard == [f"auth {PASSWORD}", "api status"]


def test_no_calls_is_an_empty_list(serve: Serve) -> None:
    assert client(serve(as_recorded)).channels() == []


def test_a_call_that_is_gone_is_not_hung_up(serve: Serve) -> None:
    assert client(serve(as_recorded)).hang_up(CALL) is False


def test_a_call_that_is_there_is_moved_hung_up_and_known(serve: Serve) -> None:
    switch = serve(as_recorded)
    switch.replies |= {
        f"uuid_kill {CALL} NORMAL_CLEARING": "+OK\n",
        f"uuid_transfer {CALL} 9200 XML lifeline": "+OK\n",
        f"uuid_exists {CALL}": "true",
    }
    assert client(switch).hang_up(CALL)
    assert client(switch).transfer(CALL, "9200", "lifeline")
    assert client(switch).exists(CALL)


def test_another_refusal_is_an_error_with_the_switch_s_words(serve: Serve) -> None:
    switch = serve(as_recorded)
    switch.replies[f"uuid_transfer {CALL} 9200 XML lifeline"] = "-ERR SERVICE_NOT_IMPLEMENTED\n"
    with pytest.raises(RefusedError, match="SERVICE_NOT_IMPLEMENTED"):
        client(switch).transfer(CALL, "9200", "lifeline")


def test_a_command_that_the_switch_does_not_know_is_told_from_a_refusal(serve: Serve) -> None:
    switch = serve(as_recorded)
    switch.replies["file_exists /p/a.wav"] = "-ERR file_exists Command not found!\n"
    with pytest.raises(UnknownCommandError, match="file_exists Command not found"):
        client(switch).missing_files(["/p/a.wav"])


def test_a_wrong_password_is_told_from_a_switch_that_is_away(serve: Serve) -> None:
    with pytest.raises(WrongPasswordError, match="LIFELINE_SECRET_SWITCH_PASSWORD"):
        client(serve(as_recorded), password="wrong").status()


@pytest.mark.parametrize(
    ("talk", "text"),
    [
        (is_a_web_server, "no FreeSWITCH"),
        (hangs_up_before_it_answers, "closed the connection before it answered"),
    ],
)
def test_a_peer_that_misbehaves_is_named(
    serve: Serve, talk: Callable[[RecordedSwitch, socket.socket], None], text: str
) -> None:
    with pytest.raises(SwitchAwayError, match=text):
        client(serve(talk), deadline_s=4).status()


def test_an_access_list_that_rejects_us_is_told_from_a_switch_that_is_away(serve: Serve) -> None:
    with pytest.raises(AccessListError, match="add its address to the access list"):
        client(serve(rejects_the_address), deadline_s=4).status()


def test_a_wrong_password_names_the_setting_of_that_switch(serve: Serve) -> None:
    switch = SwitchControl("127.0.0.1", serve(as_recorded).port, "wrong", password_setting="LIFELINE_SECRET_SWITCH_PASSWORD_EAST")
    with pytest.raises(WrongPasswordError, match="set LIFELINE_SECRET_SWITCH_PASSWORD_EAST to"):
        switch.status()


def test_a_variable_that_is_not_there_or_whose_call_is_gone_is_none(serve: Serve) -> None:
    switch = serve(as_recorded)
    switch.replies |= {
        f"uuid_getvar {CALL} ll_owner": "bridge-1:3",
        f"uuid_getvar {CALL} nothing": "_undef_",
        f"uuid_getvar {CALL} gone": "-ERR No such channel!\n",
        f"uuid_getvar {CALL} odd": "-ERR SERVICE_NOT_IMPLEMENTED\n",
    }
    assert [client(switch).variable(CALL, name) for name in ("ll_owner", "nothing", "gone")] == ["bridge-1:3", None, None]
    with pytest.raises(RefusedError):
        client(switch).variable(CALL, "odd")


def test_files_are_asked_for_on_one_connection(serve: Serve) -> None:
    switch = serve(as_recorded)
    switch.replies |= {"file_exists /p/a.wav": "true", "file_exists /p/b.wav": "false"}
    assert client(switch).missing_files({"/p/b.wav", "/p/a.wav"}) == ["/p/b.wav"]
    assert switch.heard == [f"auth {PASSWORD}", "api file_exists /p/a.wav", "api file_exists /p/b.wav"]


def test_a_question_does_not_wait_for_the_answer_to_the_one_before(serve: Serve) -> None:
    paths = [f"/p/{number:03}.wav" for number in range(2 * UNANSWERED_MOST + 3)]
    switch = serve(is_far_away)
    switch.replies = {f"file_exists {path}": "false" if path.endswith("1.wav") else "true" for path in paths}
    assert client(switch).missing_files(paths) == [path for path in paths if path.endswith("1.wav")]
    assert switch.heard[1:] == [f"api file_exists {path}" for path in paths]


@pytest.mark.parametrize("path", ["", "a.wav", "/a b.wav", "/a.wav\n\napi hupall", "/${system(true)}", "/a\\b"])
def test_what_is_no_whole_path_is_never_sent(path: str) -> None:
    with pytest.raises(ValueError, match="not sent to the switch"):
        SwitchControl("127.0.0.1", 1, PASSWORD).missing_files([path])


def test_a_context_is_what_the_switch_has_in_memory(serve: Serve) -> None:
    switch = serve(as_recorded)
    large = '<context name="lifeline">' + "x" * 200_000 + "</context>\n"
    switch.replies |= {
        "xml_locate dialplan context name lifeline": large,
        "xml_locate dialplan context name other": "can't find anything\n",
    }
    assert client(switch).dialplan("lifeline") == large
    assert client(switch).dialplan("other") == ""


def test_nobody_listening_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(SwitchAwayError, match="Connection refused"):
        SwitchControl("127.0.0.1", port, PASSWORD).status()


def test_silence_ends_at_the_deadline_and_leaves_no_process(serve: Serve) -> None:
    # Other tests of this run may have left helpers of Python's own multiprocessing.
    before = psutil.Process(os.getpid()).children()
    began = time.monotonic()
    with pytest.raises(NoAnswerError, match=r"did not answer within 0\.7 s"):
        client(serve(never_says_a_word), deadline_s=0.7).status()
    assert time.monotonic() - began < 3
    assert psutil.Process(os.getpid()).children() == before


def test_without_python_esl_the_fix_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # A Python of the same kind that has no packages stands in for a machine where it could not be built.
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    monkeypatch.setattr(sys, "executable", str(bare / "bin/python"))
    with pytest.raises(ControlUnavailableError, match="apt-get install gcc python3-dev"):
        SwitchControl("127.0.0.1", 1, PASSWORD).status()


@pytest.mark.parametrize(
    "value", ["", "x", CALL + "\n\napi hupall", CALL + " both", "${system(true)}", CALL[:-1] + "\\", CALL + "\x00"]
)
def test_what_is_no_uuid_is_never_sent(value: str) -> None:
    with pytest.raises(ValueError, match="not sent to the switch"):
        SwitchControl("127.0.0.1", 1, PASSWORD).hang_up(value)


@pytest.mark.parametrize("value", ["9200 XML", "9200\n", "${x}", "a'b", "9200{", "9200\\", ""])
def test_what_is_no_extension_is_never_sent(value: str) -> None:
    control_port = SwitchControl("127.0.0.1", 1, PASSWORD)
    with pytest.raises(ValueError, match="not sent to the switch"):
        control_port.transfer(CALL, value, "lifeline")
    with pytest.raises(ValueError, match="not sent to the switch"):
        control_port.originate("loopback/9200", "9200", value)
    with pytest.raises(ValueError, match="not sent to the switch"):
        control_port.originate(value, "9200", "lifeline")


def test_a_password_with_a_line_end_is_never_sent() -> None:
    with pytest.raises(ValueError, match="control character"):
        SwitchControl("127.0.0.1", 1, "x\n\napi hupall").status()


def test_texts_that_are_no_answer_are_errors() -> None:
    with pytest.raises(SwitchControlError, match="status cannot be read"):
        read_status("hello")
    for text in ("hello", "[]", '{"rows": [{}]}', '{"rows": 1}'):
        with pytest.raises(SwitchControlError, match="channels cannot be read"):
            read_channels(text)


async def test_a_call_of_the_simulator_is_placed_seen_and_hung_up(tmp_path: Path) -> None:
    dialplan = tmp_path / "dialplan.xml"
    dialplan.write_text(
        '<include><context name="lifeline"><extension name="wait"><condition field="destination_number" '
        'expression="^9[01]00$"><action application="park"/></condition></extension></context></include>'
    )
    switch = Switch(SwitchConfig(dialplan=dialplan, inbound_port=0, password=PASSWORD))
    await switch.start()
    try:
        control_port = SwitchControl("127.0.0.1", switch.inbound_port, PASSWORD)
        call = await asyncio.to_thread(control_port.originate, "loopback/9000/lifeline", "9196", "default")
        (channel,) = await asyncio.to_thread(control_port.channels)
        assert (channel.uuid, channel.destination, channel.application) == (call, "9000", "park")
        assert (await asyncio.to_thread(control_port.status)).sessions == 1
        christmas = datetime(2025, 12, 24, 10, 0, tzinfo=UTC)
        assert await asyncio.to_thread(control_port.wall_clock, "Europe/Vienna", christmas) == "2025-12-24 11:00"
        with pytest.raises(RefusedError, match="Invalid timezone"):
            await asyncio.to_thread(control_port.wall_clock, "Mars/Olympus", christmas)
        with pytest.raises(ValueError, match="is not sent to the switch"):
            await asyncio.to_thread(control_port.wall_clock, "UTC 0|x", christmas)
        assert await asyncio.to_thread(control_port.exists, call)
        assert await asyncio.to_thread(control_port.variable, call, "other_loopback_leg_uuid") is None
        assert await asyncio.to_thread(control_port.transfer, call, "9100", "lifeline")
        (channel,) = await asyncio.to_thread(control_port.channels)
        assert channel.destination == "9100"
        assert await asyncio.to_thread(control_port.hang_up, call)
        assert not await asyncio.to_thread(control_port.exists, call)
        assert not await asyncio.to_thread(control_port.transfer, call, "9100", "lifeline")
        assert await asyncio.to_thread(place_test_call, control_port, "loopback/9000/lifeline") == CALL
        with pytest.raises(RefusedError, match="NORMAL_TEMPORARY_FAILURE"):
            await asyncio.to_thread(place_test_call, control_port, "sofia/internal/x@127.0.0.1:5099")
        with pytest.raises(WrongPasswordError):
            await asyncio.to_thread(SwitchControl("127.0.0.1", switch.inbound_port, "wrong").channels)
    finally:
        await switch.stop()


def place_test_call(switch: SwitchControl, endpoint: str) -> str:
    return switch.place_test_call(endpoint, call_uuid=CALL, lasts_s=3, answer_within_s=5)


def test_a_test_call_is_silent_ends_by_itself_and_is_known_by_its_other_leg(serve: Serve) -> None:
    switch = serve(as_recorded)
    order = (
        f"originate {{origination_uuid={CALL},originate_timeout=5,ignore_early_media=true,"
        "origination_caller_id_name=Lifeline_test_call,origination_caller_id_number=0000000000,"
        "ll_simulated=true,loopback_export=ll_simulated}"
        "loopback/9200/lifeline &playback(silence_stream://3000,1400)"
    )
    other = CALL[:-1] + "e"
    switch.replies |= {order: f"+OK {CALL}\n", f"uuid_getvar {CALL} other_loopback_leg_uuid": other}
    assert place_test_call(client(switch), "loopback/9200/lifeline") == other
    for answer in ("_undef_", "-ERR No such channel!\n", "-ERR SERVICE_NOT_IMPLEMENTED\n", "${x}"):
        switch.replies[f"uuid_getvar {CALL} other_loopback_leg_uuid"] = answer
        assert place_test_call(client(switch), "loopback/9200/lifeline") == CALL
    switch.replies[order] = "-ERR NORMAL_TEMPORARY_FAILURE\n"
    with pytest.raises(RefusedError, match="NORMAL_TEMPORARY_FAILURE"):
        place_test_call(client(switch), "loopback/9200/lifeline")


@pytest.fixture
def freeswitch() -> SwitchControl:
    if "FREESWITCH_ESL" not in os.environ:
        pytest.skip("FREESWITCH_ESL=host:port:password is not set")
    host, port, password = os.environ["FREESWITCH_ESL"].split(":", 2)
    return SwitchControl(host, int(port), password)


@pytest.mark.freeswitch
def test_a_real_switch_says_how_it_is_and_refuses_a_wrong_password(freeswitch: SwitchControl) -> None:
    status = freeswitch.status()
    assert status.is_ready
    assert status.version[0].isdigit()
    assert status.sessions <= status.sessions_peak <= status.sessions_most
    assert status.sessions_per_s_most > 0
    with pytest.raises(WrongPasswordError):
        SwitchControl(freeswitch.host, freeswitch.port, "certainly not this one").status()


@pytest.mark.freeswitch
def test_a_call_of_a_real_switch_is_placed_seen_and_hung_up(freeswitch: SwitchControl) -> None:
    switch = freeswitch
    name = uuids.uuid4().hex[:8]
    # ``null`` is an endpoint without a network, which answers at once; the extension need not exist on this switch.
    call = switch.place_test_call(f"null/{name}", call_uuid=str(uuids.uuid4()), lasts_s=20, answer_within_s=5)
    assert switch.exists(call)
    assert switch.variable(call, "origination_uuid") == call
    until(lambda: [channel.application for channel in switch.channels() if channel.uuid == call] == ["playback"])
    assert switch.hang_up(call)
    until_gone(switch, call)
    assert switch.hang_up(call) is False
    assert switch.transfer(call, "9200", "lifeline") is False
    assert switch.variable(call, "origination_uuid") is None
    with pytest.raises(RefusedError):
        switch.originate("nosuchendpoint/x", "9200", "lifeline")


@pytest.mark.freeswitch
def test_a_call_of_a_real_switch_is_moved(freeswitch: SwitchControl) -> None:
    switch = freeswitch
    call = switch.place_test_call("null/moved", call_uuid=str(uuids.uuid4()), lasts_s=20, answer_within_s=5)
    assert switch.transfer(call, "ll-nowhere", "lifeline")
    # The project's dialplan has no such extension, so that the call ends; another one may have, and keep it.
    until(lambda: {channel.destination for channel in switch.channels() if channel.uuid == call} <= {"ll-nowhere"})
    switch.hang_up(call)
    started = switch.originate("null/started", "ll-nowhere", "lifeline", answer_within_s=5)
    switch.hang_up(started)
    until_gone(switch, started)


@pytest.mark.freeswitch
def test_a_test_call_through_a_real_switch_is_known_by_the_leg_that_runs_the_dialplan(freeswitch: SwitchControl) -> None:
    switch = freeswitch
    own = str(uuids.uuid4())
    try:
        call = switch.place_test_call("loopback/9200/lifeline", call_uuid=own, lasts_s=2, answer_within_s=10)
        assert call != own
        assert switch.variable(call, "channel_name") == "loopback/9200-b"
        until_gone(switch, own)
        until_gone(switch, call)
    finally:
        switch.hang_up(own)


def until_gone(switch: SwitchControl, call: str) -> None:
    until(lambda: not switch.exists(call))


def until(condition: Callable[[], bool]) -> None:
    """A real switch's own lists follow its calls a moment later."""
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.1)
