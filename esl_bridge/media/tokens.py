"""Tokens for the media port: bound to one call and one bridge, good for ten seconds, used once.

Owns making and checking them. They travel in the metadata message of ``mod_audio_stream``, never in a URL or a log.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256

import msgspec

from callflows.definition.errors import UNREADABLE

LIFETIME_S = 10


class TokenRefused(Exception):
    """The first message of a media connection does not open the door; the text says why, without the token."""


class Metadata(msgspec.Struct, frozen=True):
    """The first text message of a call's audio connection."""

    call: str
    bridge: str
    epoch: int
    token: str


def make_metadata(secret: str, call_uuid: str, bridge_id: str, epoch: int, wall_s: float) -> str:
    """Compact JSON: FreeSWITCH cuts the argument at the first blank."""
    nonce = secrets.token_hex(8)
    expires = int(wall_s) + LIFETIME_S
    token = f"{expires}.{nonce}.{_signature(secret, call_uuid, bridge_id, epoch, expires, nonce)}"
    return msgspec.json.encode(Metadata(call_uuid, bridge_id, epoch, token)).decode()


def check_metadata(secret: str, text: str, wall_s: float) -> tuple[Metadata, str]:
    """The metadata and its nonce (which the caller must refuse a second time). Raises TokenRefused."""
    try:
        metadata = msgspec.json.decode(text, type=Metadata)
    except UNREADABLE as error:
        raise TokenRefused("the first message is not our metadata") from error
    expires, _, rest = metadata.token.partition(".")
    nonce, _, signature = rest.partition(".")
    if not expires.isdecimal() or not nonce:
        raise TokenRefused("the token is malformed")
    wanted = _signature(secret, metadata.call, metadata.bridge, metadata.epoch, int(expires), nonce)
    if not hmac.compare_digest(wanted, signature):
        raise TokenRefused("the token is wrong")
    if wall_s > int(expires):
        raise TokenRefused("the token has expired")
    return metadata, nonce


def _signature(secret: str, call_uuid: str, bridge_id: str, epoch: int, expires: int, nonce: str) -> str:
    text = f"{call_uuid}|{bridge_id}|{epoch}|{expires}|{nonce}"
    return hmac.new(secret.encode(), text.encode(), sha256).hexdigest()
