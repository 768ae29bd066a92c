"""The hashing profiles against vectors computed elsewhere, and URLs without addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.collect.hashing import emails, phones, scrubbed

VECTORS = {
    "john_smith@gmail.com": "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f",
    "person@example.com": "542d240129883c019e106e3b1b2d3f3cb3537c43c425364de8e951d5a3083345",
    "jane.doe@gmail.com": "831f6494ad6be4fcb3a724c3d5fef22d3ceffa3c62ef3a7984e45a0ea177f982",
}


@pytest.mark.parametrize("address, expected", VECTORS.items())
def test_meta_hashes_the_trimmed_lower_case_address(address: str, expected: str) -> None:
    assert emails(f"  {address.upper()} ")["meta"] == expected  # type: ignore[index]


def test_google_drops_the_dots_of_gmail_and_of_no_other_host() -> None:
    janedoe = "d6117306485ed0e50afab3ac871e98f81699151f30281527d63ff5f233656c69"
    assert emails("jane.doe@gmail.com")["google"] == janedoe  # type: ignore[index]
    other = emails("jane.doe@example.com")
    assert other is not None and other["google"] == other["meta"]


@pytest.mark.parametrize("number", ["+1 (650) 555-1212", "0016505551212", "1 650.555.1212", "+۱۶۵۰۵۵۵۱۲۱۲"])
def test_a_phone_number_has_one_hash_however_it_is_written(number: str) -> None:
    assert phones(number) == {
        "meta": "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176",
        "e164": "1e231c66011e7a2d867a9cfae267a6aff103cf4913640b6e71a99850fc0ffbc8",
    }


@pytest.mark.parametrize("number", ["", "call me", "+000123", "12", "+123456789012345678"])
def test_what_is_no_phone_number_has_no_hash(number: str) -> None:
    assert phones(number) is None


@pytest.mark.parametrize("address", ["", "nobody", "a b@example.com", "a@b", "@example.com", "a@b@c.d"])
def test_what_is_no_address_has_no_hash(address: str) -> None:
    assert emails(address) is None


def test_a_hash_stays_as_it_is() -> None:
    assert emails(VECTORS["person@example.com"].upper()) == {"meta": VECTORS["person@example.com"]}


@pytest.mark.parametrize(
    "url, expected",
    [
        ("https://a.example/x?e=jo.e+1@mail.example.com&b=2", "https://a.example/x?e=(email)&b=2"),
        ("https://a.example/x?e=jo%40mail.example&b=2", "https://a.example/x?e=(email)&b=2"),
        ("https://a.example/x?e=jo%2B1%2540mail.example", "https://a.example/x?e=(email)"),
        ("https://user:secret@a.example/x", "https://a.example/x"),
        ("https://a.example/@handle/post", "https://a.example/@handle/post"),
        ("mailto:jo@mail.example", "mailto:(email)"),
    ],
)
def test_addresses_and_passwords_are_taken_out_of_urls(url: str, expected: str) -> None:
    assert scrubbed(url) == expected


@given(st.text(alphabet="a.%@+/?=&2540:", max_size=300))
def test_no_address_survives_scrubbing(noise: str) -> None:
    assert "jo@mail.example" not in scrubbed(f"https://a.example/?{noise}&e=jo@mail.example")
