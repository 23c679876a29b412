"""The demonstration flow: what a utility's caller may want, as draft rows.

Owns its words. Its actions (``balance``, ``order_status``, ``opening_hours``, ``appointment``) belong to the bridge;
the outcome names and the names in braces here are what those actions answer with.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from callflows.definition.flow import CLOSED, READ_BACK, YES_OR_NO
from callflows.definition.hours import UTC_NAME
from callflows.models import Flow, Intent, KeypadMapping, Outcome, Policy, Slot, SlotKind

SLUG = "demonstration"
ACCOUNT_UNKNOWN = "I cannot find that account number."


@dataclass(frozen=True, slots=True)
class DemoIntent:
    name: str
    label: str
    digit: str
    menu: str
    confirm: str
    utterances: tuple[str, ...]
    outcomes: tuple[tuple[str, str], ...] = ()
    asks_account: bool = False
    policy: Policy = Policy.AUTOMATE
    careful: bool = False


FLOW = {
    "name": "Demonstration",
    "destination_number": "*",
    "language": "en",
    "voice": "en-us",
    "human_destination": "agent@127.0.0.1:5090",
    "greeting": "Welcome to Lifeline. How can I help you today?",
    "not_understood": "Sorry, I did not understand that. Please say it in other words.",
    "transfer_to_team": "Let me transfer you to our team.",
    "menu_intro": "Please choose one of the following.",
    "menu_hint": "To hear all choices, press star.",
    "invalid_choice": "Sorry, that is not one of the choices.",
    "anything_else": "Is there anything else I can help you with?",
    "anything_else_menu": "For anything else, press star. Otherwise you may hang up.",
    "connecting": "One moment please, I am connecting you with a person.",
    "no_agent": "Sorry, nobody is free at the moment.",
    "action_failed": "Sorry, I cannot do that at the moment.",
    "goodbye": "Thank you for calling. Goodbye.",
    "read_back": READ_BACK,
    "closed": CLOSED,
    # Always open: a demonstration at night, and tests at any hour, reach a person.
    "opening_zone": UTC_NAME,
    "opening_week": "Mon-Sun: 00:00-24:00",
    "yes_or_no": YES_OR_NO,
}

ACCOUNT = {
    "name": "account_number",
    "label": "Account number",
    "kind": SlotKind.DIGITS,
    "ask": "What is your account number?",
    "ask_keypad": "Please enter your four digit account number, followed by the hash key.",
    "min_length": 4,
    "max_length": 4,
}

INTENTS = (
    DemoIntent(
        "balance", "Balance", "1", "For your balance, press 1.", "Did you want to know your balance?",
        (
            "what is my balance", "how much money do i have", "tell me my account balance",
            "i would like to know my balance", "how much do i owe you", "can you check my balance please",
            "what is the balance on my account", "please give me my current balance",
            "how high is my bill this month", "what is the total on my last invoice", "do i have any outstanding payments",
            "how much do i still have to pay", "when is my next payment due", "why was i charged so much",
            "is there any credit left on my account", "i want to know the amount of my debt",
            "did you receive the money i transferred", "read me my latest statement", "am i behind with my installments",
            "how much does my bill come to", "are there any unpaid fees or charges", "i'd like to check what i owe",
        ),
        (("ok", "Your balance is {balance:amount}."), ("unknown_account", ACCOUNT_UNKNOWN)),
        asks_account=True,
    ),
    DemoIntent(
        "order_status", "Order status", "2", "For the status of your order, press 2.", "Did you want to ask about your order?",
        (
            "where is my order", "what is the status of my order", "has my package been shipped",
            "when will my order arrive", "i want to track my package", "my delivery has not arrived yet",
            "can you tell me where my parcel is", "when do i get the things i ordered",
            "my shipment is late", "i'm still waiting for my goods", "has my purchase been dispatched already",
            "when will the washing machine be delivered", "can you look up my tracking number",
            "what happened to the stuff i bought online", "the courier never showed up with my box", "is my item on its way",
            "how long until my package gets here", "i haven't received what i ordered", "did you send out my order yet",
            "what's the expected delivery date", "i think my parcel got lost", "where's the driver with my new sofa",
        ),
        (
            ("shipped", "Your order is on its way. It will arrive on {date:date}."),
            ("processing", "Your order is being prepared. It will be sent on {date:date}."),
            ("delivered", "Your order was delivered on {date:date}."),
            ("unknown_account", ACCOUNT_UNKNOWN),
        ),
        asks_account=True,
    ),
    DemoIntent(
        "opening_hours", "Opening hours", "3", "For our opening hours, press 3.", "Did you want to know our opening hours?",
        (
            "what are your opening hours", "when are you open", "are you open today", "what time do you close",
            "until when is the shop open", "do you open on saturday", "how late are you open tonight",
            "tell me your business hours",
            "when does the store close", "what time do you open in the morning", "are you closed on sundays",
            "is the shop open on public holidays", "how long is your store open today", "do you shut over lunch",
            "can i still come in this evening", "what days of the week are you open", "what are your weekend hours",
            "is the showroom open right now", "when can i drop by the shop", "what are your holiday opening times",
            "how early can i visit your store tomorrow", "until what time can i shop there",
        ),
        (
            ("open", "We are open today until {closes:time}."),
            ("closed", "We are closed at the moment. We open again at {opens:time}."),
        ),
    ),
    DemoIntent(
        "appointment", "Appointment", "4", "To book an appointment, press 4.", "Did you want to book an appointment?",
        (
            "i would like to make an appointment", "can i book an appointment", "i need to schedule a visit",
            "please send a technician to my house", "i want somebody to come and repair it",
            "do you have a free slot this week", "make an appointment for me", "could i arrange a meeting with you",
            "my heating is broken and needs fixing", "can someone come over and take a look", "i need a plumber at my place",
            "when could your engineer come by", "i'd like to set up a date for installation", "could you send a repairman round",
            "my dishwasher stopped working and needs a mechanic", "i want to reserve a time for maintenance",
            "i need an electrician to install my oven", "what is your next available appointment",
            "put me down for a service call", "can we fix a time for an inspection",
        ),
        (
            ("booked", "Your appointment is booked for {date:date} at {time:time}."),
            ("unknown_account", ACCOUNT_UNKNOWN),
        ),
        asks_account=True,
        careful=True,
    ),
    DemoIntent(
        "person", "A person", "9", "To speak to a person, press 9.", "Did you want to speak to a person?",
        (
            "i want to speak to a person", "let me talk to a human", "can i talk to somebody please",
            "connect me with an agent", "give me a real person", "i want to make a complaint",
            "put me through to customer service", "transfer me to a representative",
            "i don't want to talk to a machine", "is there anybody i can speak with", "get me the manager",
            "i'd like to speak to your supervisor", "hand me over to the operator please", "i am very unhappy with your service",
            "can a member of staff call me back", "i need help from a real human being", "let me speak to someone in charge",
            "give me one of your employees", "i have a problem and need an advisor", "who can i complain to about this",
            "stop this robot and connect me", "i want to chat with a live colleague",
        ),
        policy=Policy.HUMAN,
    ),
)  # fmt: skip


def ensure_draft() -> tuple[Flow, bool]:
    """The demonstration flow's draft, and whether it was made now. One that exists is left as people edited it."""
    with transaction.atomic():
        existing = Flow.objects.filter(slug=SLUG).first()
        if existing is not None:
            return existing, False
        flow = Flow.objects.create(slug=SLUG, **FLOW)
        account = Slot.objects.create(flow=flow, **ACCOUNT)
        for position, wanted in enumerate(INTENTS):
            _create_intent(flow, account, position, wanted)
    return flow, True


def _create_intent(flow: Flow, account: Slot, position: int, wanted: DemoIntent) -> None:
    intent = Intent.objects.create(
        flow=flow,
        name=wanted.name,
        label=wanted.label,
        policy=wanted.policy,
        utterances="\n".join(wanted.utterances),
        action=wanted.name if wanted.policy is Policy.AUTOMATE else "",
        destination=flow.human_destination if wanted.policy is Policy.HUMAN else "",
        position=position,
        confirm=wanted.confirm,
        careful=wanted.careful,
    )
    if wanted.asks_account:
        intent.slots.add(account)
    KeypadMapping.objects.create(intent=intent, digit=wanted.digit, menu_prompt=wanted.menu)
    Outcome.objects.bulk_create(Outcome(intent=intent, name=name, template=words) for name, words in wanted.outcomes)
