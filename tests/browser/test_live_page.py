"""The live page in a real browser, against a real daphne and Redis: what operators see without ever reloading.

A subprocess serves ``console.settings``; the tests write rows as the recorder does and send its nudge, one has a real recorder.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from playwright.sync_api import Page, expect

from esl_bridge.journal.events import Mode, StepEntered
from tests.browser.served import ROOT, START_LIMIT_S, Console, shot
from tests.console.journal import Boot, send, started

pytestmark = [pytest.mark.browser]
UUID = "7d1c6b3e-6c7e-4a0f-9d55-2f1a60c0a001"
NEW_CALL = f"""
Call.objects.create(call_uuid="{UUID}", caller="+441632960217", destination="9100", flow_slug="bank", flow_version=3,
    bridge_id="bridge-1", mode="ai", step="slot:account_number", started_at=now - timedelta(seconds=75),
    last_event_at=now, last_transcript="my balance please")
"""
MOVED = f"""
call = Call.objects.get(call_uuid="{UUID}")
call.mode, call.step, call.fell_back_reason, call.fell_back_at, call.last_event_at = "fallback", "menu", "incident", now, now
call.save()
Incident.objects.create(incident_id="i1", call=call, cause="ai", stage="stt", kind="timeout", attempts=2,
    outcome="failed_over", proof="PLAYBACK_START menu.wav", opened_at=now, closed_at=now)
"""
LOST = f"""
Incident.objects.filter(incident_id="i1").update(outcome="dropped")
Call.objects.filter(call_uuid="{UUID}").update(last_event_at=now, ended_at=now, ended_by="caller")
"""


ANSWERS = f"""
from console.models import Turn, JournalLine
Call.objects.filter(call_uuid="{UUID}").delete()
{NEW_CALL}
call = Call.objects.get(call_uuid="{UUID}")
for turn in range(1, 9):
    Turn.objects.create(call=call, turn=turn, outcome="understood", transcript="my balance please", intent="balance",
        answer_ms=400 + 150 * turn, worker_id="worker-1", finished_at=now - timedelta(minutes=turn))
for seq, (kind, data) in enumerate([
    ("call_started", dict(caller=call.caller, destination="9100", bridge_id="bridge-1")),
    ("incident_opened", dict(cause="ai", stage="stt", kind="timeout", attempts=2)),
    ("fell_back", dict(reason="incident")), ("incident_closed", dict(outcome="failed_over", proof="DTMF"))]):
    JournalLine.objects.create(boot_id="b", call_uuid=call.call_uuid, epoch=1, seq=seq, at=now, kind=kind, data=data)
Incident.objects.create(incident_id="i9", call=call, cause="ai", stage="stt", kind="timeout", attempts=2,
    outcome="failed_over", proof="DTMF", opened_at=now, closed_at=now)
"""


def test_a_call_appears_moves_and_is_counted_without_a_reload(page: Page, console: Console) -> None:
    expect(page.locator("#calls")).to_contain_text("Nobody is on the line")
    console.write(NEW_CALL)
    row = page.locator(f"#call-{UUID}")
    expect(row).to_contain_text("Asks for account number")
    expect(row).to_contain_text("my balance please")
    clock = row.locator("[data-since]")
    before = clock.inner_text()
    expect(clock).not_to_have_text(before)
    page.locator("#why").fill("half a reas")
    row.locator("a").focus()
    console.write(MOVED)
    expect(row.locator(".badge")).to_have_text("Keypad")
    expect(page.locator("#kept")).to_have_text("1")
    expect(page.locator("#lost")).to_have_text("0")
    expect(page.locator(".figure.lost")).to_contain_text("none lost")
    expect(row.locator("a")).to_be_focused()
    expect(page.locator("#why")).to_have_value("half a reas")
    shot(page, "kept-light")
    page.get_by_role("button", name="Dark").click()
    shot(page, "kept-dark")
    page.get_by_role("button", name="Light").click()
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shot(page, "kept-narrow")
    page.set_viewport_size({"width": 1280, "height": 900})
    console.write(LOST)
    expect(page.locator(".figure.lost")).to_contain_text("1 caller lost")
    expect(page.locator("#calls")).to_contain_text("Nobody is on the line")
    shot(page, "lost-light")
    assert page.evaluate("window.neverReloaded")


def test_a_row_keeps_the_focus_while_rows_before_it_come_and_go(page: Page, console: Console) -> None:
    ids = [f"7d1c6b3e-6c7e-4a0f-9d55-2f1a60c0b00{number}" for number in range(1, 5)]
    calls = [NEW_CALL.replace(UUID, one).replace("seconds=75", f"seconds={75 - number}") for number, one in enumerate(ids)]
    console.write("".join(calls[:3]))
    link = page.locator(f"#call-{ids[0]} a")
    link.focus()  # The oldest stands last.
    page.evaluate("document.activeElement.addEventListener('blur', () => { window.lostFocus = true })")
    console.write(f'Call.objects.filter(call_uuid="{ids[1]}").update(ended_at=now, ended_by="caller")')
    expect(page.locator(f"#call-{ids[1]}")).to_have_count(0)
    expect(link).to_be_focused()
    end = f'Call.objects.filter(call_uuid="{ids[2]}").update(ended_at=now, ended_by="caller")'
    console.write(calls[3] + end)
    expect(page.locator(f"#call-{ids[3]}")).to_be_visible()
    expect(page.locator(f"#call-{ids[2]}")).to_have_count(0)
    expect(link).to_be_focused()
    assert not page.evaluate("window.lostFocus")
    console.write(f"Call.objects.filter(call_uuid__in={ids}).delete()")
    expect(page.locator("#calls")).to_contain_text("Nobody is on the line")


def test_an_operator_opens_a_circuit_with_a_reason_and_sees_it_held(page: Page, console: Console) -> None:
    hold = "from ai_engine.circuits import operators\nfrom django.conf import settings\n"
    hold += "operators.force('turns:bridge-1', 'forced_closed', 'ben', 'trial', redis_url=settings.LIFELINE_REDIS_DURABLE_URL)"
    console.python(hold.replace("'forced_closed'", "operators.CircuitState.FORCED_CLOSED"))
    circuit = page.locator('[id="circuit-turns:bridge-1"]')
    expect(circuit).to_contain_text("Held closed by ben: trial, until released")
    page.locator("#why").fill("vendor at work")
    page.locator("#minutes").fill("30")
    circuit.get_by_role("button", name="Open").click()
    expect(page.locator("#circuit-answer")).to_have_text("Confirmed: turns:bridge-1 held open.")
    expect(circuit).to_contain_text("Held open by anna: vendor at work, until")
    shot(page, "held-light")
    circuit.get_by_role("button", name="Automatic").click()
    expect(page.locator("#circuit-answer")).to_have_text("Confirmed: turns:bridge-1 automatic again.")
    assert page.evaluate("window.neverReloaded")


def test_the_engine_is_broken_and_mended_by_buttons(page: Page) -> None:
    page.get_by_role("button", name="Error 500").click()
    expect(page.locator("#fault")).to_contain_text("The local engine answers error 500, until mended")
    page.get_by_role("button", name="Mend").click()
    expect(page.locator("#fault")).to_contain_text("Nothing is broken by hand")
    assert page.evaluate("window.neverReloaded")


def test_every_page_fits_a_telephone_and_a_desk(page: Page, console: Console) -> None:
    console.write(ANSWERS)
    expect(page.get_by_role("img", name="Answer times from")).to_be_visible()
    for name, path in (("live", "/"), ("calls", "/calls/"), ("call", f"/calls/{UUID}/"), ("incidents", "/incidents/")):
        page.goto(console.url + path)
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
            shot(page, f"{name}-{width}")


def test_with_the_redis_of_the_nudges_away_the_page_says_so_and_still_shows_calls(page: Page, console: Console) -> None:
    console.volatile.kill()
    try:
        expect(page.locator("#workers")).to_contain_text("Redis does not answer")
        console.write(NEW_CALL.replace(UUID, UUID[:-1] + "2"), nudge=False)
        expect(page.locator(f"#call-{UUID[:-1]}2")).to_contain_text("Asks for account number")
    finally:
        console.volatile.start()
    expect(page.locator("#workers")).to_contain_text("No AI worker is seen")
    expect(page.locator("#connection")).to_have_text("Live")
    console.write(f'Call.objects.filter(call_uuid="{UUID[:-1]}2").update(step="goodbye")')  # Only a nudge shows this.
    expect(page.locator(f"#call-{UUID[:-1]}2")).to_contain_text("Goodbye")


def test_what_a_bridge_writes_reaches_the_page_and_a_recorder_that_stands_still_is_said(page: Page, console: Console) -> None:
    """A real recorder process between the journal and the page."""
    recorder = subprocess.Popen([sys.executable, "manage.py", "run_recorder"], cwd=ROOT, env=console.env)
    durable_url = console.env["LIFELINE_REDIS_DURABLE_URL"]
    boot = Boot("bridge-boot", at_us=time.time_ns() // 1000)
    row = page.locator("#call-journalled")
    try:
        send(durable_url, [boot.entry(started(), "journalled"), boot.entry(StepEntered("greeting", Mode.AI), "journalled")])
        expect(row).to_contain_text("Greeting", timeout=START_LIMIT_S * 1000)
        expect(page.locator("#behind")).to_have_count(0)
        recorder.send_signal(signal.SIGSTOP)
        send(durable_url, [boot.entry(StepEntered("menu", Mode.FALLBACK), "journalled")])
        expect(page.locator("#behind")).to_contain_text("The records are behind by")
        expect(row).to_contain_text("Greeting")
        shot(page, "behind-light")
        recorder.send_signal(signal.SIGCONT)
        expect(row.locator(".badge")).to_have_text("Keypad")
        expect(page.locator("#behind")).to_have_count(0)
        assert page.evaluate("window.neverReloaded")
    finally:
        recorder.send_signal(signal.SIGCONT)
        recorder.terminate()
        recorder.wait(10)


def test_a_console_that_stands_still_is_not_live_and_the_page_comes_back_with_it(page: Page, console: Console) -> None:
    assert console.process is not None
    page.clock.install()
    page.goto(console.url)
    expect(page.locator("#connection")).to_have_text("Live")
    page.evaluate("window.neverReloaded = true")
    console.process.send_signal(signal.SIGSTOP)
    try:
        for _ in range(2):  # What was on its way counts as heard.
            page.clock.run_for(16_000)
        expect(page.locator("#connection")).to_contain_text("Stale: figures from")
    finally:
        console.process.send_signal(signal.SIGCONT)
    expect(page.locator("#connection")).to_have_text("Live", timeout=40_000)
    assert page.evaluate("window.neverReloaded")


def test_the_page_says_that_it_is_not_connected_and_comes_back_by_itself(page: Page, console: Console) -> None:
    console.stop()
    expect(page.locator("#connection")).to_contain_text("Reconnecting… figures from")
    page.locator("#fault-order").get_by_role("button", name="Mend").click()
    expect(page.locator("#fault-answer")).to_have_text("Not confirmed: the console does not answer")
    console.start()
    expect(page.locator("#connection")).to_have_text("Live", timeout=20_000)
    assert page.evaluate("window.neverReloaded")
