"""What keeps callers when switch, bridge or both have no time: hundreds of calls that move at once, and every answer late."""

from __future__ import annotations

from tests.chaos.mutation import CALL, OF_BRIDGE, OF_CALL, OF_OFFERS, OFFERED, SESSION, TALK, Mutation

OF_STALLS = "tests/esl_bridge/calls/test_stalls.py::test_"

LATENESS_LOSES_NOBODY = (
    Mutation(
        "a bridge accepts many calls in a turn of its loop", "esl_bridge/listener.py", "range(ACCEPTS_A_TURN - 1)", "range(0)",
        ("tests/esl_bridge/test_listener.py::test_all_who_came_while_the_loop_was_busy_are_taken_in_a_few_turns_of_it",),
    ),
    Mutation(
        "what is told of a later visit is no offer", OFFERED,
        "        if began_s_ago is not None and began_s_ago < self._asked_at - self._opened_at - CLOCK_S:\n", "        if False:\n",
        (OF_OFFERS + "what_the_switch_says_of_a_visit_that_began_after_its_connection_is_no_offer",),
    ),
    Mutation(
        "of two that took a call the one whose name stands keeps it", SESSION,
        "        elif self.call.owner and epoch_of(holder) == self.call.epoch and self._held is None and not self.is_over:\n",
        "        elif False:\n",
        (OF_BRIDGE + "of_two_that_took_a_call_for_the_same_the_one_whose_name_stands_keeps_it",),
    ),
    Mutation(
        "two visits that come to one bridge at once have an epoch each", SESSION,
        "            kept |= last_word\n", "            pass\n",
        (OF_BRIDGE + "two_visits_of_a_call_that_come_here_at_once_have_an_epoch_each_and_one_incident",),
    ),
    Mutation(
        "another bridge's sounds are not ours", TALK, "numbered_from=owner_mark << 16", "numbered_from=0",
        (OF_CALL + "of_two_that_took_a_call_for_the_same_neither_takes_the_others_sounds_for_its_own",),
    ),
    Mutation(
        "a silent connection is not closed while its call may be elsewhere", SESSION, "HANDSHAKE_S = 30.0", "HANDSHAKE_S = 5.0",
        (OF_OFFERS + "a_switch_has_longer_for_its_answer_than_the_chain_needs_to_give_the_call_to_others_twice",),
    ),
    Mutation(
        "a prompt that begins late is heard to its end", "esl_bridge/calls/speaker.py",
        "        self.deadline = now + (current.length_s or UNKNOWN_LENGTH_S) + GRACE_S\n        return Heard.KEYS",
        "        return Heard.KEYS",
        (OF_STALLS + "a_prompt_that_a_slow_switch_begins_late_is_heard_to_its_end",),
    ),
    Mutation(
        "a timer armed into another's call is taken back", CALL,
        "            return self._ownership.on_armed(event.task_id)\n        if not isinstance(event, told.ActionDone",
        "            return []\n        if not isinstance(event, told.ActionDone",
        (OF_BRIDGE + "a_timer_armed_for_a_call_that_was_ours_when_the_switch_was_asked_is_taken_back",
         OF_STALLS + "a_timer_that_was_armed_upon_an_answer_that_was_true_no_more_is_taken_back"),
    ),
    Mutation(
        "what is due is put off once only", CALL, " and due > self._catching_up_until:", ":",
        (OF_STALLS + "a_loop_that_is_always_late_asks_again_all_the_same",),
    ),
    Mutation(
        "who was with a person before any bridge had them gets the menu", CALL,
        '        if kept.get("step") == AFTER_AGENT:\n', '        if kept.get("step") == AFTER_AGENT and self.epoch > 1:\n',
        (OF_CALL + "after_an_agent_the_caller_is_offered_the_menu",),
    ),
)  # fmt: skip
