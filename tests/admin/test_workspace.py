"""The workspace: read, changed, and who is told."""

import struct

import httpx
import msgspec
import pytest

from app import tables
from app.admin import workspace
from app.admin.schemas import WorkspaceChange, WorkspaceOut
from app.workspaces import WorkspaceSettings
from tests.management import House

ALL_TIME = (0, 2**63 - 1)


def announced(house: House) -> list[tuple[int, ...]]:
    return [struct.unpack("<3q", row["body"]) for row in house.rows(tables.changes)]


def test_every_setting_is_in_the_api() -> None:
    settings = {field.name for field in msgspec.structs.fields(WorkspaceSettings)}
    assert set(WorkspaceChange.model_fields) == settings | set(workspace.COLUMNS)
    assert set(WorkspaceOut.model_fields) == settings | set(workspace.COLUMNS) | {"slug"}


def test_every_announced_field_exists() -> None:
    named = {name for fields in workspace.ANNOUNCED.values() for name in fields}
    assert named <= set(WorkspaceChange.model_fields)


async def test_every_field_can_be_changed_and_comes_back(admin: httpx.AsyncClient) -> None:
    wanted = {
        "name": "Butikken", "timezone": "Asia/Tehran", "reporting_currency": "IRR", "week_start": "saturday",
        "origins": ["https://shop.example"], "hosts": ["go.shop.example"], "browser_sales": "approved",
        "consent_default": "denied", "dnt": "deny", "visitors": "daily", "billing_model": "first_click",
        "windows": {"click": 7, "visit": 1.5, "impression": 0}, "billing_window": 45,
        "tier_rule": "all_kinds",
        "direct": "count", "collapse": True, "reset_after_conversion": True, "first_conversion_only": True,
        "half_life_hours": 24, "position_shares": [30, 40, 30], "join_limit": 50,
        "ignored_referrers": ["pay.example"], "lead_count": "every", "fx_max_age_days": 3,
    }  # fmt: skip
    answer = await admin.patch("/v1/workspace", json=wanted)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"slug": "first", **wanted}
    assert (await admin.get("/v1/workspace")).json() == answer.json()


async def test_the_doors_see_a_change_at_once(house: House, admin: httpx.AsyncClient) -> None:
    await admin.patch("/v1/workspace", json={"origins": ["https://Shop.example/"], "hosts": ["GO.example"]})
    snapshot = house.service.snapshots.current
    assert snapshot.workspaces[house.workspace].settings.origins == ["https://shop.example"]
    assert snapshot.hosts == {"go.example": house.workspace}


@pytest.mark.parametrize(
    "change, said",
    [
        ({"timezone": "Asia/Kathmandu"}, [(1, *ALL_TIME)]),
        ({"windows": {"visit": 2}}, [(2, *ALL_TIME)]),
        ({"position_shares": [50, 0, 50]}, [(2, *ALL_TIME)]),
        ({"reporting_currency": "NOK"}, [(4, *ALL_TIME)]),
        ({"fx_max_age_days": 3}, [(3, *ALL_TIME)]),
        ({"browser_sales": "approved"}, [(4, *ALL_TIME)]),
        ({"name": "Shop", "week_start": "sunday", "origins": ["https://a.example"]}, []),
        ({"timezone": "Europe/Oslo", "windows": {"visit": 3}}, []),
    ],
)
async def test_the_leader_hears_of_what_changes_numbers(
    house: House, admin: httpx.AsyncClient, change: dict[str, object], said: list[tuple[int, ...]]
) -> None:
    assert (await admin.patch("/v1/workspace", json=change)).status_code == 200
    assert announced(house) == said


async def test_windows_not_named_stay(admin: httpx.AsyncClient) -> None:
    changed = await admin.patch("/v1/workspace", json={"windows": {"click": 7}})
    assert changed.json()["windows"] == {"click": 7, "visit": 3, "impression": 1}


async def test_a_host_belongs_to_one_workspace(
    house: House, admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    await admin.patch("/v1/workspace", json={"hosts": ["go.example"]})
    refused = await stranger.patch("/v1/workspace", json={"hosts": ["Go.Example"]})
    assert refused.status_code == 409 and refused.json()["error"]["field"] == "hosts"
    assert house.service.snapshots.current.hosts == {"go.example": house.workspace}
    assert (
        await admin.patch("/v1/workspace", json={"hosts": ["go.example", "a.example"]})
    ).status_code == 200


@pytest.mark.parametrize(
    "change, field",
    [
        ({"timezone": "Oslo"}, "timezone"),
        ({"reporting_currency": "XYZ"}, "reporting_currency"),
        ({"week_start": "friday"}, "week_start"),
        ({"windows": {"click": -1}}, "windows.click"),
        ({"windows": {"click": "7"}}, "windows.click"),
        ({"position_shares": [50, 50, 50]}, "position_shares"),
        ({"position_shares": [100]}, "position_shares"),
        ({"origins": ["*"]}, "origins.0"),
        ({"hosts": ["a b"]}, "hosts.0"),
        ({"half_life_hours": 0}, "half_life_hours"),
        ({"collapse": 1}, "collapse"),
        ({"name": None}, "name"),
        ({"slug": "other"}, "slug"),
        ({"secret": "x"}, "secret"),
    ],
)
async def test_a_setting_out_of_bounds_is_named(
    admin: httpx.AsyncClient, change: dict[str, object], field: str
) -> None:
    refused = await admin.patch("/v1/workspace", json=change)
    assert refused.status_code == 400
    assert refused.json()["error"]["field"] == field
