"""Templates and spoken values: the words, their order, and that nothing outside the rendered pieces is ever emitted."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivr_fallback import english, spoken
from ivr_fallback.spoken import Kind, Place, compose, fragments, literal_pieces, places


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("42.17", "forty-two euros and seventeen cents"),
        ("1.00", "one euro"),
        ("0.01", "one cent"),
        ("0", "zero euros"),
        ("-3.5", "minus three euros and fifty cents"),
        ("1204.999", "one thousand two hundred and five euros"),
        ("100.20", "one hundred euros and twenty cents"),
    ],
)
def test_an_amount_is_spoken_in_euros_and_cents(value: str, words: str) -> None:
    expected = ("Your balance is", *words.split())
    assert compose("Your balance is {balance:amount}.", {"balance": Decimal(value)}, "en") == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "zero"),
        (99, "ninety-nine"),
        (100, "one hundred"),
        (115, "one hundred and fifteen"),
        (1001, "one thousand and one"),
        (4200, "four thousand two hundred"),
        (2_000_000, "two million"),
        (-7, "minus seven"),
        (1_000_110, "one million one hundred and ten"),
    ],
)
def test_a_number_is_spoken(value: int, words: str) -> None:
    assert " ".join(compose("{count:number}", {"count": value}, "en-US")) == words


def test_digits_are_spoken_one_by_one_with_their_leading_zeros() -> None:
    assert compose("{code:digits}", {"code": "0471"}, "en") == ("zero", "four", "seven", "one")


def test_a_date_and_a_time_are_spoken_in_their_sentence() -> None:
    template = "Your appointment is booked for {date:date} at {time:time}."
    words = compose(template, {"date": date(2026, 11, 23), "time": time(10, 30)}, "en")
    assert words == (
        "Your appointment is booked for", "monday", "the twenty-third", "of", "november", "at", "ten", "thirty", "a.m.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (time(0, 0), "midnight"),
        (time(12, 0), "noon"),
        (time(0, 30), "twelve thirty a.m."),
        (time(9, 5), "nine oh five a.m."),
        (time(13, 0), "one p.m."),
        (time(23, 59), "eleven fifty-nine p.m."),
    ],
)
def test_a_time_is_spoken(moment: time, words: str) -> None:
    assert " ".join(compose("{at:time}", {"at": moment}, "en")) == words


def test_ordinals_are_spelt_as_people_say_them() -> None:
    said = [fragment.removeprefix("the ") for fragment in english.DAYS_OF_MONTH]
    assert said[:5] == ["first", "second", "third", "fourth", "fifth"]
    assert (said[7], said[8], said[11], said[19], said[20], said[29], said[30]) == (
        "eighth", "ninth", "twelfth", "twentieth", "twenty-first", "thirtieth", "thirty-first",
    )  # fmt: skip


def test_values_that_travelled_as_text_are_spoken_alike() -> None:
    template = "{a:amount} {n:number} {d:date} {t:time}"
    typed: dict[str, spoken.SpokenValue] = {"a": Decimal("5.10"), "n": 7, "d": date(2026, 2, 1), "t": time(17, 0)}
    travelled = {"a": "5.10", "n": "7", "d": "2026-02-01", "t": "17:00:00"}
    assert compose(template, typed, "en") == compose(template, travelled, "en")


def test_a_word_of_a_closed_list_is_emitted_as_it_is_known() -> None:
    words = compose("Your order is {status:words}.", {"status": " on its  way, "}, "en")
    assert words == ("Your order is", "on its way")


def test_punctuation_between_places_has_no_piece_but_a_sentence_keeps_its_mark() -> None:
    assert literal_pieces("{a:number}, {b:number}. We open at {c:time}! Is that right?") == (
        "We open at",
        "Is that right?",
    )


def test_the_places_of_a_template_are_listed() -> None:
    assert places("At {when:time} for {price:amount}") == (Place("when", Kind.TIME), Place("price", Kind.AMOUNT))


@pytest.mark.parametrize(
    "template", ["{name}", "{a.b:amount}", "{0:number}", "x { y", "${system(id)}", "}", "{a:amount!r}"]
)
def test_nothing_but_a_typed_place_is_substituted(template: str) -> None:
    with pytest.raises(spoken.TemplateError):
        compose(template, {"name": "x", "a": 1}, "en")


def test_a_value_that_looks_like_a_place_is_refused_not_substituted() -> None:
    with pytest.raises(spoken.UnspeakableValueError):
        compose("{status:words}", {"status": "{secret:digits}", "secret": "1234"}, "en")


def test_unknown_names_kinds_and_languages_have_errors_of_their_own() -> None:
    with pytest.raises(spoken.UnknownNameError, match="balance"):
        compose("{balance:amount}", {}, "en")
    with pytest.raises(spoken.UnknownKindError, match="money"):
        compose("{balance:money}", {"balance": 1}, "en")
    with pytest.raises(spoken.UnsupportedLanguageError, match="tlh"):
        compose("hello", {}, "tlh")
    with pytest.raises(spoken.UnsupportedLanguageError):
        fragments("de-DE")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("amount", "much"), ("amount", Decimal("NaN")), ("amount", Decimal("1e12")), ("amount", date(2026, 1, 1)),
        ("number", Decimal("1.5")), ("number", True), ("number", 10**9), ("digits", "12a"), ("digits", "٤٢"),
        ("digits", ""), ("digits", "1" * 33), ("digits", -4), ("date", "soon"), ("date", 5), ("time", "25:00"),
        ("time", date(2026, 1, 1)), ("words", 5), ("words", " . "),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_is_refused(kind: str, value: spoken.SpokenValue) -> None:
    with pytest.raises(spoken.UnspeakableValueError, match="secret") as caught:
        compose(f"{{secret:{kind}}}", {"secret": value}, "en")
    assert str(value) not in str(caught.value) or str(value).strip(" .") == ""


def test_a_date_with_a_time_serves_both_places() -> None:
    moment = datetime(2026, 11, 23, 16, 20)  # noqa: DTZ001 — a wall-clock time as it is spoken
    assert compose("{d:date}", {"d": moment}, "en")[0] == "monday"
    assert compose("{t:time}", {"t": moment}, "en") == ("four", "twenty", "p.m.")


AMOUNTS = st.decimals(min_value=-999_999_999, max_value=999_999_999, places=3)
NUMBERS = st.integers(min_value=-999_999_999, max_value=999_999_999)
DIGITS = st.text(alphabet="0123456789", min_size=1, max_size=32)


@given(AMOUNTS, NUMBERS, DIGITS, st.dates(), st.times())
def test_everything_emitted_is_a_fragment_or_a_literal(a: Decimal, n: int, g: str, d: date, t: time) -> None:
    template = "You owe {a:amount}, that is {n:number} points for {g:digits}; on {d:date} at {t:time}. Thank you."
    emitted = compose(template, {"a": a, "n": n, "g": g, "d": d, "t": t}, "en")
    assert set(emitted) <= {*fragments("en"), *literal_pieces(template)}
    assert all(piece == piece.strip() and piece for piece in emitted)


def test_every_fragment_has_one_spelling() -> None:
    assert len(fragments("en")) == len(set(fragments("en")))
    assert all(fragment == fragment.lower() for fragment in fragments("en"))


@given(st.text(max_size=80))
def test_any_text_as_a_template_is_composed_or_refused_in_form(template: str) -> None:
    try:
        pieces = compose(template, {}, "en")
    except spoken.SpokenError:
        return
    assert "{" not in template
    assert pieces == literal_pieces(template)
