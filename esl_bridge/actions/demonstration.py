"""The demonstration's business: accounts, orders, hours and appointments, made up from the account number.

Owns its answers and its bookings. Deterministic, so that a caller who is told something twice is told the same.
A booking follows from the action's key: asked again with the same key, by whichever bridge, it is the same booking.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import ClassVar

from ivr_fallback.actions import Action, Actions
from ivr_fallback.spoken import Kind
from ivr_fallback.steps import ActionValues

Answer = tuple[str, ActionValues]

OPENS, CLOSES = time(8, 0), time(18, 0)
FIRST_SLOT_HOUR, SLOTS_A_DAY, DAYS = 9, 8, 20
UNKNOWN: Answer = ("unknown_account", {})
ORDER_STATES = ("shipped", "processing", "delivered")
ACCOUNT = ("account_number",)
# Accounts that begin with a zero do not exist, so that a wrong number can be shown.
NO_ACCOUNT = "0"


class DemonstrationBusiness:
    """``now`` is the business's local time. Unknown actions raise KeyError: the flow names something that does not exist."""

    ACTIONS: ClassVar[Actions] = {
        "balance": Action({"ok": {"balance": Kind.AMOUNT}, UNKNOWN[0]: {}}, ACCOUNT),
        "order_status": Action({**{state: {"date": Kind.DATE} for state in ORDER_STATES}, UNKNOWN[0]: {}}, ACCOUNT),
        "opening_hours": Action({"open": {"closes": Kind.TIME}, "closed": {"opens": Kind.TIME}}),
        "appointment": Action({"booked": {"date": Kind.DATE, "time": Kind.TIME}, UNKNOWN[0]: {}}, ACCOUNT),
    }

    async def perform(self, action: str, slots: Mapping[str, str], key: str, now: datetime) -> Answer:
        account = slots.get("account_number", "")
        match action:
            case "balance":
                return self._known(account) or ("ok", {"balance": Decimal(_seed(account) % 90_000) / 100})
            case "order_status":
                return self._known(account) or self._order(account, now.date())
            case "opening_hours":
                return ("open", {"closes": CLOSES}) if OPENS <= now.time() < CLOSES else ("closed", {"opens": OPENS})
            case "appointment":
                return self._known(account) or self._book(key, now.date())
            case _:
                raise KeyError(action)

    def _known(self, account: str) -> Answer | None:
        return UNKNOWN if not account or account.startswith(NO_ACCOUNT) else None

    def _order(self, account: str, today: date) -> Answer:
        state = ORDER_STATES[_seed(account) % len(ORDER_STATES)]
        days = -2 if state == "delivered" else 3
        return state, {"date": today + timedelta(days=days)}

    def _book(self, key: str, today: date) -> Answer:
        number = _seed(key) % (SLOTS_A_DAY * DAYS)
        day = today + timedelta(days=1 + number // SLOTS_A_DAY)
        return "booked", {"date": day, "time": time(FIRST_SLOT_HOUR + number % SLOTS_A_DAY, 0)}


def _seed(text: str) -> int:
    return zlib.crc32(text.encode())
