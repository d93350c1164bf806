"""What becomes of texts in the simulated network: the choice, the draw, and the way of one text."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trunkline.carriers.port import Deferred, Refused, Taken
from trunkline.domain.errors import ERRORS
from trunkline.domain.handset import Handset, HandsetText, Parcel, Step
from trunkline.network.behaviours import (
    BEHAVIOUR_MAX,
    BEHAVIOURS,
    CONGESTED_TIMES,
    NetworkSettings,
    choose_behaviour,
    draw,
    find_behaviour,
    is_delivery_error,
    magic_behaviour,
    render_behaviours,
    render_magic,
)
from trunkline.network.delivery import (
    JITTER,
    REASSEMBLY_SECONDS,
    RETRY_SECONDS,
    RETRY_SECONDS_MAX,
    TICK_MICROS,
    claim,
    finish,
    judge,
    receipts,
    submit_result,
)

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
TICK = timedelta(microseconds=TICK_MICROS)
NUMBER = "+14155550123"
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "simulate-failures.md"
SETTINGS = NetworkSettings(seed=7, delay_seconds=2, slow_seconds=40)


def parcel(*segments: str, count: int | None = None, at: datetime = NOON) -> Parcel:
    return Parcel(
        sid="HT1",
        message_sid="SM1",
        sender="+15005550006",
        recipient=NUMBER,
        encoding="GSM-7",
        segment_count=count or len(segments),
        media=(),
        at=at,
        segments=dict(enumerate(segments)),
    )


def handset(behaviour: str = "", *, number: str = NUMBER, texts: int = 0) -> Handset:
    return Handset(
        number=number, behaviour=behaviour, texts=texts, created_at=NOON, updated_at=NOON
    )


def text_at(behaviour: str, *segments: str, settings: NetworkSettings = SETTINGS) -> HandsetText:
    return judge(parcel(*(segments or ("hello",))), handset(behaviour), settings=settings)


def test_a_phones_own_setting_comes_before_magic_and_magic_before_the_odds() -> None:
    """Whoever looks at one phone knows best what it should do."""
    odds = {"blocked": 1.0}
    magic = "+15555530005"
    assert choose_behaviour("off", magic, odds=odds, fate=0).name == "off"
    assert choose_behaviour("", magic, odds=odds, fate=0).name == "unknown"
    assert choose_behaviour("", NUMBER, odds=odds, fate=0).name == "blocked"
    assert choose_behaviour("", NUMBER, odds={}, fate=0).name == "deliver"


@pytest.mark.parametrize(
    ("number", "name"),
    [
        ("+15555530003", "off"),
        ("+15555530007", "filtered"),
        ("+15555530008", "error-30008"),
        ("+15555530034", "error-30034"),
        ("+15555563016", "error-63016"),
        ("+15555500001", "slow"),
        ("+15555500003", "congested"),
    ],
)
def test_a_magic_recipient_says_by_its_last_digits_what_happens(number: str, name: str) -> None:
    """The last five digits are an error code or a row of the table."""
    found = magic_behaviour(number)
    assert found is not None
    assert found.name == name
    assert find_behaviour(name) == found


@pytest.mark.parametrize(
    "number",
    [
        "+15555521211",
        "+15555599999",
        "+1555553000",
        "+155555300031",
        "+14155530003",
        "30003",
        "+15555",
    ],
)
def test_other_numbers_are_not_magic(number: str) -> None:
    """Codes with which no message ends, and numbers of another shape, do nothing special."""
    assert magic_behaviour(number) is None


def test_every_delivery_error_has_a_magic_recipient_that_ends_with_it() -> None:
    """An application can be shown each error code that a message may carry."""
    codes = [code for code in ERRORS if is_delivery_error(code)]
    found = [magic_behaviour(f"+155555{code}") for code in codes]
    assert [b.error_code for b in found if b is not None] == codes
    assert all(b.final_status == "undelivered" for b in found if b is not None)


def test_names_fit_into_their_column_and_unknown_names_are_none() -> None:
    """A name is stored with each text."""
    assert all(len(name) <= BEHAVIOUR_MAX and b.name == name for name, b in BEHAVIOURS.items())
    for name in ("", "Deliver", "error-", "error-1", "error-21211", "error-²"):
        assert find_behaviour(name) is None


def test_a_draw_depends_on_seed_number_and_ordinal_alone() -> None:
    """The same text of the same handset meets the same fate whatever else happens."""
    once = draw(7, NUMBER, ordinal=3)
    assert once == draw(7, NUMBER, ordinal=3)
    others = {draw(8, NUMBER, ordinal=3), draw(7, NUMBER, ordinal=4), draw(7, "+1", ordinal=3)}
    assert once not in others
    assert len(others) == 3


def test_the_odds_are_met() -> None:
    """Over many texts each behaviour has about its share, and the rest is delivered."""
    odds = {"off": 0.2, "slow": 0.1}
    draws = [draw(1, NUMBER, ordinal=n) for n in range(4000)]
    assert all(0 <= d.fate < 1 and 0 <= d.jitter < 1 for d in draws)
    names = Counter(choose_behaviour("", NUMBER, odds=odds, fate=d.fate).name for d in draws)
    assert names["off"] == pytest.approx(800, abs=120)
    assert names["slow"] == pytest.approx(400, abs=100)
    assert names["deliver"] == 4000 - names["off"] - names["slow"]


@pytest.mark.parametrize("odds", [{"odd": 0.1}, {"off": -0.1}, {"off": 0.7, "slow": 0.4}])
def test_odds_that_are_none_are_refused(odds: dict[str, float]) -> None:
    """A misspelt behaviour would otherwise never happen, in silence."""
    with pytest.raises(ValueError, match="odds"):
        NetworkSettings(odds=odds)


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_text_ends_as_its_behaviour_says(behaviour: str) -> None:
    """What the table promises is what answers and receipts say."""
    row = BEHAVIOURS[behaviour]
    text = text_at(behaviour)
    asked = 0
    while isinstance(submit_result(text, 0), Deferred):
        asked += 1
        text = judge(parcel("hello"), text, settings=SETTINGS)
    assert asked == row.deferrals
    if row.is_refusal:
        assert submit_result(text, 0) == Refused(row.error_code or 0)
        return
    assert submit_result(text, 0) == Taken("HT1-0")
    text = claim(text, NOON)
    assert (text.step is Step.ARRIVED) is row.arrives
    said = [(r.carrier_ref, r.delivered, r.error_code) for r in receipts(text, NOON)]
    assert said == ([("HT1-0", row.arrives, row.error_code)] if row.gives_receipt else [])


def test_the_delay_is_about_as_long_as_set() -> None:
    """Slow texts take the long delay, jitter keeps to its bounds, and zero is at once."""
    for behaviour, mean in (("", 2.0), ("slow", 40.0)):
        for ordinal in range(50):
            text = judge(parcel("a"), handset(behaviour, texts=ordinal), settings=SETTINGS)
            assert text.due_at is not None
            wait = text.due_at - NOON
            assert timedelta(seconds=mean * (1 - JITTER)) - TICK <= wait
            assert wait <= timedelta(seconds=mean * (1 + JITTER))
    at_once = text_at("", settings=NetworkSettings(delay_seconds=0))
    assert at_once.due_at is not None
    assert at_once.due_at <= NOON


def test_segments_that_come_apart_make_one_text() -> None:
    """The clock of the delivery starts with the last segment, in whatever order they come."""
    text = judge(parcel("one ", count=3), handset(), settings=SETTINGS)
    assert text.due_at == NOON + timedelta(seconds=REASSEMBLY_SECONDS)
    late = parcel(count=3, at=NOON + timedelta(seconds=5))
    late.segments[2] = "three"
    text = judge(late, text, settings=SETTINGS)
    assert not text.is_whole
    late.segments[1] = "two "
    text = judge(late, text, settings=SETTINGS)
    assert text.body == "one two three"
    assert text.due_at == NOON + timedelta(seconds=5 + SETTINGS.delay_seconds)


def test_a_text_that_stays_incomplete_fails_with_the_segments_it_has() -> None:
    """Every message ends, also one whose other segments never come."""
    text = claim(judge(parcel("one ", count=2), handset(), settings=SETTINGS), NOON)
    assert text.step is Step.FAILED
    said = [(r.carrier_ref, r.delivered, r.error_code) for r in receipts(text, NOON)]
    assert said == [("HT1-0", False, 30008)]


def test_the_same_segment_again_changes_nothing_on_the_way() -> None:
    """A submission repeated before the delivery is the same submission."""
    text = text_at("", "hello")
    assert judge(parcel("hello"), text, settings=SETTINGS) is text
    refused = text_at("refuse")
    assert judge(parcel("hello"), refused, settings=SETTINGS) is refused


def test_the_same_segment_after_the_delivery_asks_for_its_receipt_again() -> None:
    """Whoever submits twice may have lost the receipt; the text stays where it arrived."""
    text = finish(claim(text_at("", "hello"), NOON), NOON)
    assert text.due_at is None
    later = NOON + timedelta(hours=1)
    again = judge(parcel("hello", at=later), text, settings=SETTINGS)
    assert again.due_at is not None
    assert again.due_at <= later
    claimed = claim(again, later)
    assert (claimed.step, claimed.arrived_at) == (Step.ARRIVED, NOON)
    assert receipts(claimed, later) == receipts(claim(text_at("", "hello"), NOON), NOON)


def test_news_that_cannot_be_handed_over_come_again_ever_later() -> None:
    """The wait doubles up to its bound."""
    text, waits = text_at(""), []
    for _ in range(12):
        text = claim(text, NOON)
        assert text.due_at is not None
        waits.append((text.due_at - NOON).total_seconds())
    assert waits[:3] == [RETRY_SECONDS, 2 * RETRY_SECONDS, 4 * RETRY_SECONDS]
    assert waits[-1] == RETRY_SECONDS_MAX


def test_congestion_ends() -> None:
    """The carrier says "later" a few times, each time anew from the same stored text."""
    text = text_at("congested")
    answers = [submit_result(text, 0)]
    for _ in range(CONGESTED_TIMES):
        text = judge(parcel("hello"), text, settings=SETTINGS)
        answers.append(submit_result(text, 0))
    assert [type(answer) for answer in answers] == [Deferred] * CONGESTED_TIMES + [Taken]
    assert text.due_at == NOON + timedelta(seconds=SETTINGS.delay_seconds)


@pytest.mark.parametrize(
    "table", [render_behaviours(), render_magic()], ids=["behaviours", "magic"]
)
def test_the_page_shows_the_tables_as_they_are(table: str) -> None:
    """Readers of the documentation see what the code does."""
    assert table in PAGE.read_text()
