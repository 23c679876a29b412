"""A call's orders as commands for the switch. Pure; orders for anybody else (queue, actions, journal) give nothing here."""

from __future__ import annotations

from dataclasses import dataclass

from callflows.definition.kept import PREFIX
from esl_bridge.calls import orders as order
from esl_bridge.protocol import commands
from esl_bridge.protocol.commands import Application, Command


@dataclass(frozen=True, slots=True)
class SwitchSettings:
    """What the dialplan and the disk of this switch look like (``deploy/freeswitch``)."""

    chain_context: str
    prompt_dir: str
    media_url: str
    agent_prefix: str = "ll-agent-"
    last_resort: str = "ll-last-resort"
    silent: str = "ll-silent"


def to_switch(wanted: order.Order, call_uuid: str, answer_id: str, metadata: str, switch: SwitchSettings) -> list[Command]:
    """Raises UnsafeArgument when a value could be acted on by FreeSWITCH; nothing of that order is sent then."""
    match wanted:
        case order.AnswerCall():
            return [commands.execute(Application.ANSWER, "", event_uuid=answer_id)]
        case order.SetVariables():
            values = {PREFIX + name: value for name, value in wanted.values.items()}
            return [commands.set_variables(call_uuid, values)]
        case order.Play():
            path = wanted.file if wanted.file.startswith("/") else f"{switch.prompt_dir}/{wanted.file}"
            return [commands.execute(Application.PLAYBACK, path, event_uuid=wanted.play_id)]
        case order.StopPlayback():
            return [commands.break_playback(call_uuid)]
        case order.ArmTimer():
            return [commands.arm_timer(call_uuid, wanted.seconds, switch.silent, switch.chain_context)]
        case order.DeleteTimer():
            names = {"": call_uuid, "own": commands.timer_group(call_uuid)}
            return [commands.delete_timer(names.get(wanted.name, wanted.name))]
        case order.StartAudio():
            return [commands.start_audio_stream(call_uuid, switch.media_url, metadata)]
        case order.WatchFor():
            return [commands.send_stream_text(call_uuid, f'{{"watch":{wanted.turn}}}')]
        case order.ListenTo():
            return [commands.send_stream_text(call_uuid, f'{{"listen":{wanted.turn}}}')]
        case order.StopListening():
            return [commands.send_stream_text(call_uuid, f'{{"hush":{wanted.turn}}}')]
        case order.StopAudio():
            return [commands.stop_audio_stream(call_uuid)]
        case order.TransferToAgent():
            return [commands.transfer(call_uuid, switch.agent_prefix + wanted.destination, switch.chain_context)]
        case order.LeaveToOthers():
            left = {"socket_resume": "false"}
            if wanted.met_person:
                # As after an agent of ours: who has the call next asks whether the caller has met anybody.
                left["originate_disposition"] = "SUCCESS"
            return [commands.set_variables(call_uuid, left)]
        case order.TransferToLastResort():
            return [commands.transfer(call_uuid, switch.last_resort, switch.chain_context)]
        case order.HangUp():
            return [commands.hangup()]
        case _:
            return []
