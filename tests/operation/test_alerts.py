"""The alerts ask for what a service measures, and the page says what to do about each, and each reason."""

import re
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import Clicktrail

ROOT = Path(__file__).parent.parent.parent


def alerts() -> list[dict[str, Any]]:
    told = yaml.safe_load((ROOT / "integrations/prometheus/alerts.yml").read_text())
    return [rule for group in told["groups"] for rule in group["rules"]]


def test_alerts_ask_for_what_a_service_measures(clicktrail: Clicktrail) -> None:
    with clicktrail.client("server") as client:
        assert client.post("/v1/events", json={"kind": "click"}).status_code == 202
        assert client.post("/v1/events", json={"kind": "nothing"}).status_code in (202, 400, 422)
        measured = client.get("/metrics").text
    series = set(re.findall(r"^(?:# TYPE )?(clicktrail_\w+)(?:\{|\s)", measured, re.M))
    labels = set(re.findall(r'(\w+="[^"]*")', measured))
    for alert in alerts():
        assert set(re.findall(r"clicktrail_\w+", alert["expr"])) <= series, alert["alert"]
        assert set(re.findall(r'(\w+="[^"]*")', alert["expr"])) - {'job="clicktrail"'} <= labels, alert[
            "alert"
        ]
        assert alert["labels"]["severity"] in ("page", "ticket")


def test_every_alert_and_every_reason_not_to_be_ready_is_explained() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    rows = set(re.findall(r"^\| `(\w+)` \|", page, re.M))
    assert {alert["alert"] for alert in alerts()} <= rows
    source = "".join(path.read_text() for path in (ROOT / "app" / "inbox").glob("*.py"))
    codes = set(re.findall(r'"(inbox_\w+|disk_full)"', source)) - {"inbox_available"}  # good news
    assert [code for code in sorted(codes) if f"`{code}`" not in page] == []
