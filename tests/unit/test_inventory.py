"""Numbers for sale, made up by the numbering plans."""

import re

import phonenumbers
import pytest

from trunkline.domain.countries import COUNTRY_NAMES
from trunkline.domain.errors import Refusal
from trunkline.domain.inventory import (
    FOUND_MAX,
    Criteria,
    NumberKind,
    countries,
    describe,
    kind_of,
    kinds_of,
    search,
)
from trunkline.domain.nanp import TOLL_FREE_AREA_CODES

LOCAL, MOBILE, TOLL_FREE = NumberKind.LOCAL, NumberKind.MOBILE, NumberKind.TOLL_FREE


def nobody(_number):
    return False


def numbers(country, kind, criteria=None, **rest):
    found = search(country, kind, criteria=criteria or Criteria(), taken=nobody, **rest)
    return [number.phone_number for number in found]


def test_every_country_of_the_library_has_a_name():
    assert set(COUNTRY_NAMES) == set(phonenumbers.SUPPORTED_REGIONS)
    assert [country.iso for country in countries()] == sorted(phonenumbers.SUPPORTED_REGIONS)
    assert {country.iso: country.name for country in countries()}["DE"] == "Germany"


def test_kinds_of_numbers():
    assert kinds_of("US") == kinds_of("CA") == {LOCAL, TOLL_FREE}
    assert kinds_of("GB") >= {LOCAL, MOBILE, TOLL_FREE, NumberKind.NATIONAL}
    assert kinds_of("ZZ") == frozenset()
    assert not any(NumberKind.MACHINE_TO_MACHINE in kinds_of(c.iso) for c in countries())


@pytest.mark.parametrize(
    ("country", "kind"),
    [(c, k) for c in ("US", "CA", "GB", "DE", "FR", "PR", "JM", "BR", "AU") for k in NumberKind],
)
def test_found_numbers_are_valid_and_of_their_kind(country, kind):
    found = numbers(country, kind)
    assert bool(found) == (kind in kinds_of(country))
    assert len(found) == len(set(found)) <= 50
    for number in found:
        assert phonenumbers.is_valid_number(phonenumbers.parse(number))
        assert kind_of(number) is kind


def test_no_number_of_fiction_or_service_is_offered():
    for number in numbers("US", LOCAL, limit=FOUND_MAX) + numbers("US", TOLL_FREE):
        assert number[5:10] != "55501"
        assert not number[5:8].endswith("11")
    assert numbers("US", LOCAL, Criteria(contains="4155550100")) == []
    assert numbers("US", LOCAL, Criteria(contains="510555****"))


def test_the_same_search_finds_the_same_and_pages_follow_each_other():
    first, second = numbers("US", LOCAL, limit=20), numbers("US", LOCAL, limit=20, page=1)
    assert first + second == numbers("US", LOCAL, limit=40)
    assert first == numbers("US", LOCAL, limit=20)
    assert numbers("US", LOCAL, Criteria(area_code="415"), limit=5) != numbers(
        "US", LOCAL, Criteria(area_code="212"), limit=5
    )


def test_a_page_has_a_limit():
    assert len(numbers("US", LOCAL, limit=10 * FOUND_MAX)) == FOUND_MAX


def test_taken_numbers_are_left_out():
    first = numbers("US", LOCAL, limit=10)
    left = search("US", LOCAL, criteria=Criteria(), taken=set(first[:5]).__contains__, limit=5)
    assert [number.phone_number for number in left] == first[5:]


def test_an_area_code_is_kept():
    assert all(n.startswith("+1415") for n in numbers("US", LOCAL, Criteria(area_code="415")))
    assert all(n.startswith("+1833") for n in numbers("US", TOLL_FREE, Criteria(area_code="833")))
    assert all(n.startswith("+4420") for n in numbers("GB", LOCAL, Criteria(area_code="20")))
    assert numbers("US", LOCAL, Criteria(area_code="500")) == []
    assert numbers("US", LOCAL, Criteria(area_code="416")) == []


@pytest.mark.parametrize("area_code", ["", "41", "4155", "abc", "115", "٤١٥"])
def test_a_malformed_area_code_is_refused(area_code):
    with pytest.raises(Refusal) as refusal:
        numbers("US", LOCAL, Criteria(area_code=area_code))
    assert refusal.value.code == 21451


@pytest.mark.parametrize(
    ("country", "kind", "contains", "digits"),
    [
        ("US", LOCAL, "CALL", "2255"),
        ("US", LOCAL, "call", "2255"),
        ("US", LOCAL, "7777777", "7777777"),
        ("US", LOCAL, "415***1234", "415...1234"),
        ("US", LOCAL, "1212*******", "1212......."),
        ("US", TOLL_FREE, "HELP", "4357"),
        ("GB", MOBILE, "STARS", "78277"),
        ("FR", MOBILE, "336", "336"),
    ],
)
def test_a_pattern_stands_somewhere_in_the_number(country, kind, contains, digits):
    found = numbers(country, kind, Criteria(contains=contains))
    assert len(found) == 50
    assert all(re.search(digits, number) for number in found)


@pytest.mark.parametrize(
    ("contains", "whole"),
    [
        ("+1415", r"\+1415\d{7}"),
        ("+1***867", r"\+1\d{3}867\d{4}"),
        ("2671$", r"\+1\d{6}2671"),
        ("TAXI$", r"\+1\d{6}8294"),
        ("+1415*******$", r"\+1415\d{7}"),
        ("%867%", r"\+1\d*867\d*"),
        ("+%867%$", r"\+1\d*867\d*"),
    ],
)
def test_a_pattern_can_be_held_to_an_end_of_the_number(contains, whole):
    found = numbers("US", LOCAL, Criteria(contains=contains))
    assert len(found) == 50
    assert all(re.fullmatch(whole, number) for number in found)


@pytest.mark.parametrize("contains", ["+44", "+415", "+1415$", "+141551626712$"])
def test_a_pattern_held_to_an_end_can_contradict_the_plan(contains):
    assert numbers("US", LOCAL, Criteria(contains=contains)) == []


def test_a_whole_number_is_found_once_and_a_contradiction_never():
    for contains in ("14155162671", "+14155162671", "+14155162671$"):
        assert numbers("US", LOCAL, Criteria(contains=contains)) == ["+14155162671"]
    assert numbers("US", LOCAL, Criteria(contains="4475551234567")) == []
    assert numbers("US", LOCAL, Criteria(contains="415516267", area_code="212")) == []


@pytest.mark.parametrize(
    "contains", ["", "1", "1" * 17, "12-34", "12?4", "äöü", "1+2", "12$4", "+", "+$"]
)
def test_a_malformed_pattern_is_refused(contains):
    with pytest.raises(Refusal) as refusal:
        numbers("US", LOCAL, Criteria(contains=contains))
    assert refusal.value.code == 21421


def test_near_numbers_share_the_area_code():
    near = Criteria(near_number="+1 415 555 2671")
    assert all(number.startswith("+1415") for number in numbers("US", LOCAL, near))
    for elsewhere in ("nonsense", "+447400123456"):
        with pytest.raises(Refusal) as refusal:
            numbers("US", LOCAL, Criteria(near_number=elsewhere))
        assert refusal.value.code == 21421


def test_a_region_has_its_area_codes():
    found = search("US", LOCAL, criteria=Criteria(in_region="vt"), taken=nobody)
    assert found
    assert all(n.phone_number.startswith("+1802") and n.region == "VT" for n in found)
    yukon = search("CA", LOCAL, criteria=Criteria(in_region="YT"), taken=nobody, limit=1)
    assert [(n.phone_number[2:5], n.region) for n in yukon] == [("867", "YT")]
    assert numbers("US", LOCAL, Criteria(in_region="ON")) == []


def test_places_are_echoed_and_regions_told():
    criteria = Criteria(
        area_code="415",
        in_locality="San Francisco",
        in_postal_code="94105",
        in_rate_center="SNFC",
        in_lata="722",
    )
    (number,) = search("US", LOCAL, criteria=criteria, taken=nobody, limit=1)
    assert number.region == "CA"
    assert number.locality == "San Francisco"
    assert number.postal_code == "94105"
    assert number.rate_center == "SNFC"
    assert number.lata == "722"
    assert re.fullmatch(r"\(415\) \d{3}-\d{4}", number.friendly_name)


def test_capabilities_filter():
    assert numbers("US", LOCAL, Criteria(sms_enabled=True, mms_enabled=True, voice_enabled=True))
    assert numbers("US", LOCAL, Criteria(fax_enabled=True)) == []
    assert numbers("GB", LOCAL, Criteria(sms_enabled=True)) == []
    assert numbers("GB", LOCAL, Criteria(sms_enabled=False))
    # To do without is no wish for a number that cannot.
    assert numbers("US", LOCAL, Criteria(sms_enabled=False, voice_enabled=False))
    assert numbers("GB", MOBILE, Criteria(sms_enabled=True))


def test_toll_free_numbers_of_canada_are_those_of_the_plan():
    found = numbers("CA", TOLL_FREE)
    assert found
    assert all(number[2:5] in TOLL_FREE_AREA_CODES for number in found)


def test_any_number_can_be_described():
    toronto = describe("+14165550100")
    assert (toronto.iso_country, toronto.kind, toronto.region) == ("CA", LOCAL, "ON")
    assert toronto.friendly_name == "(416) 555-0100"
    assert toronto.capabilities.sms
    mobile = describe("+447400123456")
    assert (mobile.iso_country, mobile.kind, mobile.region) == ("GB", MOBILE, None)
    assert kind_of("+18885551234") is TOLL_FREE
    assert kind_of("+15005550006") is LOCAL
    assert kind_of("12345") is LOCAL
