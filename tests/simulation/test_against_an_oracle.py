"""A real server beside a model of a few lines: whatever a shop does in whatever order, both tell the same.

The model is a dictionary of orders and one of campaigns. Every run has names of its own, so that all share
one server; events are compared when it has caught up, the configuration at once.
"""

import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.conftest import Clicktrail, wait_until

RUNS = 2000 if os.environ.get("CLICKTRAIL_FAULTS") == "long" else 20
STEPS = 12
NAMES = ("a", "b")

_runs = itertools.count()


@dataclass
class Order:
    """What a shop knows of one order, in cents."""

    value: int | None = None
    refunded: int = 0
    state: str = ""
    told: int = 0  # sightings


@dataclass
class Model:
    orders: dict[str, Order] = field(default_factory=dict)
    campaigns: dict[str, dict[str, Any]] = field(default_factory=dict)
    sent: list[dict[str, Any]] = field(default_factory=list)


class Shop(RuleBasedStateMachine):
    """`blind`: the model overlooks refunds; for the control."""

    def __init__(self, running: Clicktrail, *, blind: bool = False, patience: float = 20) -> None:
        super().__init__()
        self.prefix = f"run{next(_runs)}"
        self.model, self.blind, self.patience = Model(), blind, patience
        self.admin, self.server = running.client("admin"), running.client("server")
        self.moment = int(time.time()) - 86_400

    def teardown(self) -> None:
        try:
            for name, order in self.model.orders.items():
                if order.value is not None:
                    wait_until(
                        lambda name=name, order=order: self._seen(name) == self._wanted(order),
                        seconds=self.patience,
                    )
        finally:
            self.admin.close()
            self.server.close()

    def _wanted(self, order: Order) -> dict[str, object]:
        assert order.value is not None
        refunded = 0 if self.blind else order.refunded
        wanted: dict[str, object] = {
            "value": order.value / 100, "refunded": refunded / 100,
            "net_value": (order.value - refunded) / 100, "sightings": order.told,
        }  # fmt: skip
        return wanted | ({"state": order.state} if order.state else {})

    def _seen(self, name: str) -> dict[str, object]:
        """What the server tells of an order, as far as the model has a word on it."""
        answer = self.admin.get(f"/v1/conversions/{self.prefix}-{name}")
        if answer.status_code != 200:
            return {}
        told = answer.json()
        found = {key: told[key] for key in ("value", "refunded", "net_value")}
        found["sightings"] = len(told["sightings"])
        return found | ({"state": told["state"]} if self.model.orders[name].state else {})

    def _send(self, name: str, **said: Any) -> None:
        self.moment += 1
        event = {
            "id": f"{self.prefix}-{len(self.model.sent)}", "order_id": f"{self.prefix}-{name}",
            "occurred_at": self.moment, **said,
        }  # fmt: skip
        self.model.sent.append(event)
        self._post([event])

    def _post(self, events: list[dict[str, Any]]) -> None:
        answer = self.server.post("/v1/events", json={"events": events})
        assert answer.status_code == 202, answer.text
        assert answer.json()["accepted"] == len(events)

    # --- Orders ---------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), cents=st.integers(1, 10**9))
    def sell(self, name: str, cents: int) -> None:
        """A sale; told again under another id, it is the same order at the same price."""
        order = self.model.orders.setdefault(name, Order())
        order.value = order.value or max(cents, order.refunded)
        order.told += 1
        self._send(name, kind="sale", value=order.value / 100, currency="EUR")

    @rule(name=st.sampled_from(NAMES), part=st.integers(1, 100))
    def refund(self, name: str, part: int) -> None:
        """A refund, perhaps of a sale that is yet to be told; never of more than was paid."""
        order = self.model.orders.setdefault(name, Order())
        left = (order.value or 10**6) - order.refunded
        cents = left * part // 100
        if cents > 0:
            order.refunded += cents
            self._send(name, kind="refund", value=cents / 100, currency="EUR")

    @rule(name=st.sampled_from(NAMES), state=st.sampled_from(["approved", "rejected", "pending"]))
    def decide(self, name: str, state: str) -> None:
        self.model.orders.setdefault(name, Order()).state = state
        self._send(name, kind="status", status=state)

    @precondition(lambda self: self.model.sent)
    @rule(data=st.data())
    def repeat(self, data: Any) -> None:
        """The same again, word by word: it changes nothing."""
        self._post(data.draw(st.lists(st.sampled_from(self.model.sent), min_size=1, max_size=5)))

    # --- Campaigns ------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), title=st.sampled_from(["One", "Two"]))
    def create(self, name: str, title: str) -> None:
        slug = f"{self.prefix}-{name}"
        status = self.admin.post("/v1/campaigns", json={"slug": slug, "name": title}).status_code
        assert status == (409 if name in self.model.campaigns else 201)
        self.model.campaigns.setdefault(name, {"name": title, "status": "active", "archived": False})

    @rule(
        name=st.sampled_from(NAMES),
        change=st.sampled_from([{"name": "Three"}, {"status": "paused"}, {"archived": False}]),
    )
    def change(self, name: str, change: dict[str, Any]) -> None:
        status = self.admin.patch(f"/v1/campaigns/{self.prefix}-{name}", json=change).status_code
        assert status == (200 if name in self.model.campaigns else 404)
        if status == 200:
            self.model.campaigns[name] |= change

    @precondition(lambda self: self.model.campaigns)
    @rule(data=st.data())
    def archive(self, data: Any) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.campaigns)))
        assert self.admin.delete(f"/v1/campaigns/{self.prefix}-{name}").status_code == 204
        self.model.campaigns[name]["archived"] = True

    @precondition(lambda self: self.model.campaigns)
    @rule()
    def look(self) -> None:
        for name, wanted in self.model.campaigns.items():
            told = self.admin.get(f"/v1/campaigns/{self.prefix}-{name}").json()
            assert {key: told[key] for key in wanted} == wanted


def machine(runs: int) -> settings:
    return settings(
        max_examples=runs, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,), print_blob=True,
    )  # fmt: skip


def test_a_server_and_its_model_tell_the_same(clicktrail: Clicktrail, report: Callable[[str], None]) -> None:
    began = next(_runs)
    run_state_machine_as_test(lambda: Shop(clicktrail), settings=machine(RUNS))
    report(f"state machine: {next(_runs) - began - 1} runs of up to {STEPS} steps: no divergence")


def test_a_model_that_overlooks_refunds_diverges(clicktrail: Clicktrail) -> None:
    with pytest.raises(AssertionError, match="did not come true"):
        run_state_machine_as_test(
            lambda: Shop(clicktrail, blind=True, patience=3), settings=machine(10 * RUNS)
        )
