"""Money: integer micro-units of an ISO 4217 currency, and its exact division.

No I/O and no float anywhere: a float near money is how cents disappear. An amount is an `int` of
10^-6 units; it fits 64 bits. Sums may not (a year of rial sales passes 2^63), so aggregates are kept
as two columns `(high, low)` with the value `high * BASE + low`.
"""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction

MICROS = 1_000_000
BASE = 10**12
LARGEST = 2**63 - 1

#: ISO 4217 codes in use, by the number of decimals their coins have. Amounts of any of them may
#: still be stated to 10^-6: prices per click are smaller than the smallest coin.
CURRENCIES: dict[str, int] = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys(
        "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD "
        "CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD "
        "GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD "
        "MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP "
        "PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS "
        "TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG".split(),
        2,
    ),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}


class InexactAmount(ValueError):
    """The text is not a number, is not exact to 10^-6, or passes 64 bits."""


def parse_amount(text: str | int | Decimal) -> int:
    """Micro-units of a decimal such as "12.50". Exact, or `InexactAmount`; commas are refused.

    A long exponent is refused before it is expanded: "1e999999999" would otherwise cost memory.
    """
    if isinstance(text, str):
        text = text.strip()
        if len(text) > 40 or not text.isascii() or "_" in text:
            raise InexactAmount("is not a decimal number")
    try:
        number = Decimal(text)
    except (InvalidOperation, ValueError) as error:
        raise InexactAmount("is not a decimal number") from error
    if not number.is_finite():
        raise InexactAmount("is not a finite number")
    if number and not -7 < number.adjusted() < 19:
        raise InexactAmount("is out of range")
    scaled = number.scaleb(6)
    if scaled != scaled.to_integral_value():
        raise InexactAmount("has more than 6 decimals")
    micros = int(scaled)
    if not -LARGEST <= micros <= LARGEST:
        raise InexactAmount("is out of range")
    return micros


def to_decimal(micros: int) -> Decimal:
    """The exact decimal of an amount, without trailing zeros beyond the point."""
    return Decimal(micros).scaleb(-6)


def split(micros: int) -> tuple[int, int]:
    """`(high, low)` of an amount, both of its sign, so that sums of parts are parts of sums."""
    high = abs(micros) // BASE
    low = abs(micros) % BASE
    return (-high, -low) if micros < 0 else (high, low)


def joined(high: int, low: int) -> int:
    """The amount whose summed parts are `high` and `low`."""
    return high * BASE + low


def allocate(amount: int, weights: Sequence[int]) -> list[int]:
    """Divide `amount` by integer `weights` (oldest first), exactly: the parts sum to it.

    q_i = floor(|a| * w_i / W); what is left goes one unit each to the largest remainders, ties to the
    later position; the sign is put back (ATTRIBUTION.md, "Allocation"). All weights 0: ValueError.
    """
    total = sum(weights)
    if total <= 0 or min(weights) < 0:
        raise ValueError("weights must be non-negative and not all zero")
    size = abs(amount)
    parts = [size * weight // total for weight in weights]
    remainders = [size * weight % total for weight in weights]
    left = size - sum(parts)
    order = sorted(range(len(weights)), key=lambda i: (remainders[i], i), reverse=True)
    for i in order[:left]:
        parts[i] += 1
    return [-part for part in parts] if amount < 0 else parts


def converted(micros: int, rate: Fraction) -> int:
    """An amount at an exact exchange rate, rounded half to even, once."""
    return round(micros * rate)
