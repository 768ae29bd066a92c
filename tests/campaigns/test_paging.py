"""A cursor goes out and comes back; any other text is refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.campaigns import paging
from app.errors import InvalidInput

TEXT = st.text(st.characters(blacklist_categories=["Cc", "Cs", "Cn", "Co", "Cf", "Z"]), max_size=50)


@given(st.integers(0, 2**63 - 1), TEXT)
def test_a_cursor_gives_back_the_key_it_was_made_of(number: int, text: str) -> None:
    assert paging.key_of(paging.cursor_of((number, text)), int, str) == (number, text)


@given(st.text(st.characters()))
def test_any_other_text_is_refused_or_is_a_key(text: str) -> None:
    key: object = None
    with contextlib.suppress(InvalidInput):
        key = paging.key_of(text, int)
    assert key is None or isinstance(key, tuple)


@pytest.mark.parametrize(
    "key", [(), (1, 2), ("1",), (True,), (1.5,), (None,), ([],), (2**64,), (-(2**64),)], ids=repr
)
def test_a_key_of_another_shape_is_refused(key: tuple[object, ...]) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        paging.key_of(paging.cursor_of(key), int)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_a_key_with_text_no_store_takes_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        paging.key_of(paging.cursor_of((text,)), str)


def test_there_is_no_cursor_behind_the_last_page() -> None:
    assert paging.next_cursor([(1,), (2,)], 2) is None
    assert paging.next_cursor([(1,), (2,), (3,)], 2) == paging.cursor_of((2,))
