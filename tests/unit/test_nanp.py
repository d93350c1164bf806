"""Area codes of the North American plan."""

from collections import Counter

from trunkline.domain.nanp import (
    AREA_CODES_BY_REGION,
    COUNTRY_BY_AREA_CODE,
    TOLL_FREE_AREA_CODES,
    area_codes,
    overlays_of,
    region_of,
)


def test_every_state_and_province_has_area_codes():
    countries = Counter(country for country, _ in AREA_CODES_BY_REGION)
    assert countries == {"US": 51, "CA": 13}
    assert all(AREA_CODES_BY_REGION.values())


def test_area_codes_are_well_formed_and_belong_to_one_region():
    shared = {"782", "902", "867"}
    counts = Counter(code for codes in AREA_CODES_BY_REGION.values() for code in codes)
    assert {code for code, regions in counts.items() if regions > 1} == shared
    for code in COUNTRY_BY_AREA_CODE:
        assert len(code) == 3
        assert code.isdigit()
        assert "2" <= code[0] <= "9"
        assert not code.endswith("11")
        assert code not in TOLL_FREE_AREA_CODES


def test_regions_of_area_codes():
    assert region_of("212") == "NY"
    assert region_of("415") == "CA"
    assert region_of("416") == "ON"
    assert region_of("902") == "NS"
    assert region_of("787") is None
    assert region_of("800") is None


def test_area_codes_of_a_country_or_region():
    assert area_codes("US", "RI") == ("401",)
    assert area_codes("CA", "YT") == ("867",)
    assert area_codes("US", "ON") == ()
    assert area_codes("PR") == ("787", "939")
    assert len(area_codes("US")) > 350
    assert area_codes("GB") == ()


def test_area_codes_lie_over_others_of_their_region():
    """A number of one and a number of the other are neighbours, so it goes both ways."""
    for code in COUNTRY_BY_AREA_CODE:
        overlays = overlays_of(code)
        assert code in overlays
        assert {region_of(other) for other in overlays} == {region_of(code)}
        assert all(code in overlays_of(other) for other in overlays)
    assert overlays_of("212") == {"212", "332", "646", "917"}
    assert overlays_of("917") == overlays_of("212") | overlays_of("718")
    assert overlays_of("907") == {"907"}
    assert overlays_of("800") == {"800"}
