"""The single protections that keep a process from seeming well when it is not, each with what must fail without it."""

from __future__ import annotations

from tests.chaos.mutation import Mutation

LISTENER = "esl_bridge/listener.py"
OF_LISTENER = "tests/esl_bridge/test_listener.py::test_"
OF_BOUND = "tests/esl_bridge/journal/test_bound.py::test_"
DRAINING = "esl_bridge/draining.py"
OF_DRAINING = "tests/esl_bridge/test_draining.py::test_"
OF_SECOND_HEARING = "tests/ai_engine/local/test_second_hearing.py::test_"

PROCESSES_ARE_AS_WELL_AS_THEY_SEEM = (
    Mutation(
        "a port is closed while its loop stands still", LISTENER, "                self._shut()\n", "",
        (OF_LISTENER + "while_the_loop_is_blocked_callers_are_refused_and_afterwards_they_are_served",),
    ),
    Mutation(
        "a port is open again after a stall", LISTENER, "                await self._reopen()\n", "                pass\n",
        (OF_LISTENER + "while_the_loop_is_blocked_callers_are_refused_and_afterwards_they_are_served",),
    ),
    Mutation(
        "a process whose journal or circuits are no longer kept ends", "esl_bridge/upkeep.py", "        self._stop.set()\n", "",
        ("tests/esl_bridge/test_upkeep.py::test_a_work_that_fails_stops_the_process_with_its_error",),
    ),
    Mutation(
        "the spool's bound", "esl_bridge/journal/spool.py",
        "        if self._total + self.others_bytes + len(record) > self._limit_bytes:\n", "        if False:\n",
        (OF_BOUND + "at_the_bound_calls_go_on_and_what_is_lost_is_counted_and_journalled",),
    ),
    Mutation(
        "lost journal events are journalled", "esl_bridge/journal/sender.py",
        "        if not self._put(\"\", 0, EventsLost(self._lost.count, self._lost.since_us)):\n", "        if False:\n",
        (OF_BOUND + "at_the_bound_calls_go_on_and_what_is_lost_is_counted_and_journalled",),
    ),
    Mutation(
        "what the disk has no room for waits in memory", "esl_bridge/journal/sender.py",
        "            self._unspooled.append(entry)\n", "",
        (OF_BOUND + "what_has_no_room_on_disk_waits_in_memory_and_is_sent_from_there",),
    ),
    Mutation(
        "own words alone are asked back", "ai_engine/local/second_hearing.py",
        "    return [(word, OWN_WORDS) for word in own]\n", "    return [(word, AGREED) for word in own]\n",
        (OF_SECOND_HEARING + "own_words_alone_are_never_sure",),
    ),
    Mutation(
        "a grammar that was not heard twice is asked back", "ai_engine/local/second_hearing.py",
        "    if own_words is None:\n        return [(word, min(confidence, OWN_WORDS)) for word, confidence in grammar_words]\n",
        "    if own_words is None:\n        return grammar_words\n",
        (OF_SECOND_HEARING + "a_grammar_without_a_second_hearing_is_worth_a_question",),
    ),
    Mutation(
        "a second hearing gives up in time", "ai_engine/local/own_words.py", "            if self._clock() > until:\n",
        "            if False:\n", ("tests/ai_engine/local/test_own_words.py::test_it_gives_up_when_the_machine_has_no_time",),
    ),
    Mutation(
        "calls are given back one after the other", DRAINING,
        "    return max(left_s - (calls - 1) / GIVEN_BACK_A_SECOND, left_s / calls)\n", "    return left_s\n",
        (OF_DRAINING + "all_are_gone_in_time_and_no_two_together",),
    ),
    Mutation(
        "a call that another bridge has keeps its old socket while it can", DRAINING,
        "        return session in sessions and not session.is_over\n", "        return session in sessions\n",
        (OF_DRAINING + "what_is_over_takes_no_call_s_place_and_stays_to_the_end",),
    ),
    Mutation(
        "a part whose process is dead is not shown as running", "console/launcher/supervisor.py",
        "self._process is not None and self._process.returncode is None", "self._process is not None",
        (
            "tests/console/launcher/test_supervisor.py::"
            "test_who_is_told_of_a_hold_sees_it_held_while_its_last_words_are_waited_for",
        ),
    ),
    Mutation(
        "records give way to calls", "console/launcher/child.py", "    give_way(nice)\n", "",
        ("tests/console/launcher/test_supervisor.py::test_what_no_caller_waits_for_gives_way_also_to_other_sessions",),
    ),
)  # fmt: skip
