"""Numbers for sale without a network: what each country offers, and a search that makes numbers up.

Rules: the same search always finds the same numbers; every number found is valid in the numbering
plan of its country and of the kind asked for, is not taken, and is nobody's fiction: the exchange
555 of the North American plan and service codes like 911 are never offered.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberType

from trunkline.domain.address import (
    AddressKind,
    country_of,
    is_tollfree,
    national_format,
    parse_recipient,
)
from trunkline.domain.countries import COUNTRY_NAMES
from trunkline.domain.errors import Refusal
from trunkline.domain.nanp import TOLL_FREE_AREA_CODES, area_codes, region_of

# A try costs 5 µs, so that a search for what hardly exists still ends within 50 ms.
CANDIDATES_MAX = 5_000
# Twilio's largest page.
FOUND_MAX = 1_000
# Kinds of some 240 countries and the plans behind them.
_PLANS_MAX = 1_024

# Twilio: Contains takes 2 to 16 characters; a plus stands for the beginning of the number, a dollar
# for its end, and % for any digits, which outside of a pattern there may be anyway.
_PATTERN = re.compile(r"(?=.{2,16}$)\+?%?[0-9A-Za-z*]+%?\$?").fullmatch
_META = "+%$"
_KEYPAD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")
_NANP_AREA_CODE = re.compile(r"[2-9][0-9]{2}").fullmatch
_AREA_CODE = re.compile(r"[0-9]{1,5}").fullmatch
# NXX-XXXX, where NXX is no service code (N11); 555-01XX are for fiction.
_NANP_SUBSCRIBER = re.compile(r"(?!.11|55501)[2-9][0-9]{6}").fullmatch
# How much of a number abroad stands for its neighbourhood.
_NEAR_DIGITS = 3
_NANP_CALLING_CODE = 1


class NumberKind(StrEnum):
    """A kind of number, spelled as in Twilio's paths."""

    LOCAL = "Local"
    TOLL_FREE = "TollFree"
    MOBILE = "Mobile"
    NATIONAL = "National"
    SHARED_COST = "SharedCost"
    VOIP = "Voip"
    MACHINE_TO_MACHINE = "MachineToMachine"


@dataclass(frozen=True, slots=True)
class CountryCode:
    """A country that has numbers."""

    iso: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a number can be used for."""

    voice: bool
    sms: bool
    mms: bool
    fax: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What a search asks for; places that only echo cannot be told apart without a network."""

    area_code: str | None = None
    contains: str | None = None
    near_number: str | None = None
    in_region: str | None = None
    in_locality: str | None = None
    in_postal_code: str | None = None
    in_rate_center: str | None = None
    in_lata: str | None = None
    voice_enabled: bool | None = None
    sms_enabled: bool | None = None
    mms_enabled: bool | None = None
    fax_enabled: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberFacts:
    """What a number says about itself."""

    phone_number: str
    friendly_name: str
    iso_country: str | None
    kind: NumberKind
    region: str | None
    capabilities: Capabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailableNumber:
    """A number for sale."""

    phone_number: str
    friendly_name: str
    iso_country: str
    kind: NumberKind
    region: str | None
    locality: str | None
    rate_center: str | None
    lata: str | None
    postal_code: str | None
    latitude: str | None
    longitude: str | None
    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class _Plan:
    """How national numbers of one kind look."""

    calling_code: int
    example: str
    matches: re.Pattern[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Quest:
    """A search in terms of digits.

    A candidate begins with one of `beginnings`; it may be offered when it begins with one of
    `admitted`, which matters once the wanted pattern has overwritten some of its digits.
    """

    seed: str
    plan: _Plan
    beginnings: tuple[str, ...]
    admitted: tuple[str, ...]
    pattern: str


# libphonenumber's name of each kind's range; it has none for machine-to-machine numbers.
_RANGES = {
    NumberKind.LOCAL: "fixed_line",
    NumberKind.TOLL_FREE: "toll_free",
    NumberKind.MOBILE: "mobile",
    NumberKind.NATIONAL: "uan",
    NumberKind.SHARED_COST: "shared_cost",
    NumberKind.VOIP: "voip",
}
_KIND_OF_TYPE = {
    PhoneNumberType.FIXED_LINE: NumberKind.LOCAL,
    PhoneNumberType.FIXED_LINE_OR_MOBILE: NumberKind.LOCAL,
    PhoneNumberType.TOLL_FREE: NumberKind.TOLL_FREE,
    PhoneNumberType.MOBILE: NumberKind.MOBILE,
    PhoneNumberType.UAN: NumberKind.NATIONAL,
    PhoneNumberType.SHARED_COST: NumberKind.SHARED_COST,
    PhoneNumberType.VOIP: NumberKind.VOIP,
}
# Here mobile and fixed numbers share their ranges, texts reach both, and VoIP has no range to sell.
_NORTH_AMERICA = frozenset({"US", "CA"})
_FROM_NORTH_AMERICA = frozenset({NumberKind.LOCAL, NumberKind.TOLL_FREE})


@lru_cache(maxsize=1)
def countries() -> tuple[CountryCode, ...]:
    """Return the countries that have numbers, by their ISO codes; a few share all with another."""
    isos = sorted(phonenumbers.SUPPORTED_REGIONS)
    return tuple(CountryCode(iso, COUNTRY_NAMES.get(iso, iso)) for iso in isos)


@lru_cache(maxsize=_PLANS_MAX)
def kinds_of(country: str) -> frozenset[NumberKind]:
    """Return the kinds of numbers a country offers; none for an unknown country."""
    if country in _NORTH_AMERICA:
        return _FROM_NORTH_AMERICA
    return frozenset(kind for kind in _RANGES if _is_offered(country, kind))


def search(
    country: str,
    kind: NumberKind,
    *,
    criteria: Criteria,
    taken: Callable[[str], bool],
    limit: int = 50,
    page: int = 0,
) -> list[AvailableNumber]:
    """Find numbers of a kind that a country offers and nobody has taken.

    Refuses a malformed area code (21451), pattern or near number (21421); finds nothing where
    nothing fits.
    """
    quest = _quest(country, kind, criteria=criteria)
    capabilities = _capabilities(country, kind)
    if quest is None or not _suffices(capabilities, criteria):
        return []
    limit = min(limit, FOUND_MAX)
    found: list[AvailableNumber] = []
    skip = page * limit
    for number in _numbers(quest):
        if len(found) >= limit:
            break
        if taken(number) or not _is_genuine(number, country, kind=kind):
            continue
        if skip > 0:
            skip -= 1
            continue
        found.append(_available(number, country, kind=kind, criteria=criteria))
    return found


def kind_of(number: str) -> NumberKind:
    """Return the kind of an E.164 number; one that no plan lists counts as local."""
    if is_tollfree(number):
        return NumberKind.TOLL_FREE
    if country_of(number) in _NORTH_AMERICA or not _is_number(number):
        return NumberKind.LOCAL
    number_type = phonenumbers.number_type(phonenumbers.parse(number))
    return _KIND_OF_TYPE.get(number_type, NumberKind.LOCAL)


def describe(number: str) -> NumberFacts:
    """Say what an E.164 number is, whoever sold it."""
    country = country_of(number)
    kind = kind_of(number)
    return NumberFacts(
        phone_number=number,
        friendly_name=national_format(number),
        iso_country=country,
        kind=kind,
        region=_region(number),
        capabilities=_capabilities(country or "", kind),
    )


def _is_number(text: str) -> bool:
    address = parse_recipient(text)
    return address is not None and address.kind is AddressKind.NUMBER and address.text == text


def _is_offered(country: str, kind: NumberKind) -> bool:
    plan = _plan(country, kind)
    if plan is None:
        return False
    return _is_genuine(f"+{plan.calling_code}{plan.example}", country, kind=kind)


@lru_cache(maxsize=_PLANS_MAX)
def _plan(country: str, kind: NumberKind) -> _Plan | None:
    metadata = PhoneMetadata.metadata_for_region(country)
    if metadata is None or kind not in _RANGES:
        return None
    numbers = getattr(metadata, _RANGES[kind])
    if numbers is None or not numbers.example_number or not numbers.national_number_pattern:
        return None
    matches = re.compile(numbers.national_number_pattern)
    return _Plan(phonenumbers.country_code_for_region(country), numbers.example_number, matches)


def _quest(country: str, kind: NumberKind, *, criteria: Criteria) -> _Quest | None:
    """Turn a search into digits; None when nothing can fit."""
    pattern = _pattern(criteria.contains)
    plan = _plan(country, kind)
    if plan is None or kind not in kinds_of(country):
        return None
    wanted = _wanted_beginning(plan, criteria)
    if plan.calling_code == _NANP_CALLING_CODE:
        codes = _nanp_codes(country, kind, region=criteria.in_region)
        admitted = tuple(code for code in codes if wanted is None or code == wanted)
        beginnings = admitted
    else:
        admitted = (wanted or "",)
        beginnings = (wanted,) if wanted else _beginnings(plan.example)
    if not beginnings:
        return None
    seed = f"{country} {kind} {criteria.area_code} {pattern} {criteria.near_number}"
    return _Quest(
        seed=f"{seed} {criteria.in_region}",
        plan=plan,
        beginnings=beginnings,
        admitted=admitted,
        pattern=pattern,
    )


def _pattern(contains: str | None) -> str:
    """Turn letters into the digits of their keys."""
    if contains is None:
        return ""
    if not _PATTERN(contains):
        raise Refusal(21421, number=contains)
    return contains.upper().translate(_KEYPAD)


def _wanted_beginning(plan: _Plan, criteria: Criteria) -> str | None:
    """Return the digits that national numbers must begin with; the area code is the finer wish."""
    if criteria.area_code is not None:
        in_nanp = plan.calling_code == _NANP_CALLING_CODE
        if not (_NANP_AREA_CODE if in_nanp else _AREA_CODE)(criteria.area_code):
            raise Refusal(21451, number=criteria.area_code)
        return criteria.area_code
    if criteria.near_number is None:
        return None
    near = parse_recipient(criteria.near_number)
    prefix = f"+{plan.calling_code}"
    if near is None or not near.text.startswith(prefix):
        raise Refusal(21421, number=criteria.near_number)
    return near.text[len(prefix) :][:_NEAR_DIGITS]


def _nanp_codes(country: str, kind: NumberKind, *, region: str | None) -> tuple[str, ...]:
    if kind is NumberKind.TOLL_FREE:
        return tuple(sorted(TOLL_FREE_AREA_CODES))
    return area_codes(country, region.upper() if region else None)


def _beginnings(example: str) -> tuple[str, ...]:
    """Return beginnings of an example, from the one that leaves four digits open to the first."""
    return tuple(example[:kept] for kept in range(1, max(2, len(example) - 3)))


def _numbers(quest: _Quest) -> Iterator[str]:
    """Yield the numbers of a quest that fit the plan's pattern, each once."""
    plan = quest.plan
    seen: set[str] = set()
    for candidate in _candidates(quest):
        national = candidate[len(str(plan.calling_code)) :]
        if candidate in seen or not national.startswith(quest.admitted):
            continue
        if plan.calling_code == _NANP_CALLING_CODE and not _NANP_SUBSCRIBER(national[3:]):
            continue
        if plan.matches.fullmatch(national):
            seen.add(candidate)
            yield f"+{candidate}"


def _candidates(quest: _Quest) -> Iterator[str]:
    """Yield calling code and digits, drawn by a lot that never changes, the pattern in place."""
    code = str(quest.plan.calling_code)
    length = len(code) + len(quest.plan.example)
    places = _places(quest.pattern, code, length=length)
    if not places:
        return
    lot = blake2b(quest.seed.encode(), digest_size=32)
    for index in range(CANDIDATES_MAX):
        draw = lot.copy()
        draw.update(index.to_bytes(4, "big"))
        value = int.from_bytes(draw.digest(), "big")
        value, choice = divmod(value, len(quest.beginnings))
        value, place = divmod(value, len(places))
        candidate = (code + quest.beginnings[choice] + f"{value:040d}"[-20:])[:length]
        yield _overlaid(candidate, quest.pattern.strip(_META), at=places[place])


def _places(pattern: str, code: str, *, length: int) -> tuple[int, ...]:
    """Return where the pattern may stand without contradicting the calling code."""
    digits = pattern.strip(_META)
    last = length - len(digits)
    if last < 0:
        return ()
    starts = range(1) if re.match(r"\+[^%]", pattern) else range(last + 1)
    if re.search(r"[^%]\$$", pattern):
        starts = range(last, starts.stop)
    return tuple(at for at in starts if _overlaid(code, digits, at=at).startswith(code))


def _overlaid(digits: str, pattern: str, *, at: int) -> str:
    """Write the pattern over the digits, whose stars and outside stay."""
    written = "".join(
        digit if wish == "*" else wish for digit, wish in zip(digits[at:], pattern, strict=False)
    )
    return digits[:at] + written + digits[at + len(written) :]


def _is_genuine(number: str, country: str, *, kind: NumberKind) -> bool:
    """Ask the numbering plan itself, which knows of gaps and of ranges that kinds share."""
    # Some plans list numbers too short to be written in E.164.
    if not _is_number(number):
        return False
    parsed = phonenumbers.parse(number)
    number_type = phonenumbers.number_type(parsed)
    if _KIND_OF_TYPE.get(number_type) is not kind:
        return False
    # Toll-free numbers belong to the whole North American plan, which the library calls US.
    owner = phonenumbers.region_code_for_number(parsed)
    return owner == country or (kind is NumberKind.TOLL_FREE and country == "CA" and owner == "US")


def _capabilities(country: str, kind: NumberKind) -> Capabilities:
    """Say what numbers of a kind can do: texts need a mobile number where there are mobile ones."""
    in_north_america = country in _NORTH_AMERICA
    carries_sms = (
        kind is NumberKind.MOBILE
        or in_north_america
        or (kind is NumberKind.LOCAL and NumberKind.MOBILE not in kinds_of(country))
    )
    return Capabilities(voice=True, sms=carries_sms, mms=in_north_america, fax=False)


def _suffices(capabilities: Capabilities, criteria: Criteria) -> bool:
    """Tell whether a number can do all that is wished for; who wishes for no texts minds none.

    https://github.com/twilio/twilio-node/issues/344: the flags only ask for an ability.
    """
    wishes = (
        (criteria.voice_enabled, capabilities.voice),
        (criteria.sms_enabled, capabilities.sms),
        (criteria.mms_enabled, capabilities.mms),
        (criteria.fax_enabled, capabilities.fax),
    )
    return all(able or not wish for wish, able in wishes)


def _region(number: str) -> str | None:
    return region_of(number[2:5]) if number.startswith("+1") else None


def _region_found(number: str, wanted: str | None) -> str | None:
    """Return the region that was asked for, as area codes may serve two; else the number's own."""
    if wanted is None:
        return _region(number)
    return wanted.upper() if number.startswith("+1") else wanted


def _available(
    number: str, country: str, *, kind: NumberKind, criteria: Criteria
) -> AvailableNumber:
    return AvailableNumber(
        phone_number=number,
        friendly_name=national_format(number),
        iso_country=country,
        kind=kind,
        region=_region_found(number, criteria.in_region),
        locality=criteria.in_locality,
        rate_center=criteria.in_rate_center,
        lata=criteria.in_lata,
        postal_code=criteria.in_postal_code,
        latitude=None,
        longitude=None,
        capabilities=_capabilities(country, kind),
    )
