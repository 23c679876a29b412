"""A person with a SIP telephone, as small as one can be: answers at once, says nothing, and may hang up first.

Only for the real switch, whose ``bridge`` needs somebody to reach. It can ring the switch too. No RTP is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncIterator
from typing import cast

Address = tuple[str, int]
_SDP = (
    "v=0\r\no=agent 1 {version} IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP {codec}\r\n"
    "a={direction}\r\n"
)


def _fields(text: str, *names: str) -> str:
    lines = text.split("\r\n")
    return "".join(f"{line}\r\n" for line in lines if line.partition(":")[0].lower() in names)


class SipAgent(asyncio.DatagramProtocol):
    """``name@host:port`` is :attr:`address`. ``over`` is set when a call has ended; ``rung`` has the names that were rung here.

    ``status``: what an INVITE is answered with; after a provisional one :meth:`answer` says the rest. ``codec``: the only one that
    this telephone has; empty when it takes whatever is offered first.
    """

    def __init__(self, host: str, name: str) -> None:
        self.host, self.name = host, name
        self.status = "200 OK"
        self.codec = ""
        self._codec = "8"
        self.over = asyncio.Event()
        self._transport: asyncio.DatagramTransport | None = None
        self._invite = ""
        self._requests = 0
        self.rung: list[str] = []
        self._from: Address = (host, 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    @property
    def port(self) -> int:
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    @property
    def address(self) -> str:
        return f"{self.name}@{self.host}:{self.port}"

    def datagram_received(self, data: bytes, addr: Address) -> None:
        text = data.decode("utf-8", "replace")
        method = text.partition(" ")[0]
        if method == "INVITE":
            self._invite, self._from = text, addr
            self.rung.append(text.split()[1].removeprefix("sip:").partition("@")[0])
            offered = (re.search(r"m=audio \d+ \S+ ([\d ]+)", text) or ["", "8"])[1].split()
            if self.codec and self.codec not in offered:
                self._answer(text, addr, status="488 Not Acceptable Here")
                return
            self._codec = self.codec or offered[0]
            self._answer(text, addr, "" if self.status.startswith("180") else self._sdp(), self.status)
        elif method in ("BYE", "CANCEL"):
            self._answer(text, addr)
            if method == "CANCEL":
                self.answer("487 Request Terminated")
            self.over.set()
        elif method in ("OPTIONS", "NOTIFY"):
            self._answer(text, addr)
        elif text.startswith("SIP/2.0 200") and "BYE" in _fields(text, "cseq"):
            self.over.set()
        elif text.startswith("SIP/2.0 2") and "INVITE" in _fields(text, "cseq"):
            self._acknowledge(text, addr)

    def answer(self, status: str) -> None:
        """The INVITE that rings here, for good and without a conversation."""
        self._answer(self._invite, self._from, status=status)

    def _sdp(self, direction: str = "sendrecv") -> str:
        return _SDP.format(host=self.host, port=self.port, codec=self._codec, version=self._requests + 1, direction=direction)

    def _answer(self, request: str, addr: Address, body: str = "", status: str = "200 OK") -> None:
        """In which the agent's side of the dialogue gets its tag."""
        head = _fields(request, "via", "record-route", "from", "to", "call-id", "cseq")
        head = re.sub(r"(?m)^(To: [^\r;]*(?:;(?!tag=)[^\r;]*)*)\r$", r"\1;tag=agent\r", head)
        self._send(f"SIP/2.0 {status}\r\n{head}{self._about(body)}", addr)

    def _about(self, body: str = "") -> str:
        kind = "Content-Type: application/sdp\r\n" if body else ""
        return f"Contact: <sip:{self.address}>\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}"

    def _send(self, text: str, addr: Address) -> None:
        assert self._transport is not None
        self._transport.sendto(text.encode(), addr)

    def call(self, number: str, switch: Address, display_name: str) -> None:
        """Ring ``number`` at the switch; whoever answers is kept until they hang up."""
        target = f"sip:{number}@{switch[0]}:{switch[1]}"
        self._send(
            f"INVITE {target} SIP/2.0\r\nVia: SIP/2.0/UDP {self.host}:{self.port};branch=z9hG4bK-{uuid.uuid4()}\r\n"
            f'Max-Forwards: 70\r\nFrom: "{display_name}" <sip:{self.address}>;tag=caller\r\nTo: <{target}>\r\n'
            f"Call-ID: {uuid.uuid4()}\r\nCSeq: 1 INVITE\r\n{self._about(self._sdp())}",
            switch,
        )

    def _acknowledge(self, answer: str, addr: Address) -> None:
        contact = re.search(r"(?im)^contact:.*?<(sip:[^>]+)>", answer)
        target = contact[1] if contact else f"sip:{addr[0]}:{addr[1]}"
        head = _fields(answer, "from", "to", "call-id")
        self._send(
            f"ACK {target} SIP/2.0\r\nVia: SIP/2.0/UDP {self.host}:{self.port};branch=z9hG4bK-{uuid.uuid4()}\r\n"
            f"Max-Forwards: 70\r\n{head}CSeq: {_fields(answer, 'cseq').split()[1]} ACK\r\n{self._about()}",
            addr,
        )

    async def hang_up(self) -> None:
        self._request("BYE")
        async with asyncio.timeout(5):
            await self.over.wait()

    def bye(self) -> None:
        """The same, for who waits on another thread."""
        self._request("BYE")

    def hold(self) -> None:
        """Put the caller on hold."""
        self._request("INVITE", body=self._sdp("sendonly"))

    def pass_on(self, name: str) -> None:
        """Have the switch connect the caller with somebody else."""
        self._request("REFER", f"Refer-To: <sip:{name}@{self.host}:{self.port}>\r\nReferred-By: <sip:{self.address}>\r\n")

    def _request(self, method: str, more: str = "", body: str = "") -> None:
        """As the one who was called: From and To change sides."""
        invite = self._invite
        self._requests += 1
        who, whom = _fields(invite, "to")[4:].strip(), _fields(invite, "from")[6:].strip()
        contact = re.search(r"(?im)^contact:.*?<(sip:[^>]+)>", invite)
        assert contact is not None, "an INVITE has a Contact"
        self._send(
            f"{method} {contact[1]} SIP/2.0\r\nVia: SIP/2.0/UDP {self.host}:{self.port};branch=z9hG4bK-agent-{self._requests}\r\n"
            f"Max-Forwards: 70\r\nFrom: {who};tag=agent\r\nTo: {whom}\r\n"
            f"{_fields(invite, 'call-id')}CSeq: {self._requests} {method}\r\n{more}{self._about(body)}",
            self._from,
        )


@contextlib.asynccontextmanager
async def sip_agent(host: str, port: int = 0, *, name: str = "agent") -> AsyncIterator[SipAgent]:
    loop = asyncio.get_running_loop()
    transport, agent = await loop.create_datagram_endpoint(lambda: SipAgent(host, name), local_addr=(host, port))
    try:
        yield agent
    finally:
        transport.close()
