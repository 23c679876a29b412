"""The records: what the journal said about calls, turns and incidents, and what operators did.

Owns the rows only. Calls, turns and incidents are written by the recorder (``projection.py``) and the settling of orphans,
by nobody else; reports on switches and test calls by their tasks.
"""

from __future__ import annotations

from django.db import models


class Call(models.Model):
    """One caller's call, however many bridges held it. Live while ``ended_at`` is empty."""

    call_uuid = models.CharField(max_length=64, unique=True)
    caller = models.CharField(max_length=64, blank=True)
    destination = models.CharField(max_length=64, blank=True)
    flow_slug = models.CharField(max_length=64, blank=True)
    flow_version = models.PositiveIntegerField(default=0)
    language = models.CharField(max_length=16, blank=True)
    bridge_id = models.CharField(max_length=64, blank=True)
    mode = models.CharField(max_length=16, default="ai")
    step = models.CharField(max_length=80, blank=True)
    epoch = models.PositiveIntegerField(default=0)
    seq = models.BigIntegerField(default=0, help_text="Last seq of the current epoch's producer that changed live state.")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    hangup_cause = models.CharField(max_length=64, blank=True)
    ended_by = models.CharField(max_length=16, blank=True)
    last_event_at = models.DateTimeField()
    fell_back_reason = models.CharField(max_length=32, blank=True)
    fell_back_at = models.DateTimeField(null=True, blank=True)
    fell_back_drill = models.CharField(max_length=32, blank=True, help_text="Sent to the menu by this drill's circuit.")
    is_simulated = models.BooleanField(default=False)
    last_transcript = models.CharField(max_length=300, blank=True)
    last_intent = models.CharField(max_length=64, blank=True)
    served_by_ai = models.PositiveIntegerField(default=0)
    served_by_menu = models.PositiveIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["ended_at", "started_at"]), models.Index(fields=["started_at"])]
        permissions = [
            ("toggle_circuit", "Can open and close circuits"),
            ("break_engine", "Can break the demonstration's engine"),
            ("see_caller", "Can see callers' numbers"),
        ]

    def __str__(self) -> str:
        return self.call_uuid


class Turn(models.Model):
    call = models.ForeignKey(Call, models.CASCADE, related_name="turns")
    turn = models.PositiveIntegerField()
    expect = models.CharField(max_length=64, blank=True)
    outcome = models.CharField(max_length=16, blank=True)
    transcript = models.TextField(blank=True)
    intent = models.CharField(max_length=64, blank=True)
    confidence = models.FloatField(default=0.0)
    answer_ms = models.FloatField(null=True, blank=True)
    queue_ms = models.FloatField(null=True, blank=True)
    stages = models.JSONField(default=list)
    worker_id = models.CharField(max_length=64, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True, db_index=True)
    drill = models.CharField(max_length=32, blank=True, db_index=True)
    is_tallied = models.BooleanField(default=False, help_text="Whether the tallies hold it.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["call", "turn"], name="one_row_a_turn")]
        # Small at all times: the recorder tallies every few seconds.
        indexes = [
            models.Index(
                fields=["finished_at"], name="turns_to_tally", condition=models.Q(is_tallied=False, finished_at__isnull=False)
            )
        ]
        ordering = ["turn"]

    def __str__(self) -> str:
        return f"{self.call_id}/{self.turn}"


class StageTally(models.Model):
    """What one engine (or a cache instead of one) did for one stage in one span of time. ``console/tally.py`` says what counts.

    Histograms are of milliseconds, as hdrhistogram encodes them; empty when nothing was measured.
    """

    start = models.DateTimeField()
    span_s = models.PositiveIntegerField()
    stage = models.CharField(max_length=32)
    engine = models.CharField(max_length=64, blank=True)
    cache = models.CharField(max_length=64, blank=True)
    uses = models.BigIntegerField(default=0)
    kinds = models.JSONField(default=dict, help_text="Failures by kind.")
    retries = models.BigIntegerField(default=0)
    tokens_read = models.BigIntegerField(default=0)
    tokens_cached = models.BigIntegerField(default=0)
    tokens_written = models.BigIntegerField(default=0)
    characters = models.BigIntegerField(default=0)
    heard_ms = models.BigIntegerField(default=0)
    cost_nano = models.BigIntegerField(default=0, help_text="In billionths of the operator's currency: whole numbers add up.")
    total = models.BinaryField(default=bytes)
    first_byte = models.BinaryField(default=bytes)
    queue = models.BinaryField(default=bytes)
    connect = models.BinaryField(default=bytes)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["start", "span_s", "stage", "engine", "cache"], name="one_tally_a_span")]
        indexes = [models.Index(fields=["span_s", "start"])]

    def __str__(self) -> str:
        return f"{self.stage} by {self.engine or self.cache} from {self.start:%d %b %H:%M}"


class TallyRound(models.Model):
    """One row. How often turns were put into the tallies: who reads the same number before and after has read no mixture."""

    number = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.number)


class Incident(models.Model):
    """``outcome`` is empty until it is settled. ``by_call_end``: settled because the call was over, not by its bridge.

    ``closed_epoch``: the epoch of the bridge that settled it. ``silence_ms``: as its bridge measured it.
    """

    incident_id = models.CharField(max_length=100, unique=True)
    call = models.ForeignKey(Call, models.CASCADE, related_name="incidents")
    cause = models.CharField(max_length=16, blank=True)
    stage = models.CharField(max_length=32, blank=True)
    kind = models.CharField(max_length=64, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    turn = models.PositiveIntegerField(default=0)
    drill = models.CharField(max_length=32, blank=True, db_index=True)
    silence_ms = models.FloatField(null=True, blank=True)
    opened_at = models.DateTimeField()
    opened_epoch = models.PositiveIntegerField(default=0)
    outcome = models.CharField(max_length=16, blank=True, db_index=True)
    by_call_end = models.BooleanField(default=False)
    proof = models.CharField(max_length=300, blank=True)
    closed_epoch = models.PositiveIntegerField(default=0)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["opened_at"]), models.Index(fields=["closed_at"])]
        ordering = ["opened_at"]

    def __str__(self) -> str:
        return self.incident_id


class JournalLine(models.Model):
    """The journal as it came: the timeline behind "why did this call end?", whose order is ``console/timeline.py``'s."""

    boot_id = models.CharField(max_length=64)
    seq = models.BigIntegerField()
    call_uuid = models.CharField(max_length=64, db_index=True)
    epoch = models.PositiveIntegerField()
    at = models.DateTimeField()
    kind = models.CharField(max_length=32)
    data = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["boot_id", "seq"], name="each_event_once")]
        ordering = ["epoch", "at", "seq"]

    def __str__(self) -> str:
        return f"{self.boot_id}/{self.seq}"


class Producer(models.Model):
    """How far one boot of one process is stored: the recorder's watermark."""

    boot_id = models.CharField(max_length=64, unique=True)
    stored_seq = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.boot_id} through {self.stored_seq}"


class RecorderPosition(models.Model):
    """Where in the stream the recorder is; moves in the same transaction as the rows."""

    stream = models.CharField(max_length=64, unique=True)
    entry_id = models.CharField(max_length=32, default="0-0")

    def __str__(self) -> str:
        return f"{self.stream} at {self.entry_id}"


class OperatorAction(models.Model):
    """Who did what by hand, and why."""

    user = models.CharField(max_length=150)
    what = models.CharField(max_length=64)
    target = models.CharField(max_length=200)
    why = models.CharField(max_length=300, blank=True)
    until = models.DateTimeField(null=True, blank=True)
    at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.user}: {self.what} {self.target}"


class CircuitMove(models.Model):
    """One move of a circuit: by itself, or (``how``) ``forced``, ``released`` or ``expired`` as an operator wanted.

    ``lasted_s`` is how long what ended had been so (``ai_engine/circuits/history.py``).
    """

    entry_id = models.CharField(max_length=32, unique=True, help_text="Of the stream: each move once.")
    circuit = models.CharField(max_length=120)
    how = models.CharField(max_length=16)
    before = models.CharField(max_length=16, blank=True)
    after = models.CharField(max_length=16, blank=True)
    by = models.CharField(max_length=150, blank=True)
    why = models.CharField(max_length=300, blank=True)
    until = models.DateTimeField(null=True, blank=True)
    at = models.DateTimeField(db_index=True)
    lasted_s = models.FloatField(default=0.0)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.circuit}: {self.before} to {self.after}"


class SwitchState(models.TextChoices):
    """``unknown``: nobody can ask it from here, so nothing is known of it."""

    REACHABLE = "reachable"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"


class SwitchReport(models.Model):
    """What the last look at one switch found. Only a row whose ``looked_at`` is recent says anything about now.

    ``since``: how long it has been in its state without a gap in the looking. Figures are those of ``seen_at``, the last
    time it answered.
    """

    name = models.CharField(max_length=64, unique=True)
    place = models.CharField(max_length=300, help_text="Its address then: a switch that was moved is another one.")
    state = models.CharField(max_length=16, choices=SwitchState.choices)
    reason = models.CharField(max_length=300, blank=True)
    since = models.DateTimeField()
    looked_at = models.DateTimeField()
    seen_at = models.DateTimeField(null=True, blank=True)
    version = models.CharField(max_length=100, blank=True)
    is_ready = models.BooleanField(default=False)
    sessions = models.PositiveIntegerField(default=0)
    sessions_peak = models.PositiveIntegerField(default=0)
    sessions_most = models.PositiveIntegerField(default=0)
    sessions_per_s_most = models.PositiveIntegerField(default=0)
    uptime_s = models.PositiveBigIntegerField(default=0)
    dialplan_file = models.CharField(max_length=64, blank=True, help_text="Hash of the last resort that it read last.")
    dialplan_read_at = models.DateTimeField(null=True, blank=True)
    dialplan_tried_at = models.DateTimeField(null=True, blank=True)
    dialplan_problem = models.CharField(max_length=300, blank=True, help_text="Why it did not read the newest.")
    files_looked_at = models.DateTimeField(null=True, blank=True)
    files_asked = models.PositiveIntegerField(default=0, help_text="Sound files that it was asked for then.")
    files_problem = models.CharField(max_length=300, blank=True, help_text="Which of them it does not find.")

    class Meta:
        permissions = [("see_channels", "Can see the channels of a switch")]

    def __str__(self) -> str:
        return f"{self.name}: {self.state}"


class TrialState(models.TextChoices):
    ASKED = "asked"
    CALLING = "calling"
    ANSWERED = "answered"
    FAILED = "failed"


class TrialCall(models.Model):
    """A test call that an operator asked for, and what became of it. ``call_uuid``: as the bridge knows it.

    (Named so because pytest would take a class ``TestCall`` for tests.)
    """

    switch = models.CharField(max_length=64)
    endpoint = models.CharField(max_length=256)
    user = models.CharField(max_length=150)
    state = models.CharField(max_length=16, choices=TrialState.choices, default=TrialState.ASKED)
    reason = models.CharField(max_length=300, blank=True)
    call_uuid = models.CharField(max_length=64, blank=True, db_index=True)
    asked_at = models.DateTimeField(db_index=True)
    called_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        permissions = [("place_test_call", "Can place test calls")]

    def __str__(self) -> str:
        return f"test call {self.pk} on {self.switch}: {self.state}"


class Drill(models.Model):
    """A drill that somebody began: what was wanted, and, once ``settled_at`` is set, what came of it.

    ``began_at`` is empty until Redis had taken it. ``ends_at``: when its failure ends by itself; ``over_at``: when it was over,
    its circuits included. Figures are of calls that it met; times are None where there was nothing to measure.
    """

    drill_id = models.CharField(max_length=32, unique=True)
    failure = models.CharField(max_length=16)
    stage = models.CharField(max_length=16)
    scope = models.CharField(max_length=16)
    percent = models.PositiveIntegerField(default=0)
    duration_s = models.PositiveIntegerField()
    recovery_s = models.FloatField()
    user = models.CharField(max_length=150)
    why = models.CharField(max_length=200, blank=True)
    asked_at = models.DateTimeField(db_index=True)
    began_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    over_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.CharField(max_length=150, blank=True, help_text="Empty: it ended by itself.")
    settled_at = models.DateTimeField(null=True, blank=True)
    verdict = models.CharField(max_length=16, blank=True)
    calls = models.PositiveIntegerField(default=0)
    failed_over = models.PositiveIntegerField(default=0)
    dropped = models.PositiveIntegerField(default=0)
    recovered = models.PositiveIntegerField(default=0)
    unsettled = models.PositiveIntegerField(default=0)
    sent_straight = models.PositiveIntegerField(default=0)
    silence_p50_ms = models.FloatField(null=True, blank=True)
    silence_most_ms = models.FloatField(null=True, blank=True)
    silence_budget_ms = models.PositiveIntegerField(default=0)
    open_after_s = models.FloatField(null=True, blank=True)
    closed_after_s = models.FloatField(null=True, blank=True)

    class Meta:
        ordering = ["-asked_at", "-pk"]
        permissions = [("run_drill", "Can run drills")]

    def __str__(self) -> str:
        return f"drill {self.drill_id}: {self.stage} {self.failure}"
