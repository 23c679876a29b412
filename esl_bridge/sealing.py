"""What a caller said, so that it can lie on the switch: encrypted, since channel variables are in every event and call record.

Owns the seal. Bridges share one secret; what another secret sealed, or another call's, does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from esl_bridge.calls.history import NONCE_BYTES, PARTS

# A value that a command may carry has at most 256 characters.
PART_CHARACTERS = 256


class Seal:
    """``variables`` and ``opened`` are each other's inverse, for the same call and secret."""

    def __init__(self, secret: str) -> None:
        self._cipher = AESGCM(hashlib.sha256(b"lifeline: what was said in a call\0" + secret.encode()).digest())

    def variables(self, call_uuid: str, plain: bytes) -> dict[str, str]:
        """Channel variables without their prefix; all of them empty, which unsets them, when there is nothing to keep."""
        text = ""
        if plain:
            nonce = os.urandom(NONCE_BYTES)
            sealed = nonce + self._cipher.encrypt(nonce, plain, call_uuid.encode())
            text = base64.urlsafe_b64encode(sealed).decode().rstrip("=")
        return {name: text[at * PART_CHARACTERS : (at + 1) * PART_CHARACTERS] for at, name in enumerate(PARTS)}

    def opened(self, call_uuid: str, kept: Mapping[str, str]) -> bytes:
        """Nothing when there is nothing, or it is not ours."""
        text = "".join(kept.get(name, "") for name in PARTS)
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], call_uuid.encode())
        except (binascii.Error, ValueError, InvalidTag):
            return b""
