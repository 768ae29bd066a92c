"""The hashing profiles against vectors computed elsewhere, and URLs without addresses."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.collect.hashing import emails, phones, scrubbed

PERSON = "542d240129883c019e106e3b1b2d3f3cb3537c43c425364de8e951d5a3083345"
JANE_DOE = "831f6494ad6be4fcb3a724c3d5fef22d3ceffa3c62ef3a7984e45a0ea177f982"
JANEDOE = "d6117306485ed0e50afab3ac871e98f81699151f30281527d63ff5f233656c69"
JOHN_SMITH = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"

#: Addresses as they are written, and their digests by profile.
EMAILS: dict[str, dict[str, str]] = {
    "john_smith@gmail.com": {"meta": JOHN_SMITH, "google": JOHN_SMITH},
    "person@example.com": {"meta": PERSON, "google": PERSON},
    "jane.doe@gmail.com": {"meta": JANE_DOE, "google": JANEDOE},
    "janedoe@gmail.com": {"meta": JANEDOE, "google": JANEDOE},
}

#: Meta and Snap want digits alone; Google, TikTok and ECAPI a number with its +.
PHONE = {
    "meta": "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176",
    "e164": "1e231c66011e7a2d867a9cfae267a6aff103cf4913640b6e71a99850fc0ffbc8",
}


@pytest.mark.parametrize("address", EMAILS)
@pytest.mark.parametrize("written", ["{}", "  {}\t", "{upper}"])
def test_an_address_has_the_digest_of_each_profile(address: str, written: str) -> None:
    assert emails(written.format(address, upper=address.upper())) == EMAILS[address]


def test_google_drops_the_dots_of_its_own_hosts_and_of_no_other() -> None:
    for host, dotless in (("googlemail.com", True), ("example.com", False), ("gmail.com.example", False)):
        dotted, plain = emails(f"a.b.c@{host}"), emails(f"abc@{host}")
        assert dotted is not None and plain is not None
        assert (dotted["google"] == plain["google"], dotted["meta"] == plain["meta"]) == (dotless, False)


def test_no_profile_drops_what_follows_a_plus() -> None:
    """An older sample of Google's did, for every host: people with other addresses would have been met."""
    tagged, plain = emails("jane+shop@gmail.com"), emails("jane@gmail.com")
    assert tagged is not None and plain is not None
    assert set(tagged.values()).isdisjoint(plain.values())


@pytest.mark.parametrize(
    "number",
    ["16505551212", "+16505551212", "+1 (650) 555-1212", "0016505551212", "1 650.555.1212", "+۱۶۵۰۵۵۵۱۲۱۲"],
)
def test_a_phone_number_has_one_hash_however_it_is_written(number: str) -> None:
    assert phones(number) == PHONE


@pytest.mark.parametrize("number", ["", "call me", "+000123", "12", "+123456789012345678"])
def test_what_is_no_phone_number_has_no_hash(number: str) -> None:
    assert phones(number) is None


@pytest.mark.parametrize("address", ["", "nobody", "a b@example.com", "a@b", "@example.com", "a@b@c.d"])
def test_what_is_no_address_has_no_hash(address: str) -> None:
    assert emails(address) is None


@pytest.mark.parametrize("digest", [PERSON, JANEDOE, *PHONE.values()])
@pytest.mark.parametrize("written", [str, str.upper, "  {} ".format])
def test_a_hash_stays_as_it_is_however_often_it_is_hashed(digest: str, written: Callable[[str], str]) -> None:
    """It is taken for the most usual profile: nobody can tell which one its sender followed."""
    assert emails(written(digest)) == phones(written(digest)) == {"meta": digest}
    again = emails(emails(written(digest))["meta"])  # type: ignore[index]
    assert again == {"meta": digest}


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
