"""Queries and url-encoded forms, as the standard library reads them."""

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.api.forms import FIELDS_MAX, parse_query
from trunkline.domain.errors import Refusal

pairs = st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=8)


@given(pairs)
def test_what_was_encoded_is_read_back(given: list[tuple[str, str]]) -> None:
    """Names and values of any characters, in their order, repeated or empty."""
    assert parse_query(urlencode(given).encode()) == given


@given(st.one_of(st.binary(), st.text(alphabet="a=&+%20fFé;\0", max_size=40).map(str.encode)))
def test_what_is_badly_encoded_is_read_as_elsewhere(query: bytes) -> None:
    """Half escapes stay as they are; octets that are not UTF-8 are replaced."""
    text = query.decode("utf-8", "replace")
    assert parse_query(query) == parse_qsl(text, keep_blank_values=True)


def test_too_many_pairs_are_refused() -> None:
    """One more than there may be."""
    assert len(parse_query(b"&".join([b"a=b"] * FIELDS_MAX))) == FIELDS_MAX
    with pytest.raises(Refusal) as refusal:
        parse_query(b"&".join([b"a=b"] * (FIELDS_MAX + 1)))
    assert refusal.value.code == 20001
