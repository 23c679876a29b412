"""The single protections that keep the records true: nothing lost, nothing twice, no call called kept that was lost. A list."""

from __future__ import annotations

from tests.chaos.mutation import CALL, OF_BRIDGE, OF_CALL, SESSION, Mutation

SENDER = "esl_bridge/journal/sender.py"
INTAKE = "console/intake.py"
PROJECTION = "console/projection.py"
OF_SPOOL = "tests/esl_bridge/journal/test_spool_and_sender.py::test_"
OF_RECORDER = "tests/console/test_recorder.py::test_"
OF_FIGURES = "tests/console/test_figures.py::test_"
OF_ACTIONS = "tests/esl_bridge/calls/test_actions_taken.py::test_"
OF_PROJECTION = "tests/console/test_projection.py::test_"

THE_RECORDS_ARE_TRUE = (
    Mutation(
        "spool first", SENDER,
        "            if not self._flush_unspooled():\n                return False\n            self._spool.append(entry)\n",
        "            pass\n",
        (OF_SPOOL + "an_event_is_in_the_spool_before_anybody_waits_for_anything",),
    ),
    Mutation(
        "adoption of spools", "esl_bridge/journal/adoption.py",
        "        for spool in Spool.adopt(self._root):\n", "        for spool in ():\n",
        (OF_SPOOL + "a_dead_processs_spool_is_adopted_and_taken_away_once_stored",),
    ),
    Mutation(
        "a living process's spool is its own", "esl_bridge/journal/spool.py",
        "            except BlockingIOError:\n                os.close(lock_fd)\n                continue\n",
        "            except BlockingIOError:\n                pass\n", (OF_SPOOL + "a_living_processs_spool_is_not_adopted",),
    ),
    Mutation(
        "what came twice is stored once", INTAKE,
        "            if entry.seq > producer.stored_seq and entry.seq not in beyond[entry.boot_id]:\n", "            if True:\n",
        (OF_RECORDER + "what_comes_twice_is_stored_once",),
    ),
    Mutation(
        "the watermark waits before a gap", INTAKE,
        "    while producer.stored_seq + 1 in beyond:\n        producer.stored_seq += 1\n",
        "    producer.stored_seq = max(beyond, default=producer.stored_seq)\n",
        (OF_RECORDER + "what_redis_lost_in_between_is_waited_for_and_still_stored",),
    ),
    Mutation(
        "what a newer database refuses is kept", "console/recorder.py",
        "            refuse_newer_schema(self._known)", "            pass",
        (OF_RECORDER + "what_a_newer_database_refuses_waits_for_the_newer_recorder",),
    ),
    Mutation(
        "text that no database takes is cleaned", INTAKE, "            kept = storable(fresh)\n", "            kept = fresh\n",
        (OF_RECORDER + "a_nul_in_a_callers_name_is_in_no_row",),
    ),
    Mutation(
        "epoch check of outcomes", PROJECTION,
        "        if incident.outcome and not incident.by_call_end and entry.epoch <= incident.closed_epoch:\n",
        "        if False:\n",
        (OF_PROJECTION + "an_older_owners_close_never_replaces_a_newer_ones_and_gives_way_to_it",),
    ),
    Mutation(
        "epoch check of the live state", PROJECTION, "        of_owner = entry.epoch >= call.epoch\n", "        of_owner = True\n",
        (OF_PROJECTION + "the_order_of_arrival_changes_nothing",
         OF_RECORDER + "an_older_owner_changes_no_live_state_and_settles_nothing_twice"),
    ),
    Mutation(
        "one end of a call is kept", PROJECTION, "        if call.ended_at is not None and call.ended_by != FOUND_GONE:\n",
        "        if False:\n", (OF_RECORDER + "one_end_is_kept_and_a_found_one_gives_way",),
    ),
    Mutation(
        "a call that ends with its incident open is a drop", PROJECTION,
        "                settle_by_end(self._incidents_of(call), call.ended_at)\n", "                pass\n",
        (OF_PROJECTION + "an_incident_that_opens_after_the_end_is_dropped_and_its_bridges_word_replaces_that",),
    ),
    Mutation(
        "failed over only with the keys heard", "esl_bridge/calls/incidents.py", "if in_menu and heard is Heard.KEYS else []",
        "if in_menu else []", (OF_CALL + "what_is_said_before_the_keys_is_no_proof_of_the_menu",),
    ),
    Mutation(
        "failed over only by what the switch has played", "esl_bridge/calls/incidents.py",
        "        if heard is Heard.NOTHING or not self.open_id:\n", "        if not self.open_id:\n",
        (OF_CALL + "what_somebody_else_played_is_no_proof_that_a_resumed_call_hears_us",),
    ),
    Mutation(
        "what a caller hung up on was not heard", "esl_bridge/calls/from_switch.py",
        '    if event.get("Answer-State") == "hangup" and event.name != "CHANNEL_HANGUP_COMPLETE":\n', "    if False:\n",
        ("tests/esl_bridge/calls/test_from_switch.py::test_a_prompt_that_the_caller_hung_up_on_was_not_heard_to_its_end",),
    ),
    Mutation(
        "a failure is asked about before it counts", SESSION,
        "        elif self.call.in_doubt(self._bridge.now()) or self.call.in_question(event):\n",
        "        elif self.call.in_doubt(self._bridge.now()):\n",
        (OF_BRIDGE + "a_caller_who_hangs_up_is_no_failure_of_the_audio_that_ends_with_them",),
    ),
    Mutation(
        "a caller lost while their bridge stood still is a drop", SESSION,
        "                    self._handle(told.StoodStill())\n", "                    pass\n",
        (OF_BRIDGE + "a_caller_who_went_during_the_stall_is_recorded_by_the_bridge_the_switch_names",),
    ),
    Mutation(
        "an end that came before the call was ours is told", SESSION,
        "                self._came_too_late = not self._is_taken\n", "",
        (OF_BRIDGE + "a_caller_who_went_before_the_call_was_ours_is_no_call_that_was_lost",),
    ),
    Mutation(
        "lookup of calls whose end nobody saw", "console/tasks.py",
        "        return sum(_settle(controls, call) for call in _unheard_of(unlisted, now, lag)[:MOST])\n", "        return 0\n",
        (OF_FIGURES + "an_orphan_is_settled_only_when_the_switch_says_it_is_gone",),
    ),
    Mutation(
        "a call that is gone without a word is a drop", "console/lost_calls.py",
        "        _incident(call, LOST)\n", "        pass\n",
        (OF_FIGURES + "an_orphan_is_settled_only_when_the_switch_says_it_is_gone",
         OF_PROJECTION + "what_was_heard_corrects_what_was_taken_for_lost"),
    ),
    Mutation(
        "a call is gone only when every switch denies it", "console/tasks.py",
        "        if any(control.exists(call.call_uuid) for control in controls):\n",
        "        if all(control.exists(call.call_uuid) for control in controls):\n",
        ("tests/console/test_switches.py::test_a_call_is_gone_only_when_every_switch_denies_it",),
    ),
    Mutation(
        "an action is done once", "esl_bridge/calls/actions_taken.py",
        "        if asked is not None and (asked.runs or asked.begun_in == self._visit):\n", "        if False:\n",
        (OF_CALL + "a_reply_that_never_arrives_is_a_failure_and_the_action_is_not_done_twice",),
    ),
    Mutation(
        "what may have been done keeps its key", "esl_bridge/calls/actions_taken.py",
        " if asked.visit == self._visit or asked.is_for(mark, slots)), None)\n", " if asked.visit == self._visit), None)\n",
        (OF_ACTIONS + "who_comes_back_from_a_person_who_was_not_there_asks_under_the_same_key",),
    ),
    Mutation(
        "what was done when its caller had gone is recorded", CALL, "        self._hung_up = True\n", "        pass\n",
        (OF_ACTIONS + "a_result_that_comes_after_the_caller_has_hung_up_is_recorded_and_nothing_else_follows",),
    ),
    Mutation(
        "a bridge that stops lets an action end", "esl_bridge/bridge.py",
        "                await asyncio.wait(self._acting)\n", "                pass\n",
        ("tests/esl_bridge/actions/test_never_twice.py::"
         "test_a_bridge_that_stops_lets_the_action_end_of_a_caller_who_has_hung_up",),
    ),
    Mutation(
        "idempotency key at the business", "esl_bridge/actions/demonstration.py",
        "        number = _seed(key) % (SLOTS_A_DAY * DAYS)\n", "        number = id(object()) // 16 % (SLOTS_A_DAY * DAYS)\n",
        ("tests/esl_bridge/actions/test_actions.py::test_a_booking_with_the_same_key_is_the_same_booking",),
    ),
)  # fmt: skip
