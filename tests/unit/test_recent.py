"""What is remembered of messages on their way."""

from trunkline.flows.recent import Recent


def test_a_name_that_was_given_away_again_stays_expected() -> None:
    """An SMSC may call two texts the same before the first of them is recorded."""
    recent = Recent()
    recent.expect_refs("one", {"1": "SM1", "2": "SM1"})
    recent.expect_refs("one", {"1": "SM2"})
    recent.expect_no_more("one", {"1": "SM1", "2": "SM1"})
    assert (recent.coming("one", "1"), recent.coming("one", "2")) == ("SM2", None)
    assert recent.coming("two", "1") is None
    recent.expect_no_more("one", {"1": "SM2"})
    assert recent.coming("one", "1") is None
