"""Click ids carry a touch that only the workspace can have made."""

from hypothesis import given
from hypothesis import strategies as st

from app.campaigns.clickid import LENGTH, ClickId, make_click_id, read_click_id

SECRET = b"s" * 32
small = st.integers(0, 2**32 - 1)
large = st.integers(0, 2**63 - 1)
clicks = st.builds(
    ClickId, workspace=small, campaign_id=small, ad_id=small, partner_id=small, occurred_at=large, no=large
)


@given(clicks)
def test_what_was_signed_is_read_back(click: ClickId) -> None:
    text = make_click_id(click, SECRET)
    assert len(text) == LENGTH
    assert read_click_id(text, SECRET) == click


@given(clicks, st.integers(0, LENGTH - 1), st.sampled_from("AQgw09-_az"))
def test_no_other_character_in_any_place_is_valid(click: ClickId, place: int, other: str) -> None:
    text = make_click_id(click, SECRET)
    forged = text[:place] + other + text[place + 1 :]
    assert (read_click_id(forged, SECRET) is None) == (forged != text)


@given(clicks)
def test_another_workspaces_secret_reads_nothing(click: ClickId) -> None:
    assert read_click_id(make_click_id(click, SECRET), b"t" * 32) is None


@given(st.text(max_size=90))
def test_any_text_whatever_is_no_click_id(text: str) -> None:
    assert read_click_id(text, SECRET) is None


@given(clicks)
def test_cut_and_lengthened_texts_are_none(click: ClickId) -> None:
    text = make_click_id(click, SECRET)
    assert read_click_id(text[:-1], SECRET) is None
    assert read_click_id(text + "A", SECRET) is None
    assert read_click_id(text + "=", SECRET) is None
