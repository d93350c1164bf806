"""Keywords of opt-out, the decision whether somebody may be texted, and the chain of evidence."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from trunkline.domain.consent import (
    Consent,
    Entry,
    Source,
    digest_of,
    read_statement,
    refusal_of,
)
from trunkline.domain.errors import Refusal
from trunkline.domain.keywords import (
    KEYWORD_LENGTH_MAX,
    WORDS_MAX,
    Action,
    Keyword,
    OptOutRules,
    Wording,
    check_wordings,
    find_keyword,
    with_kept_words,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SERVICE = "MG" + "3" * 32
ANNA = "+15558675310"


def heard(
    text: str,
    *,
    is_short_code: bool = False,
    is_tollfree: bool = False,
    rules: OptOutRules | None = None,
    country: str = "US",
) -> Keyword | None:
    """Return the keyword that a text is."""
    return find_keyword(
        text, is_short_code=is_short_code, is_tollfree=is_tollfree, country=country, rules=rules
    )


def wording(language: str = "en", country: str = "", **words: tuple[str, ...]) -> Wording:
    """Return a wording that answers with its language."""
    return Wording(
        language=language,
        country=country,
        words={Action(name.upper()): given for name, given in words.items()},
        texts={action: f"{language} {action}" for action in Action},
    )


def rules_of(*wordings: Wording) -> OptOutRules:
    """Return the rules of a service."""
    return OptOutRules(
        sid="OO" + "1" * 32,
        account_sid="AC" + "1" * 32,
        service_sid=SERVICE,
        wordings=tuple(map(with_kept_words, wordings)),
        created_at=NOON,
        updated_at=NOON,
    )


@pytest.mark.parametrize(
    ("text", "long_code", "toll_free"),
    [
        *((word, Action.STOP, None) for word in ("STOPALL", "UNSUBSCRIBE", "CANCEL", "END")),
        *((word, Action.STOP, None) for word in ("QUIT", "OPTOUT", "REVOKE")),
        ("STOP", Action.STOP, Action.STOP),
        ("START", Action.START, Action.START),
        ("UNSTOP", Action.START, Action.START),
        ("YES", Action.START, None),
        ("HELP", Action.HELP, None),
        ("INFO", Action.HELP, None),
        (" stop\n", Action.STOP, Action.STOP),
        ("“Stop.”", Action.STOP, Action.STOP),
        ("ＳＴＯＰ", Action.STOP, Action.STOP),
        ("\u200bSTOP\ufeff", Action.STOP, Action.STOP),
        ("\u202aS\u200bTOP\u202c\u200f", Action.STOP, Action.STOP),
        ("st\u00adop\x00", Action.STOP, Action.STOP),
        ("stop\ufe0f \u2060", Action.STOP, Action.STOP),
        ("„Stop。“", Action.STOP, Action.STOP),
        ("stop please", None, None),
        ("STOP?", None, None),
        ("don't stop", None, None),
        ("", None, None),
        ("." * 50, None, None),
        ("stop" * 100, None, None),
    ],
)
def test_only_the_whole_text_is_a_keyword(
    text: str, long_code: Action | None, toll_free: Action | None
) -> None:
    """In any case, without what stands around it; toll-free numbers know fewer words."""
    found, free = heard(text), heard(text, is_tollfree=True)
    assert (found and found.action) == long_code
    assert (free and free.action) == toll_free
    assert heard(text, is_short_code=True) is None


def test_a_service_has_words_by_language_and_country() -> None:
    """The word says the language; a country's own wording comes first; the rest is nobody's."""
    rules = rules_of(
        wording("en", stop=("halt",)),
        wording("es", stop=("alto", "No   Más")),
        wording("fr", "CA", stop=("arret", "halt")),
    )
    expected: Mapping[tuple[str, str], tuple[Action, str] | None] = {
        ("ALTO!", "US"): (Action.STOP, "es STOP"),
        ("no más", "US"): (Action.STOP, "es STOP"),
        ("halt", "US"): (Action.STOP, "en STOP"),
        ("halt", "CA"): (Action.STOP, "fr STOP"),
        ("arret", "US"): None,
        ("unstop", "DE"): (Action.START, "en START"),
        ("cancel", "US"): None,
        ("yes", "US"): None,
    }
    for (text, country), answer in expected.items():
        found = heard(text, rules=rules, country=country)
        assert (found and (found.action, found.answer)) == answer, text
    # What all of them have is English where one is, whichever stands first.
    mixed = rules_of(wording("es"), wording("en"), wording("fr", "CA"))
    languages = {country: heard("STOP", rules=mixed, country=country) for country in ("US", "CA")}
    assert {k: found and found.language for k, found in languages.items()} == {
        "US": "en",
        "CA": "fr",
    }
    # Where all are for other countries, what nobody may take away still works.
    only = rules_of(wording("fr", "CA", stop=("arret",)))
    found = heard("STOP", rules=only, country="US", is_short_code=True)
    assert found
    assert found.action is Action.STOP


@pytest.mark.parametrize(
    "wordings",
    [
        [wording(), wording()],
        [wording("")],
        [wording(country="USA")],
        [wording(country="ZZ")],
        [wording(country="ca"), wording(country="CA")],
        [wording(help=("stop",))],
        [wording(stop=("Later",), start=("later!",))],
        [wording(stop=("x" * (KEYWORD_LENGTH_MAX + 1),))],
        [wording(stop=("!!",))],
        [wording(stop=tuple(f"w{n}" for n in range(WORDS_MAX + 1)))],
        [wording(f"l{n}") for n in range(31)],
        [replace(wording(), texts={Action.STOP: "x" * 321})],
    ],
)
def test_wordings_that_cannot_be_are_refused(wordings: list[Wording]) -> None:
    """Among them those that would take STOP away."""
    with pytest.raises(Refusal) as refused:
        check_wordings(wordings)
    assert refused.value.code == 20422


def test_who_is_out_of_any_scope_gets_nothing() -> None:
    """One that requires consent wants a word for it, of any of the scopes."""
    states = {(ANNA, SERVICE): Consent.IN, (ANNA, "+1555"): Consent.OUT}
    assert refusal_of(states, ANNA, scopes=(SERVICE,)) is None
    assert refusal_of(states, ANNA, scopes=(SERVICE, "+1555")) == 21610
    assert refusal_of({}, ANNA, scopes=(SERVICE,)) is None
    assert refusal_of({}, ANNA, scopes=(SERVICE,), requires_consent=True) == 21610
    assert refusal_of(states, ANNA, scopes=(SERVICE, "x"), requires_consent=True) is None
    assert refusal_of(states, "+1999", scopes=(SERVICE,), requires_consent=True) == 21610


def values(**changed: str) -> dict[str, str]:
    """Return a statement as a program writes it."""
    right = {"contact_id": ANNA, "sender_id": SERVICE, "status": "opt-out", "source": "website"}
    return right | changed


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"contact_id": "12"}, "INVALID_CONTACT_ID"),
        ({"contact_id": "whatsapp:+15558675310"}, "INVALID_CONTACT_ID"),
        ({"sender_id": ""}, "INVALID_SENDER_ID"),
        ({"sender_id": "whatsapp:+15558675310"}, "INVALID_SENDER_ID"),
        ({"status": "re-opt-in"}, "INVALID_STATUS"),
        ({"source": "WEBSITE"}, "INVALID_SOURCE"),
        ({"date_of_consent": "yesterday"}, "INVALID_DATE_OF_CONSENT"),
        ({"date_of_consent": "2026-11-22"}, "INVALID_DATE_OF_CONSENT"),
        ({"date_of_consent": "0001-01-01T00:00:00+14:00"}, "INVALID_DATE_OF_CONSENT"),
    ],
)
def test_what_is_wrong_with_a_statement_is_named(changed: dict[str, str], error: str) -> None:
    """Each part by Twilio's name for the error."""
    assert read_statement(values(**changed), evidence={}, now=NOON) == (None, [error])


def test_evidence_is_bounded() -> None:
    """Neither one long value nor many short ones."""
    for evidence in ({"a": "x" * 501}, {str(n): "" for n in range(21)}):
        assert read_statement(values(), evidence=evidence, now=NOON)[1] == ["INVALID_EVIDENCE"]


@pytest.mark.parametrize(
    ("status", "date", "at"),
    [
        ("opt-in", "2026-11-19", NOON - timedelta(hours=36)),
        ("opt-out", "2026-11-19", NOON - timedelta(hours=12, microseconds=1)),
        ("opt-out", "2026-11-20", NOON),
        ("opt-out", "2026-11-20T10:00:00+02:00", NOON - timedelta(hours=4)),
        ("opt-out", "", None),
    ],
)
def test_an_opt_out_dated_by_the_day_is_of_its_end(
    status: str, date: str, at: datetime | None
) -> None:
    """What was agreed to earlier on that day must not overrule it."""
    said, _ = read_statement(values(status=status, date_of_consent=date), evidence={}, now=NOON)
    assert said
    assert said.consented_at == at


def test_a_digest_covers_the_entry_and_the_one_before() -> None:
    """Whatever changes, changes it."""
    entry = Entry(
        account_sid="AC" + "1" * 32,
        number=1,
        recipient=ANNA,
        scope=SERVICE,
        status=Consent.OUT,
        source=Source.WEBSITE,
        evidence={"form": "spring"},
        consented_at=NOON,
        at=NOON,
    )
    changes: list[dict[str, object]] = [
        {"number": 2},
        {"recipient": "+15558675311"},
        {"scope": "+1555"},
        {"status": Consent.IN},
        {"source": Source.OFFLINE},
        {"evidence": {}},
        {"consented_at": NOON + timedelta(microseconds=1)},
        {"at": NOON + timedelta(microseconds=1)},
        {"account_sid": "AC" + "2" * 32},
    ]
    digests = {digest_of(replace(entry, **change), "") for change in changes}  # type: ignore[arg-type]
    assert len(digests | {digest_of(entry, ""), digest_of(entry, "x")}) == len(changes) + 2
