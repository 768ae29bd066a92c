"""Which addresses may be asked: the public internet's, in one spelling each, and what is listed."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.check.address import Allowed, Target, allowed, is_public, pinned, target
from app.model import Rejected
from app.settings import Settings

INTERNAL = """
    127.0.0.1 127.1.2.3 0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255
    169.254.169.254 169.254.0.1 172.16.0.1 172.31.255.255 192.168.0.1 192.0.0.1 192.0.0.192 192.0.2.1
    192.88.99.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1
    255.255.255.255 168.63.129.16
    :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1
    64:ff9b::a00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1 2001:db8::1 2002:7f00:1:: 2002:a00:1::
    3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 febf::1 fec0::1 ff02::1 4000::1 8000::1
""".split()
PUBLIC = """
    1.1.1.1 8.8.8.8 93.184.216.34 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 192.167.1.1 223.255.255.1
    2606:4700::1 2a00:1450::1 2400:cb00::1 ::ffff:8.8.8.8 64:ff9b::808:808
""".split()

#: Spellings of 127.0.0.1 and its like that some resolver would understand, and things that are no address.
REFUSED = r"""
    http://2130706433/ http://0x7f000001/ http://0x7f.0.0.1/ http://0177.0.0.1/ http://017700000001/
    http://127.1/ http://127.0.1/ http://127.0.0.1.0x/ http://0/ http://0x/ http://1.2.3.4.5/ http://256.1.1.1/
    http://[fe80::1%25eth0]/ http://[::1%lo]/ http://[::1/ http://user@shop.example/ http://a:b@shop.example/
    http://@shop.example/ http://shop.example@127.0.0.1/ http://shop.example\@127.0.0.1/ http:///x
    http://127.0.0.1\.shop.example/ file:///etc/passwd gopher://127.0.0.1:70/ ftp://shop.example/
    javascript:alert(1) data:text/html,x shop.example //shop.example/ http:/shop.example http:shop.example
    http://-shop.example/ http://sh..op.example/ http://shop.example:0x50/ http://shop.example:99999/
    http://sh%6fp.example/ http://127.0.0.1%00.shop.example/ http://a_b!.example/ http:// http://.
""".split()


@pytest.mark.parametrize("address", INTERNAL)
def test_an_internal_address_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))
    assert isinstance(pinned("shop.example", [address], Allowed()), Rejected)
    assert isinstance(pinned("shop.example", ["1.1.1.1", address], Allowed()), Rejected)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_public_internet_is_asked_as_it_was_judged(address: str) -> None:
    assert pinned("shop.example", [address, "1.1.1.1"], Allowed()) == str(ip_address(address))


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_nothing_is_public_that_the_standard_library_knows_to_be_private(
    address: IPv4Address | IPv6Address,
) -> None:
    assert not (is_public(address) and address.is_private and getattr(address, "ipv4_mapped", None) is None)


@given(st.ip_addresses(v=4))
def test_an_address_in_the_clothes_of_another_is_judged_as_what_it_is(address: IPv4Address) -> None:
    for wrapped in (f"::ffff:{address}", IPv6Address((0x64FF9B << 96) | int(address))):
        assert is_public(ip_address(wrapped)) == is_public(address)
    assert not is_public(IPv6Address((0x2002 << 112) | (int(address) << 80)))


@pytest.mark.parametrize("url", REFUSED)
def test_an_address_that_is_not_plainly_one_of_the_web_is_refused(url: str) -> None:
    refused = target(url, Allowed(everything=True))
    assert isinstance(refused, Rejected) and refused.code == "url_invalid" and refused.field == "url"


@pytest.mark.parametrize(
    "url", ["http://a.example/ x", "http://a.example/\n", "http://a.example/\t", "http://a\0b/"]
)
def test_no_control_character_and_no_space_passes(url: str) -> None:
    assert isinstance(target(url, Allowed(everything=True)), Rejected)


@given(st.text(max_size=60))
def test_whatever_text_it_is_the_answer_is_a_value(text: str) -> None:
    for url in (text, f"http://{text}/", f"http://shop.example/{text}", f"http://shop.example:{text}"):
        found = target(url, Allowed(everything=True))
        assert isinstance(found, Target | Rejected)
        assert isinstance(found, Rejected) or found.url.isascii()


def test_only_the_usual_ports_and_our_own() -> None:
    ours = allowed("", "https://t.example:8443/x")
    assert ours.ports == {80, 443, 8443}
    assert isinstance(target("https://shop.example:8443/", ours), Target)
    refused = target("https://shop.example:22/", ours)
    assert isinstance(refused, Rejected) and "80, 443, 8443, not 22" in refused.message


def test_what_an_operator_lists_may_be_asked_and_nothing_beside_it() -> None:
    some = allowed("intern.example, 10.1.0.0/16, ::1")
    for url, addresses in (
        ("http://intern.example:8080/", ["192.168.1.1"]),
        ("http://10.1.2.3:9000/", ["10.1.2.3"]),
        ("http://[::1]:9000/", ["::1"]),
        ("http://other.example/", ["10.1.2.3"]),
    ):
        place = target(url, some)
        assert isinstance(place, Target) and pinned(place.host, addresses, some) == addresses[0]
    assert isinstance(
        target("http://10.2.0.1:9000/", some), Rejected
    )  # a port that only listed ones may have
    assert isinstance(pinned("10.2.0.1", ["10.2.0.1"], some), Rejected)
    assert isinstance(pinned("sub.intern.example", ["10.2.0.1"], some), Rejected)


def test_a_name_that_does_not_resolve_is_told_like_one_that_is_internal() -> None:
    assert pinned("a.example", [], Allowed()) == pinned("a.example", ["10.0.0.1"], Allowed())


@pytest.mark.parametrize(
    "said", ["10.0.0.1/8", "http://a.example", "a b", "10.0.0", "a.example:80", "1.2.3.4.5"]
)
def test_a_setting_that_names_no_place_is_refused_by_name(said: str) -> None:
    with pytest.raises(ValueError, match="neither a host name nor a network"):
        Settings(check_hosts=said)
    with pytest.raises(ValueError, match="neither a host name nor a network"):
        allowed(said)


@pytest.mark.parametrize("said", ["", "10.0.0.0/8, a.example", "bücher.example,::1,127.0.0.1", "a-b.c_d"])
def test_a_setting_that_names_places_is_taken(said: str) -> None:
    assert Settings(check_hosts=said).check_hosts == said
    allowed(said)
