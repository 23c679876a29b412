"""A trial in plain words: what went wrong with an engine, and what to do about it. Owns the words alone."""

from __future__ import annotations

from urllib.parse import urlsplit

from ai_engine.engines.config import SECRET_PREFIX, EngineConfig
from ai_engine.errors import Kind
from ai_engine.trial import Trial

_LATE = "Look whether it is overloaded or far away; or give it longer limits, as far as callers can wait."
_NOT_IT = "The address or the interface is probably that of something else: compare both with the provider's documentation."


def explain(trial: Trial) -> tuple[str, str]:
    """What happened, and what to do."""
    config = trial.config
    match trial.kind:
        case "config":
            return "This engine cannot be asked.", trial.problem
        case "voice":
            return "The words could not be spoken by the local voice, so the engine was not asked.", trial.problem
        case Kind.HTTP_401 | Kind.HTTP_403:
            return _key_refused(config, trial.kind)
        case Kind.HTTP_429:
            wait = "" if trial.retry_after_s is None else f" It asks to be left alone for {trial.retry_after_s:.0f} s."
            return f"The engine refuses: too many requests, or the quota is used up (429).{wait}", (
                "Wait, raise the quota with the provider, or set this row's limits to what the provider allows."
            )
    happened, to_do = _WORDS.get(trial.kind, ("Something in Lifeline itself went wrong.", "The console's log says what."))
    facts = {
        "at": urlsplit(config.url).netloc, "first_byte_s": f"{config.first_byte_s:g}", "total_s": f"{config.total_s:g}",
        "model": config.model or "(none)", "voice": config.voice or "the flow's",
    }  # fmt: skip
    return happened.format(**facts), to_do.format(**facts)


def _key_refused(config: EngineConfig, kind: str) -> tuple[str, str]:
    status = kind.removeprefix("http_")
    if not config.secret:
        return f"The engine wants a key ({status}), and this row names none.", (
            f"Put the key into an environment variable such as {SECRET_PREFIX}{config.kind.upper()}, for workers and console,"
            " restart them, and give the variable's name here."
        )
    return f"The key in {config.secret} was refused ({status}).", (
        f"Put the right key into {config.secret}, for workers and console, and restart them. If it is right, the account may"
        " lack the model, or the address belongs to another provider."
    )


_WORDS: dict[str, tuple[str, str]] = {
    Kind.REFUSED: (
        "Nobody takes connections at {at}.",
        "Look whether the service runs there, whether host and port are right, and whether a firewall is between.",
    ),
    Kind.RESET: ("The engine broke the connection.", "Look into its own log. " + _NOT_IT),
    Kind.TIMEOUT: ("No connection to {at} in time, or no usable answer.", _LATE),
    Kind.HANG: ("The engine took the connection and then was silent for {first_byte_s} s.", _LATE),
    Kind.NO_PARTIAL: ("The engine heard no word within {first_byte_s} s although somebody spoke.", _LATE),
    Kind.NO_TOKEN: ("The engine did not begin its answer within {first_byte_s} s.", _LATE),
    Kind.NO_AUDIO: ("The engine sent no sound within {first_byte_s} s.", _LATE),
    Kind.NO_PONG: ("The engine stopped answering on an open line.", _LATE),
    Kind.STALLED: ("The engine began to answer and did not end within {total_s} s.", _LATE),
    Kind.HTTP_400: (
        "The engine refuses the request itself (400).",
        "Most often it does not know the model ({model}) or the voice ({voice}). " + _NOT_IT,
    ),
    Kind.HTTP_404: (
        "There is no such address or model at {at} (404).",
        "Check the path of the address (mostly it ends in /v1) and the model ({model}).",
    ),
    Kind.HTTP_500: ("The engine itself failed (500 or above).", "Look into its log, or at the provider's status page."),
    Kind.GARBAGE: ("What came back is no answer of this interface.", _NOT_IT),
    Kind.WRONG_SCHEMA: (
        "The answer has not the form that was asked for.",
        "Use a model ({model} now) that gives structured output.",
    ),
    Kind.EMPTY: ("The answer is empty.", "Try again; if it stays so, the model is not made for this. " + _NOT_IT),
    Kind.SILENT: ("The sound that came back is silence.", "Check the voice ({voice}) and the sample rate."),
    Kind.NO_FLOW: (
        "There is nothing to understand yet: no published flow is on this machine.",
        "Publish a flow first, or run manage.py sync_switch here.",
    ),
}
