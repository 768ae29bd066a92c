"""The same text and the same sum, whatever the engine: texts in every script, amounts at every edge.

Each test says what must be stored, and runs on both engines: what is equal to the same is equal.
"""

import itertools
import json
import os
import random
import unicodedata
from decimal import Decimal
from typing import Any

import pytest

from app import tables
from tests.contract.conftest import Service

numbers = itertools.count()
SALES = 100_000 if os.environ.get("CLICKTRAIL_FAULTS") == "long" else 3_000
PRICE = {"value": "1", "currency": "EUR"}
LARGEST = "9223372036854.775807"

#: Texts that databases and languages store, fold or compare each in their own way.
TEXTS = {
    "decomposed": "Cafe\u0301", "composed": "Caf\u00e9", "hangul": "\u1112\u1161\u11ab",
    "emoji": "\U0001f600",
    "family": "\U0001f468\u200d\U0001f469\u200d\U0001f467", "right to left": "\u05e9\u05dc\u05d5\u05dd",
    "persian": "\u06a9\u0645\u067e\u06cc\u0646", "sharp s": "Stra\u00dfe", "dotless i": "\u0131I\u0130i",
    "ligature": "\ufb01n", "full width": "\uff21\uff22", "last plane": "\U0010fffd", "private": "\ue000",
    "sigma": "\u03a3\u03c3\u03c2", "quote": "O'Neil\"\\", "percent": "100%_", "numeric": "007",
    "float": "1e5",
    "combining alone": "\u0301", "thai": "\u0e01\u0e33", "tamil": "\u0ba8\u0bbf",
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_stored_composed_and_found_again(service: Service, name: str) -> None:
    order = f"{TEXTS[name]}-{next(numbers)}"
    canonical = unicodedata.normalize("NFC", order)
    event = {"kind": "sale", "order_id": order, "value": "1", "currency": "EUR", "keyword": order,
             "properties": {order: [order]}}  # fmt: skip
    assert service.tell(event).json()["outcomes"] == ["stored"]
    (stored,) = service.rows(tables.conversions, order_id=canonical)
    assert stored.order_id == canonical
    assert service.conversion(canonical)["order_id"] == canonical


KEPT = {"zero width space": "\u200b", "joiner": "\u200d", "override": "\u202e", "soft hyphen": "\u00ad",
        "mark": "\ufeff", "separator": "\u2028"}  # fmt: skip
REFUSED = {"tab": "\t", "bell": "\u0007", "delete": "\u007f", "nul": "\0", "not a character": "\ufffe"}


@pytest.mark.parametrize("name", KEPT)
def test_what_cannot_be_seen_is_kept_as_it_is(service: Service, name: str) -> None:
    order = f"a{KEPT[name]}b-{next(numbers)}"
    assert service.tell({"kind": "sale", "order_id": order, **PRICE}).json()["outcomes"] == ["stored"]
    assert [row.order_id for row in service.rows(tables.conversions, order_id=order)] == [order]
    assert service.rows(tables.conversions, order_id=order.replace(KEPT[name], "")) == []


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_text_is_refused_by_its_field(service: Service, name: str) -> None:
    told = service.tell({"kind": "sale", "order_id": f"a{REFUSED[name]}b", **PRICE}).json()
    assert [(one["code"], one["field"]) for one in told["rejected"]] == [("not_text", "order_id")]


def revenue(service: Service, goal: str) -> Any:
    wanted = {"metrics": "revenue", "date_range": "all", "numbers": "string"}
    wanted["filters"] = json.dumps(["is", "goal", [goal]])
    answer = service.ask("GET", "/v1/metrics", "read", params=wanted)
    assert answer.status_code == 200, answer.text
    return answer.json()["totals"]["revenue"]


def sell(service: Service, goal: str, amounts: list[Decimal]) -> None:
    assert service.post("/v1/goals", {"slug": goal, "kind": "sale"}, "admin").status_code == 201
    for at in range(0, len(amounts), 500):
        batch = enumerate(amounts[at : at + 500], start=at)
        service.tell(
            *(
                {"kind": "sale", "goal": goal, "order_id": f"{goal}-{n}", **PRICE, "value": f"{amount:f}"}
                for n, amount in batch
            )
        )
    service.settled()


def test_a_sum_of_random_amounts_is_exact(service: Service) -> None:
    chance, goal = random.Random(24), f"sums-{next(numbers)}"
    amounts = [Decimal(chance.randrange(10 ** chance.randrange(1, 16))) / 10**6 for _ in range(SALES)]
    sell(service, goal, amounts)
    assert Decimal(str(revenue(service, goal))) == sum(amounts)


def test_a_sum_beyond_64_bits_is_exact_too(service: Service) -> None:
    goal = f"large-{next(numbers)}"
    sell(service, goal, 5 * [Decimal(LARGEST)])
    assert Decimal(str(revenue(service, goal))) == 5 * Decimal(LARGEST)
