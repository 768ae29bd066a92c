"""What a field may hold: exactly, or not at all."""

import unicodedata
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from app import money
from app.campaigns import fields

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters()), st.lists(st.integers())
)


def code_of(check: object, value: object) -> str:
    """The code with which `check` refuses `value`; "" when it takes it."""
    try:
        check(value)  # type: ignore[operator]
    except PydanticCustomError as error:
        return error.type
    return ""


@pytest.mark.parametrize("slug", ["a", "2026", "vår-2026", "весна", "बसंत", "mùa_xuân", "بهار", "v1.2", "ıİ"])
def test_slugs_of_any_script_are_kept_in_nfc(slug: str) -> None:
    assert fields.slug(unicodedata.normalize("NFD", slug)) == unicodedata.normalize("NFC", slug)


@pytest.mark.parametrize(
    "slug",
    [
        "",
        "-",
        "..",
        "a b",
        "a/b",
        "a\0",
        "\ud800",
        "a" * 101,
        "\u0301a",
        "a\u200d",
        "🙂",
        "a\n",
        "%41",
        "a?b",
    ],
)
def test_what_cannot_stand_in_a_path_is_no_slug(slug: str) -> None:
    assert code_of(fields.slug, slug) == "slug_invalid"


@given(st.text())
def test_a_slug_that_was_taken_is_taken_again_unchanged(text: str) -> None:
    if not code_of(fields.slug, text):
        assert fields.slug(fields.slug(text)) == fields.slug(text)


@given(st.decimals(min_value=0, max_value=9_000_000, places=6))
def test_an_amount_is_exact_as_text_and_comes_back_as_told(value: Decimal) -> None:
    micros = fields.amount(f"{value:f}")
    assert micros == int(value * 1_000_000)
    assert Decimal(fields.decimal_text(micros)) == value


@given(st.integers(min_value=0, max_value=999_999_999_999_999))
def test_a_json_number_of_fifteen_digits_is_exact(micros: int) -> None:
    assert fields.amount(micros / 1_000_000) == micros


@given(ANYTHING)
@example(float("nan"))
@example(float("inf"))
@example(-0.0)
@example(10**5000)
@example(-1)
@example(True)
@example("1_000")
@example("١٢")
@example("1,5")
@example("1e999999999")
@example("NaN")
@example(0.1234567)
@example(2**63)
def test_an_amount_is_a_number_of_64_bits_or_refused(value: object) -> None:
    if not code_of(fields.amount, value):
        assert 0 <= fields.amount(value) <= money.LARGEST
    else:
        assert code_of(fields.amount, value).startswith("amount_")


@pytest.mark.parametrize(
    "value, code",
    [
        (0.1 + 0.2, "amount_ambiguous"),
        (12345678901.123456, "amount_ambiguous"),
        ("0.0000001", "amount_invalid"),
        (-0.01, "amount_negative"),
        (float("nan"), "amount_invalid"),
        (1e309, "amount_invalid"),
        (True, "amount_invalid"),
        (None, "amount_invalid"),
        ("1,5", "amount_invalid"),
    ],
)
def test_an_amount_that_is_not_exact_is_refused_by_name(value: object, code: str) -> None:
    assert code_of(fields.amount, value) == code


@pytest.mark.parametrize("value, parts", [("0", 0), ("0.25", 250_000), (1, 1_000_000), (0.000001, 1)])
def test_a_fraction_is_parts_per_million(value: object, parts: int) -> None:
    assert fields.fraction(value) == parts


def test_a_fraction_is_at_most_one() -> None:
    assert code_of(fields.fraction, "1.000001") == "fraction_invalid"


@pytest.mark.parametrize("text", ["2026-11-01", "1970-01-01", "2199-12-31", "2028-02-29"])
def test_a_date_comes_back_as_told(text: str) -> None:
    assert fields.day_text(fields.day(text)) == text


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-31",
        "2026-1-1",
        "20261101",
        "1969-12-31",
        "2200-01-01",
        "२०२६-११-०१",
        "2026-11-01T00:00",
        20,
        None,
        True,
    ],
)  # fmt: skip
def test_other_dates_are_refused(value: object) -> None:
    assert code_of(fields.day, value) == "date_invalid"


@pytest.mark.parametrize(
    "url",
    [
        "", "https://shop.example", "http://shop.example:8080/a?b={click_id}#c", "https://[2001:db8::1]/",
        "HTTPS://Shop.Example/Ærlig?q=å", "https://пример.example/", "http://localhost/",
    ],
)  # fmt: skip
def test_addresses_of_the_web_are_taken_as_they_are(url: str) -> None:
    assert fields.url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "ftp://shop.example/", "//shop.example/", "/path", "shop.example", "https://",
        "https://user:secret@shop.example/", "https://user@shop.example/", "https://shop.example\\@evil.example",
        "https://shop example/", "https://shop.example/a b", "https://[::1/", "https://shop.example:99999/",
        "https://shop.example:x/", "https://{click_id}.example/", "https://-a.example/", "https://a..b/",
        "data:text/html,x", "https://shop.example:0/",
    ],
)  # fmt: skip
def test_addresses_that_lead_elsewhere_are_refused(url: str) -> None:
    assert code_of(fields.url, url) == "url_invalid"


@given(st.text())
def test_no_text_breaks_the_reading_of_an_address(text: str) -> None:
    for check in (fields.url, fields.host, fields.origin):
        assert code_of(check, text) in (
            "",
            "url_invalid",
            "host_invalid",
            "origin_invalid",
            "text_unprintable",
        )
        code_of(check, f"https://{text}")


@pytest.mark.parametrize(
    "origin, kept",
    [
        ("https://Shop.Example", "https://shop.example"),
        ("http://localhost:3000/", "http://localhost:3000"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(origin: str, kept: str) -> None:
    assert fields.origin(origin) == kept


@pytest.mark.parametrize(
    "origin", ["", "*", "null", "shop.example", "https://shop.example/a", "https://a.example?b"]
)
def test_an_origin_is_nothing_more_than_one(origin: str) -> None:
    assert code_of(fields.origin, origin) == "origin_invalid"


def test_text_is_kept_in_nfc_without_white_space_around_it() -> None:
    assert fields.clean("  Cafe\u0301 می\u200cخواهم ", limit=50) == "Café می\u200cخواهم"


@pytest.mark.parametrize("text", ["a\0b", "a\x1bb", "\ud800", "a\nb"])
def test_text_that_a_store_could_not_hold_is_refused(text: str) -> None:
    assert code_of(lambda value: fields.clean(value, limit=50), text) == "text_unprintable"


@pytest.mark.parametrize("zone", ["Europe/Oslo", "Asia/Kathmandu", "UTC", "America/Argentina/Ushuaia"])
def test_iana_zones_are_known(zone: str) -> None:
    assert fields.zone(zone) == zone


@pytest.mark.parametrize("zone", ["", "oslo", "europe/oslo", "localtime", "../../etc/passwd", "+02:00", "\0"])
def test_other_zones_are_not(zone: str) -> None:
    assert code_of(fields.zone, zone) == "timezone_unknown"


@pytest.mark.parametrize("code, kept", [("EUR", "EUR"), ("nok", "NOK"), ("IRR", "IRR")])
def test_currencies_are_those_of_iso_4217(code: str, kept: str) -> None:
    assert fields.currency(code) == kept


@pytest.mark.parametrize("code", ["", "XYZ", "EURO", "€", "ﬀu", "\u0130RR"])
def test_other_currencies_are_unknown(code: str) -> None:
    assert code_of(fields.currency, code) == "currency_unknown"


def test_a_refusal_names_the_field_and_not_its_value() -> None:
    error = {
        "loc": ("body", "rows", 3, "\ud800secret"),
        "type": "extra_forbidden",
        "msg": "Extra",
        "input": "x",
    }
    refusal = fields.refusal([error])
    assert refusal.code == "field_unknown"
    assert refusal.field == "rows.3.\\ud800secret"
