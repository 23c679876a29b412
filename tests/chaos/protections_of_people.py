"""People and their telephones, whoever moves a call besides us, and peers that do not behave. Owns the list."""

from __future__ import annotations

from tests.chaos.mutation import LEAVING, OF_BRIDGE, OF_CALL, SESSION, Mutation

CHAIN = "deploy/freeswitch/dialplan/lifeline.xml"
OF_DIALPLAN = "tests/simulator/test_dialplan.py::test_"
OF_A_PERSONS_LEG = (OF_DIALPLAN + "a_persons_leg_has_a_clock_every_codec_and_a_way_back_for_a_held_caller",)
OF_SENDER = "tests/esl_bridge/media/test_reply_sender.py::test_"
OF_PAGES = "tests/console/test_pages.py::test_"

NOBODY_IS_LOST_TO_OTHERS = (
    Mutation(
        "a person's telephone may have another codec than the caller's", CHAIN,
        '        <action application="export" data="nolocal:media_mix_inbound_outbound_codecs=true"/>\n', "", OF_A_PERSONS_LEG,
    ),
    Mutation(
        "a person who holds the caller and goes does not take them along", CHAIN,
        '        <action application="export" data="nolocal:hold_hangup_xfer_exten=ll-after-person:XML:lifeline"/>\n', "",
        OF_A_PERSONS_LEG,
    ),
    Mutation(
        "a telephone's Max-Forwards bounds no call of ours", CHAIN,
        '        <action application="set" data="max_session_transfers=70"/>\n', "",
        (OF_DIALPLAN + "the_deployed_chain_arms_the_timer_before_the_socket_and_comes_back_after_it",),
    ),
    Mutation(
        "a hold whose end nobody tells is asked after", SESSION,
        "        if isinstance(wanted, order.ArmTimer) and self.call.is_held:\n", "        if False:\n",
        (OF_BRIDGE + "who_is_back_from_a_hold_is_not_left_in_silence_by_the_heir",),
    ),
    Mutation(
        "a call that somebody else has moved does not hang on our socket", LEAVING,
        "        self.sure_at = None\n        return [LeaveToOthers()]\n", "        return []\n",
        (OF_CALL + "a_call_that_somebody_moves_hears_nothing_more_of_us_and_no_timer_of_ours_takes_it_back",),
    ),
    Mutation(
        "between a call's end and the word of it nothing is decided", SESSION,
        "                self._held = self._held or []\n", "                pass\n",
        (OF_BRIDGE + "between_a_call_s_end_and_the_word_of_it_nothing_is_decided",),
    ),
    Mutation(
        "an ended call keeps no place", SESSION,
        "            self.close()  # or FreeSWITCH keeps", "            pass  # or FreeSWITCH keeps",
        (OF_BRIDGE + "between_a_call_s_end_and_the_word_of_it_nothing_is_decided",),
    ),
    Mutation(
        "a call without its flow is kept when the last resort is heard", LEAVING,
        "        self.is_released = self.is_in_last_resort = True\n", "        self.is_released = True\n",
        (OF_CALL + "a_call_that_comes_to_a_bridge_without_its_flow_is_kept_when_the_last_resort_is_heard",),
    ),
    Mutation(
        "a peer that is gone without a word is noticed", "esl_bridge/door.py", "        _notice_its_end(transport)\n", "",
        ("tests/esl_bridge/test_door.py::test_a_switch_that_is_gone_without_a_word_is_noticed_at_the_bridges_port",),
    ),
    Mutation(
        "a stream that is not read costs only itself", "esl_bridge/media/reply_sender.py",
        "        self._connection.transport.abort()\n", "        pass\n",
        (OF_SENDER + "a_stream_that_is_not_read_in_time_is_closed_and_its_bridge_is_told",),
    ),
    Mutation(
        "a live page ends with its password", "console/consumers.py",
        " or not _is_of_this_password(session, user):\n", ":\n",
        (OF_PAGES + "a_new_password_and_the_end_of_the_session_close_pages_that_are_open",),
    ),
    Mutation(
        "what a version's files are owed is written later", "callflows/store.py",
        "        if self._is_write_owed:\n", "        if False:\n",
        ("tests/callflows/test_store.py::test_a_snapshot_that_could_not_be_written_is_written_at_a_later_refresh",),
    ),
    Mutation(
        "an engine's impossible figure stops no tally", "console/tally.py",
        " if timing.usage.is_credible else (NOTHING, 0.0)\n", "\n",
        ("tests/console/test_tallies.py::test_a_usage_that_cannot_be_counts_as_none_and_the_rest_of_its_turn_counts",),
    ),
)  # fmt: skip
