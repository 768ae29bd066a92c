"""What the demo tells: a shop, its campaigns and deals, and a seeded stream of what its visitors did.

Pure: the same day and seed give the same events, so that loading twice counts nothing twice. The
campaigns' literal table is the place to change the story; nothing here knows how it is sent.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random

DAYS = 60
SITE = "https://nordlys.example"
CURRENCY = "EUR"

CHANNELS = {
    "paid-search": "Paid search", "paid-social": "Paid social", "display": "Display",
    "affiliate": "Affiliates", "email": "E-mail",
}  # fmt: skip

PARTNERS = {
    "fjellbloggen": "Fjellbloggen", "mandrivnyk": "Мандрівник", "du-lich-viet": "Du lịch Việt",
    "rahnama": "راهنمای کوهستان", "gezgin": "Gezgin Işıl",
}  # fmt: skip

GOALS = (
    {"slug": "signup", "name": "Newsletter", "kind": "lead"},
    {"slug": "size-guide", "name": "Size guide", "kind": "lead"},
    {"slug": "order", "name": "Order", "kind": "sale", "primary": True},
)

#: Units of EUR for one unit, the same on every day of the demo.
RATES = {"NOK": "0.0862", "TRY": "0.0218"}


@dataclass(frozen=True)
class Campaign:
    """A row of the story: what it is called, who sees it, how it is paid, and how well it does."""

    slug: str
    name: str
    channel: str
    country: str
    seen: int  # impressions a day, more or less
    ctr: float
    lead_rate: float  # of those who landed
    sale_rate: float
    basket: int  # a usual order, in whole units of `currency`
    ads: dict[str, str]
    deal: dict[str, str] = field(default_factory=dict)
    spend: int = 0  # imported, cents a day; 0: the deal makes the cost
    currency: str = CURRENCY
    partners: tuple[str, ...] = ()
    device: str = "mobile"


CAMPAIGNS = (
    Campaign("vinterjakker", "Vinterjakker – søk", "paid-search", "NO", 22, 0.11, 0.12, 0.14, 1490,
             {"dunjakke": "Dunjakke Ålesund", "skalljakke": "Skalljakke Røros"},
             {"model": "cpc", "rate": "0.38", "currency": "EUR"}, currency="NOK", device="desktop"),
    Campaign("osinni-znyzhky", "Осінні знижки", "paid-social", "UA", 34, 0.05, 0.16, 0.12, 64,
             {"kurtka": "Куртка «Говерла»", "naplichnyk": "Наплічник «Їжак»"},
             {"model": "cpm", "rate": "6.40", "currency": "EUR"}),
    Campaign("khuyen-mai-tet", "Khuyến mãi Tết", "display", "VN", 40, 0.035, 0.18, 0.11, 38,
             {"ba-lo": "Ba lô Phượt", "giay-leo-nui": "Giày leo núi Fansipan"},
             {"model": "cpm", "rate": "2.10", "currency": "EUR"}),
    Campaign("jashnvare-nowruz", "جشنوارهٔ نوروز", "affiliate", "IR", 18, 0.09, 0.11, 0.15, 71,
             {"kooleh": "کوله‌پشتی دماوند", "kafsh": "کفش کوهنوردی"},
             {"model": "cpa", "rate": "9.50", "currency": "EUR"}, partners=("rahnama",)),
    Campaign("kis-indirimi", "Kış indirimi – İstanbul", "paid-social", "TR", 30, 0.06, 0.14, 0.12, 2950,
             {"mont": "Kışlık mont", "isitici": "Isıtıcılı eldiven"}, spend=520, currency="TRY"),
    Campaign("brand-search", "Brand search", "paid-search", "GB", 12, 0.22, 0.10, 0.18, 92,
             {"brand": "Nordlys, official", "sale": "Winter sale"}, spend=260, device="desktop"),
    Campaign("friends", "Friends of Nordlys", "affiliate", "NO", 16, 0.10, 0.09, 0.16, 79,
             {"review": "Blog review", "list": "Gift list"},
             {"model": "revshare", "rate": "0.08"}, partners=("fjellbloggen", "gezgin", "du-lich-viet")),
    Campaign("size-guide", "Size guide", "email", "UA", 14, 0.12, 0.42, 0.08, 55,
             {"hero": "Який розмір?", "footer": "Довідник розмірів"},
             {"model": "cpl", "rate": "1.20", "currency": "EUR"}, partners=("mandrivnyk",)),
)  # fmt: skip

AGENTS = {
    "mobile": "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Mobile Safari/537.36",
    "desktop": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36",
}
AGES, GENDERS = ("18-24", "25-34", "35-44", "45-54", "55+"), ("female", "male", "other")

Event = dict[str, object]


@dataclass
class Teller:
    """Tells one demo: what it remembers is who came before and how many orders there were."""

    today: date
    random: Random
    visitors: dict[str, list[str]] = field(default_factory=dict)  # by country
    orders: int = 0

    def events(self) -> Iterator[Event]:
        """Every event of the sixty days before `today`, in no particular order across campaigns."""
        midnight = f"{self.today}T00:00:00Z"
        return (event for event in self._told() if str(event["occurred_at"]) < midnight)

    def _told(self) -> Iterator[Event]:
        for back in range(DAYS, 0, -1):
            day = self.today - timedelta(days=back)
            for campaign in CAMPAIGNS:
                # Weekends are busier, and every campaign grows a little towards the end.
                seen = campaign.seen * (1.25 if day.weekday() >= 5 else 1.0) * (1.2 - back / DAYS * 0.4)
                for _ in range(round(seen * self.random.uniform(0.8, 1.2))):
                    yield from self.journey(campaign, day)

    def journey(self, campaign: Campaign, day: date) -> Iterator[Event]:
        """One impression and what came of it."""
        random = self.random
        at = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=random.randrange(86_400))
        visitor = self.visitor(campaign.country)
        about: Event = {
            "campaign": campaign.slug,
            "ad": random.choice(list(campaign.ads)),
            "visitor_id": visitor,
            "country": campaign.country,
            "user_agent": AGENTS[campaign.device if random.random() < 0.8 else "desktop"],
            "segment": {"age": random.choice(AGES), "gender": random.choice(GENDERS)},
        }
        if campaign.partners:
            about["partner"] = random.choice(campaign.partners)
        yield self.event("impression", at, about)
        if random.random() >= campaign.ctr:
            return
        at += timedelta(seconds=random.randrange(2, 90))
        yield self.event("click", at, about)
        if random.random() < 0.08:  # left before the page was there
            return
        at += timedelta(seconds=random.randrange(1, 6))
        here = {name: about[name] for name in ("visitor_id", "country", "user_agent")}
        page = f"{SITE}/{campaign.country.lower()}/{about['ad']}"
        yield self.event("visit", at, here | {"url": page, "referrer": "https://www.example.com/"})
        if random.random() < campaign.lead_rate:
            goal = "size-guide" if campaign.slug == "size-guide" else "signup"
            lead = here | {"goal": goal, "email": f"{visitor}@mail.example"}
            yield self.event("lead", at + timedelta(seconds=random.randrange(20, 400)), lead)
        if random.random() < campaign.sale_rate:
            yield from self.sale(campaign, at, here)

    def sale(self, campaign: Campaign, landed: datetime, here: Event) -> Iterator[Event]:
        """An order some minutes or days after the click; some come back, some are not approved."""
        random = self.random
        at = landed + timedelta(minutes=random.choice((4, 11, 25, 60, 1500, 4300)) + random.randrange(30))
        self.orders += 1
        order = f"N-{self.orders:05d}"
        visitor = str(here["visitor_id"])
        cents = campaign.basket * random.choice((1, 1, 1, 2)) * random.randrange(70, 131)
        pending = random.random() < 0.1
        sold = here | {
            "goal": "order", "order_id": order, "value": decimal(cents), "currency": campaign.currency,
            "user_id": f"customer-{visitor}", "email": f"{visitor}@mail.example",
            "status": "pending" if pending else "approved",
        }  # fmt: skip
        yield self.event("sale", at, sold)
        fate, later = random.random(), at + timedelta(days=random.randrange(1, 12))
        if pending and fate < 0.7:
            status = "approved" if fate < 0.5 else "rejected"
            yield self.event("status", later, {"order_id": order, "status": status})
        elif not pending and fate < 0.09:
            half = {"value": decimal(cents // 2), "currency": campaign.currency}
            yield self.event("refund", later, {"order_id": order} | (half if fate < 0.03 else {}))

    def visitor(self, country: str) -> str:
        """Somebody of this country; one in eight has been here before, perhaps for another campaign."""
        known = self.visitors.setdefault(country, [])
        if known and self.random.random() < 0.125:
            return self.random.choice(known)
        known.append(f"demo-{country.lower()}-{len(known) + 1}")
        return known[-1]

    def event(self, kind: str, at: datetime, fields: Mapping[str, object]) -> Event:
        """An event with an id of its own, the same whenever this demo is told."""
        number = self.random.getrandbits(48)
        return {
            "id": f"demo-{number:012x}",
            "kind": kind,
            "occurred_at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            **fields,
        }


def decimal(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def spend_rows(today: date) -> list[dict[str, object]]:
    """What the platforms say the campaigns without a deal have cost, day by day."""
    random = Random(7)
    return [
        {
            "date": str(today - timedelta(days=back)), "source": campaign.channel, "account": "nordlys",
            "campaign": campaign.slug, "currency": CURRENCY,
            "amount": decimal(campaign.spend * random.randrange(80, 121) // 100),
        }
        for campaign in CAMPAIGNS if campaign.spend
        for back in range(DAYS, 0, -1)
    ]  # fmt: skip


def rate_rows(today: date) -> list[dict[str, str]]:
    """Exchange rates of every day, and of the week before the first."""
    days = [today - timedelta(days=back) for back in range(DAYS + 7, -1, -1)]
    return [
        {"date": str(day), "currency": code, "base": CURRENCY, "rate": rate}
        for code, rate in RATES.items()
        for day in days
    ]
