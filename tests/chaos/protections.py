"""The single protections that keep a caller connected and answered, each with what must fail without it.

Owns that list; those of lateness, of the records and of processes are beside it. When the sources change,
``test_mutations.py`` says which patches no longer fit.
"""

from __future__ import annotations

from tests.chaos.mutation import CALL, LEAVING, OF_BRIDGE, OF_CALL, OF_OFFERS, OFFERED, SESSION, TALK, Mutation
from tests.chaos.protections_of_lateness import LATENESS_LOSES_NOBODY
from tests.chaos.protections_of_people import NOBODY_IS_LOST_TO_OTHERS
from tests.chaos.protections_of_processes import PROCESSES_ARE_AS_WELL_AS_THEY_SEEM
from tests.chaos.protections_of_records import THE_RECORDS_ARE_TRUE

OWNERSHIP = "esl_bridge/calls/ownership.py"
CHAIN = "deploy/freeswitch/dialplan/lifeline.xml"
OF_CHAIN = "tests/conformance/test_chain.py::test_"
OF_HOLD = "tests/esl_bridge/calls/test_hold.py::test_"
OF_RETRIES = "tests/ai_engine/test_retries.py::test_"

THE_CALL_STAYS = (
    Mutation(
        "dead man's timer", OWNERSHIP, "        return [ArmTimer(TIMER_S)]", "        return []",
        (OF_CALL + "the_timer_is_taken_over_rearmed_and_the_counter_emptied", OF_BRIDGE + "a_call_is_taken_as_the_chain_expects"),
    ),
    Mutation(
        "the dialplan's own timer before the socket", CHAIN,
        '        <action application="sched_transfer" data="+5 ll-silent XML lifeline"/>\n', "",
        (OF_CHAIN + "a_bridge_that_stays_silent_loses_the_call_to_the_timer",),
    ),
    Mutation(
        "a bridge that froze and is the only one is not asked again", CHAIN,
        '        <action application="set" data="ll_holder=chain"/>\n        <action application="transfer" data="ll-last-resort',
        '        <action application="transfer" data="9200',
        (OF_CHAIN + "a_bridge_that_freezes_in_a_call_is_the_last_that_is_tried_when_it_is_the_only_one",),
    ),
    Mutation(
        "the timer of a bridge says that it was silent", "esl_bridge/calls/to_switch.py",
        "wanted.seconds, switch.silent, switch.chain_context", 'wanted.seconds, "9200", switch.chain_context',
        (OF_BRIDGE + "a_call_is_taken_as_the_chain_expects",),
    ),
    Mutation(
        "a clock of its own for a call without audio", CHAIN,
        '        <action application="export" data="rtp_timer_name=soft"/>\n', "",
        (OF_CHAIN + "a_call_from_which_no_audio_comes_runs_by_a_clock_of_its_own_whatever_the_profile_says",),
    ),
    Mutation(
        "a caller whom a person passes on", CHAIN, '<extension name="lifeline_passed_on">\n      <condition field="${ll_owner}',
        '<extension name="lifeline_passed_on">\n      <condition field="${nobody}',
        (OF_CHAIN + "a_caller_whom_a_person_passes_on_is_rung_through_or_comes_back",),
    ),
    Mutation(
        "nothing is said or decided in a hold", TALK, "        if self._hold.is_on:\n", "        if False:\n",
        (OF_HOLD + "a_menu_that_nobody_could_hear_is_no_proof_that_the_caller_was_kept",
         OF_HOLD + "a_caller_in_a_hold_is_neither_hung_up_on_nor_given_to_a_person"),
    ),
    Mutation(
        "what a hold interrupts is said again", "esl_bridge/calls/hold.py",
        "            self._afterwards = list(self._saying)\n", "            pass\n",
        (OF_HOLD + "the_menu_is_offered_again_after_a_hold_and_then_waits_as_long_as_ever",),
    ),
    Mutation(
        "a call taken over in a hold is known to be held", "esl_bridge/calls/from_switch.py",
        "        held=\"owner\" in kept and is_held(channel.variable(OFFER) or \"\"),\n", "",
        ("tests/esl_bridge/calls/test_from_switch.py::test_a_call_that_is_taken_over_in_a_hold_is_known_to_be_held",),
    ),
    Mutation(
        "who begins a call with held audio is not on hold", "esl_bridge/calls/from_switch.py",
        "\"owner\" in kept and is_held(", "is_held(",
        ("tests/esl_bridge/calls/test_from_switch.py::test_a_call_that_is_taken_over_in_a_hold_is_known_to_be_held",),
    ),
    Mutation(
        "a hold that interrupts our listening is no failure", TALK,
        "        orders, was_asked = self._turns.stop_hearing(now)\n",
        "        orders, was_asked = [], True\n",
        (OF_HOLD + "a_hold_while_we_listen_is_no_failure_and_the_question_is_put_again",),
    ),
    Mutation(
        "the heir is rid of the dead owner's timers, in the chain", CHAIN,
        '        <action application="sched_cancel" data="ll-${uuid}"/>\n        <!-- mod_audio_stream',
        "        <!-- mod_audio_stream", (OF_CHAIN + "the_heir_is_not_robbed_by_the_timers_of_the_dead",),
    ),
    Mutation(
        "the heir is rid of the dead owner's timers, in the bridge", OWNERSHIP,
        "([DeleteTimer(OWN_TIMERS)] if from_another else [])", "[]",
        (OF_CALL + "a_resumed_call_goes_on_where_the_caller_was_and_counts_as_recovered",),
    ),
    Mutation(
        "no timer in a conversation with a person", OWNERSHIP,
        "        return [DeleteTimer(OWN_TIMERS), DeleteTimer(DIALPLAN_TIMER)]", "        return []",
        (OF_CALL + "the_timer_is_disarmed_before_a_person_joins",),
    ),
    Mutation(
        "the death of a bridge cuts what it plays", CHAIN,
        '        <action application="set" data="socket_resume=true"/>\n', "",
        (OF_CHAIN + "a_bridge_that_dies_in_a_prompt_is_followed_by_the_next_with_the_variables_kept",),
    ),
    Mutation(
        "resume from channel variables", CALL, "(talk.resume(kept, now) if self.epoch > 1 else talk.begin(now))",
        "talk.begin(now)",
        (OF_CALL + "a_resumed_call_goes_on_where_the_caller_was_and_counts_as_recovered",),
    ),
    Mutation(
        "who fell over stays in the menu after a resume", TALK,
        '        if kept.get("mode") == Mode.FALLBACK.value:\n', "        if False:\n",
        (OF_CALL + "a_call_resumed_in_the_menu_stays_there_with_what_it_had",),
    ),
    Mutation(
        "last resort after six visits", CHAIN, 'expression="^x{0,5}$"', 'expression="^x*$"',
        (OF_CHAIN + "after_six_visits_the_call_goes_to_the_last_resort",),
    ),
    Mutation(
        "where nobody listens the bridges are asked once", CHAIN, 'field="${ll_hops}${socket_path}"', 'field="${ll_hops}"',
        (OF_CHAIN + "where_nobody_listens_the_bridges_are_asked_once",),
    ),
    Mutation(
        "last resort after two visits without a word", CHAIN, "data=\"ll_hops=${ll_hops}xxx\"", "data=\"ll_hops=${ll_hops}\"",
        (OF_CHAIN + "two_visits_in_which_nobody_speaks_are_followed_by_the_last_resort",),
    ),
    Mutation(
        "last resort after a fault of ours", LEAVING,
        "return [*timers, TransferToLastResort(), ", "return [*timers, ",
        (OF_CALL + "a_fault_of_ours_gives_the_caller_to_the_last_resort_and_is_in_the_records",),
    ),
    Mutation(
        "a bridge that lost its call says no more", SESSION,
        "        if holder not in (self.call.owner, UNSET):\n", "        if False:\n",
        (OF_BRIDGE + "after_a_stall_a_call_that_another_bridge_has_is_left_alone",),
    ),
    Mutation(
        "a call that has another holder is not taken", OFFERED, "        if holder != IN_CHAIN:\n", "        if False:\n",
        (OF_OFFERS + "a_call_that_was_offered_before_a_stall_and_has_another_holder_since_is_not_taken",),
    ),
    Mutation(
        "an offer that was left unread is asked about again", OFFERED,
        "        return now - self._asked_at <= limit_s\n", "        return True\n",
        (OF_OFFERS + "an_offer_that_was_left_unread_is_asked_about_again_and_a_call_that_another_has_is_left_alone",),
    ),
    Mutation(
        "who had a call is asked last for it, in the bridge", CALL,
        "            mine |= {NEXT_VARIABLE: event.ask_next}\n", "            pass\n",
        (OF_BRIDGE + "who_takes_a_call_says_whom_to_ask_for_it_next_and_names_itself_last",
         "tests/bridge_process/test_asked_last.py::"
         "test_the_next_has_the_call_of_a_bridge_that_froze_and_was_not_the_first_of_its_list"),
    ),
    Mutation(
        "who had a call is asked last for it, in the chain", CHAIN,
        '<condition field="${ll_bridges}" expression="^([^|]+)', '<condition field="${ll_bridges}" expression="^(!)',
        (OF_CHAIN + "whom_a_bridge_names_is_asked_for_its_call_each_in_turn",),
    ),
    Mutation(
        "a bridge that is full hides no other", CHAIN, 'data="ll_bridges=$2|$1"', 'data="ll_bridges=$1|$2"',
        (OF_CHAIN + "whom_a_bridge_names_is_asked_for_its_call_each_in_turn",),
    ),
    Mutation(
        "a full bridge refuses", SESSION, "        if not self._bridge.identified(self):\n", "        if False:\n",
        (OF_BRIDGE + "a_full_bridge_refuses_so_that_the_dialplan_goes_on",),
    ),
    Mutation(
        "flows from disk while the database is away", "callflows/store.py",
        "        self._snapshot = decode_snapshot(data)\n        return True\n", "        return True\n",
        ("tests/callflows/test_store.py::test_a_store_starts_from_disk_alone",),
    ),
    Mutation(
        "an empty database takes no flow away", "callflows/store.py", "        if not snapshot.flows and self._snapshot.flows:\n",
        "        if False:\n", ("tests/callflows/test_store.py::test_an_empty_database_does_not_take_away_the_flows_that_worked",),
    ),
)  # fmt: skip

THE_CALLER_IS_ANSWERED = (
    Mutation(
        "keypad fallback on failure", TALK,
        "        return orders + self._fall_back(FallbackReason.INCIDENT, self._transfer_words(), now, detail=detail)",
        "        return orders",
        (OF_CALL + "an_engine_that_fails_moves_the_caller_to_the_menu",),
    ),
    Mutation(
        "what was understood goes into the menu", TALK,
        "        if (failed := self._turns.take_failed()) is not None:\n", "        if (failed := None) is not None:\n",
        (OF_CALL + "what_was_understood_before_the_failure_is_kept",),
    ),
    Mutation(
        "turn budget", "esl_bridge/calls/turns.py",
        "        return ([], None) if failure is None else self._fail(failure, now)", "        return [], None",
        (OF_CALL + "no_answer_within_the_budget_after_the_end_of_speech",),
    ),
    Mutation(
        "a lost audio stream is a failure", "esl_bridge/calls/turns.py",
        "        if self._running is not None and self._running.hearing:\n            return self._fail(failure, now)\n", "",
        (OF_CALL + "the_audio_stream_lost_while_listening",),
    ),
    Mutation(
        "a lost queue is a failure", "esl_bridge/calls/turns.py",
        '                return self._fail(TurnFailure(Cause.QUEUE, "queue", event.kind), now)\n',
        "                return [], None\n", (OF_CALL + "redis_lost_in_the_middle_of_a_turn",),
    ),
    Mutation(
        "a person when the menu's own prompt is missing", TALK,
        "            return opened + self._carry_out(self._talker.on_prompt_missing(), now)", "            return opened",
        (OF_CALL + "a_menu_prompt_whose_file_never_opened_is_no_proof_and_a_person_follows",),
    ),
    Mutation(
        "an open circuit is seen before a turn", TALK,
        "        if self._use is not AiUse.USABLE:\n            return self._fall_back(FallbackReason(self._use.value), "
        'self._transfer_words(), now, detail="before a turn")\n', "",
        (OF_CALL + "a_circuit_that_opens_between_turns_is_seen_before_the_next",),
    ),
    Mutation(
        "the next engine", "ai_engine/retries.py", "        if left_s() < LEAST_ATTEMPT_S:\n            break\n",
        "        break\n", (OF_RETRIES + "a_wrong_key_goes_to_the_next_engine_at_once",),
    ),
    Mutation(
        "time kept for the next engine", "ai_engine/retries.py", "        left_s -= NEXT_ENGINE_S\n", "        pass\n",
        (OF_RETRIES + "time_is_kept_for_the_next_engine",),
    ),
    Mutation(
        "retries", "ai_engine/retries.py", "    if not error.retryable or attempts > len(RETRY_DELAYS_S):\n", "    if True:\n",
        (OF_RETRIES + "a_passing_failure_is_retried_and_counts_as_success",),
    ),
    Mutation(
        "a single probe in the whole fleet", "ai_engine/circuits/scripts.py",
        "if redis.call('SET', KEYS[3], ARGV[1], 'NX', 'PX', ARGV[2]) then\n",
        "if redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2]) then\n",
        ("tests/ai_engine/circuits/test_one_probe.py::test_eight_processes_with_fifty_tasks_make_one_probe_each_time",),
    ),
    Mutation(
        "a caller who goes counts as nothing for the circuit", "ai_engine/circuits/guard.py",
        "        elif permit.generation == self.generation and verdict is not Verdict.ABANDONED:\n",
        "        elif permit.generation == self.generation:\n",
        ("tests/ai_engine/circuits/test_guard.py::test_an_abandoned_outcome_counts_as_nothing",),
    ),
    Mutation(
        "outcomes from before the trip are ignored", "ai_engine/circuits/guard.py",
        "        elif permit.generation == self.generation and verdict is not Verdict.ABANDONED:\n",
        "        elif verdict is not Verdict.ABANDONED:\n",
        ("tests/ai_engine/circuits/test_guard.py::test_a_late_outcome_does_not_count_after_it_closed_again",),
    ),
    Mutation(
        "a turn past its deadline is dropped", "ai_engine/turn_queue.py", "            if left_ms <= 0:\n",
        "            if False:\n",
        ("tests/ai_engine/test_turn_queue.py::test_a_turn_past_its_deadline_is_dropped_not_computed",),
    ),
    Mutation(
        "a killed worker's turn is taken over", "ai_engine/turn_queue.py",
        "        return await self._live(entries, taken_over=True) if entries else []\n", "        return []\n",
        ("tests/ai_engine/test_turn_queue.py::test_a_renewed_lease_holds_and_one_that_is_not_is_taken_over_once",
         "tests/ai_engine/test_worker.py::test_a_cancelled_worker_leaves_its_turn_to_another"),
    ),
)  # fmt: skip

MUTATIONS = (
    *THE_CALL_STAYS, *NOBODY_IS_LOST_TO_OTHERS, *LATENESS_LOSES_NOBODY, *THE_CALLER_IS_ANSWERED, *THE_RECORDS_ARE_TRUE,
    *PROCESSES_ARE_AS_WELL_AS_THEY_SEEM,
)  # fmt: skip
