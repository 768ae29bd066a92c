"""Every number Clicktrail can tell, each defined once. Pure.

A metric is a row: how it is called, what it means, which parts it needs, and the function that makes it
of them. Parts are sums that the rows of a report carry (see PARTS); `sales@cost` is the part `sales`
summed only over the cells where `cost` is known, so that both sides of a ratio speak of the same cells.
docs/metrics.md shows this table; a test compares the two.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from app.metrics.columns import Function, Unit, difference, not_yet, part, price, ratio, sum_of

Family = Literal["traffic", "credits", "spend", "cost"]


@dataclass(frozen=True, slots=True)
class Metric:
    slug: str
    label: str
    unit: Unit
    formula: str
    needs: tuple[str, ...]
    function: Function


@dataclass(frozen=True, slots=True)
class Dimension:
    """`key` is the column facts are grouped by to get it; `families` are the facts that know it."""

    slug: str
    label: str
    key: str
    families: frozenset[Family]
    none: str = "(none)"


#: Which facts a part is read from, and what it is. Counts and money alike are in 10^-6.
PARTS: dict[str, tuple[Family, Unit]] = {
    **dict.fromkeys(
        ("impressions", "impressions_flagged", "clicks", "clicks_flagged", "visits", "visits_flagged",
         "pageviews", "opens", "bounces", "engaged"), ("traffic", "count"),
    ),
    **dict.fromkeys(
        ("leads", "sales", "sales_net", "sales_click", "sales_view", "sales_approved", "sales_pending",
         "sales_rejected", "conversions", "valued", "new_customers"), ("credits", "count"),
    ),
    **dict.fromkeys(
        ("revenue", "revenue_gross", "revenue_approved", "revenue_pending", "goods"), ("credits", "money")
    ),
    **dict.fromkeys(("platform_impressions", "platform_clicks"), ("spend", "count")),
    "platform_cost": ("spend", "money"),
    **dict.fromkeys(
        ("cost", "cost_spend", "cost_media", "cost_results", "cost_accrued", "cost_payable", "payout"),
        ("cost", "money"),
    ),
}  # fmt: skip

#: What stands behind `@`: the cells a part is summed over.
SCOPES: dict[str, str] = {
    "cost": "cells whose cost is known",
    "goods": "cells whose cost and cost of goods are known",
    "payout": "cells whose payout is known",
    "margin": "cells whose cost and payout are known",
    "platform": "cells whose clicks the platform reports",
}


def row(slug: str, label: str, unit: Unit, formula: str, function: Function, *needs: str) -> Metric:
    return Metric(slug, label, unit, formula, needs or (slug,), function)


METRICS: tuple[Metric, ...] = (
    # What was seen and done
    row("impressions", "Impressions", "count", "valid impressions", part("impressions")),
    row("impressions_gross", "Impressions, all", "count", "impressions + flagged impressions",
        sum_of("impressions", "impressions_flagged"), "impressions", "impressions_flagged"),
    row("clicks", "Clicks", "count", "valid clicks", part("clicks")),
    row("clicks_gross", "Clicks, all", "count", "clicks + flagged clicks",
        sum_of("clicks", "clicks_flagged"), "clicks", "clicks_flagged"),
    row("visits", "Visits", "count", "valid visits (starts of sessions)", part("visits")),
    row("visits_gross", "Visits, all", "count", "visits + flagged visits",
        sum_of("visits", "visits_flagged"), "visits", "visits_flagged"),
    row("pageviews", "Page views", "count", "valid page views", part("pageviews")),
    row("opens", "Opens", "count", "valid e-mail opens", part("opens")),
    row("invalid_rate", "Invalid traffic", "ratio",
        "flagged impressions, clicks and visits / all impressions, clicks and visits",
        ratio(sum_of("impressions_flagged", "clicks_flagged", "visits_flagged"),
              sum_of("impressions", "clicks", "visits", "impressions_flagged", "clicks_flagged",
                     "visits_flagged")),
        "impressions", "clicks", "visits", "impressions_flagged", "clicks_flagged", "visits_flagged"),
    row("ctr", "Click-through rate (CTR)", "ratio", "clicks / impressions",
        ratio("clicks", "impressions"), "clicks", "impressions"),
    row("landing_rate", "Landing rate", "ratio", "visits / clicks",
        ratio("visits", "clicks"), "visits", "clicks"),
    row("bounce_rate", "Bounce rate", "ratio",
        "visits without a second page, 10 s or a scroll / visits whose sender tells",
        ratio("bounces", sum_of("bounces", "engaged"), empty="engagement_not_told"), "bounces", "engaged"),
    row("engaged_rate", "Engaged rate", "ratio",
        "visits with a second page, 10 s or a scroll / visits whose sender tells",
        ratio("engaged", sum_of("bounces", "engaged"), empty="engagement_not_told"), "bounces", "engaged"),
    # What the ad platform says
    row("platform_impressions", "Impressions (platform)", "count", "impressions the platform reports",
        part("platform_impressions")),
    row("platform_clicks", "Clicks (platform)", "count", "clicks the platform reports",
        part("platform_clicks")),
    row("platform_ctr", "CTR (platform)", "ratio", "platform_clicks / platform_impressions",
        ratio("platform_clicks", "platform_impressions"), "platform_clicks", "platform_impressions"),
    row("platform_cpc", "CPC (platform)", "money", "imported spend / platform_clicks",
        price("platform_cost", "platform_clicks"), "platform_cost", "platform_clicks"),
    row("click_gap", "Click gap", "ratio", "(platform_clicks - clicks) / platform_clicks",
        ratio(difference("platform_clicks", "clicks@platform"), "platform_clicks"),
        "platform_clicks", "clicks@platform"),
    # What came of it
    row("leads", "Leads", "count", "leads credited, by status", part("leads")),
    row("sales", "Sales", "count", "sales credited, by status; a refunded sale stays one", part("sales")),
    row("sales_net", "Sales, net", "count", "sales not refunded in full", part("sales_net")),
    row("sales_click", "Sales by click", "count", "sales earned by a click", part("sales_click")),
    row("sales_view", "Sales by view", "count", "sales earned by an impression", part("sales_view")),
    row("sales_approved", "Sales approved", "count", "sales in state approved", part("sales_approved")),
    row("sales_pending", "Sales pending", "count", "sales in state pending", part("sales_pending")),
    row("sales_rejected", "Sales rejected", "count", "sales in state rejected", part("sales_rejected")),
    row("conversions", "Conversions", "count", "leads and sales of goals marked primary",
        part("conversions")),
    row("new_customers", "New customers", "count", "people whose first approved order it is",
        part("new_customers")),
    row("revenue", "Revenue", "money", "credited value of sales less refunds, by status", part("revenue")),
    row("revenue_gross", "Revenue before refunds", "money", "credited value of sales",
        part("revenue_gross")),
    row("refunds", "Refunds", "money", "revenue_gross - revenue",
        difference("revenue_gross", "revenue"), "revenue_gross", "revenue"),
    row("revenue_approved", "Revenue approved", "money", "revenue in state approved",
        part("revenue_approved")),
    row("revenue_pending", "Revenue pending", "money", "revenue in state pending",
        part("revenue_pending")),
    row("aov", "Average order value (AOV)", "money", "value before refunds / sales that carry a value",
        price("revenue_gross", "valued"), "revenue_gross", "valued"),
    row("rpc", "Revenue per click (RPC)", "money", "revenue / clicks",
        price("revenue", "clicks"), "revenue", "clicks"),
    row("click_to_lead_rate", "Click-to-lead rate", "ratio", "leads / clicks",
        ratio("leads", "clicks"), "leads", "clicks"),
    row("click_to_sale_rate", "Click-to-sale rate", "ratio", "sales_click / clicks",
        ratio("sales_click", "clicks"), "sales_click", "clicks"),
    row("sales_per_lead", "Sales per lead", "ratio", "sales / leads of the same period",
        ratio("sales", "leads"), "sales", "leads"),
    row("lead_to_sale_rate", "Lead-to-sale rate", "ratio",
        "leads that bought within N days / leads old enough to know", not_yet("leads_not_matured"), ""),
    # What it cost
    row("cost", "Cost", "money", "cost_spend + cost_media + cost_results", part("cost")),
    row("cost_spend", "Spend", "money", "imported spend, where it is the cost source", part("cost_spend")),
    row("cost_media", "Media cost", "money", "CPM and CPC deals, where they are the cost source",
        part("cost_media")),
    row("cost_results", "Result cost", "money", "CPL, CPA and revenue share deals on the billing winner",
        part("cost_results")),
    row("cost_accrued", "Cost accrued", "money", "cost with approved and pending results",
        part("cost_accrued")),
    row("cost_payable", "Cost payable", "money", "cost with approved results only", part("cost_payable")),
    row("payout", "Payout", "money", "what payout deals owe partners", part("payout")),
    row("margin", "Margin", "money", "cost - payout, over cells where both are known",
        difference("cost@margin", "payout@margin"), "cost@margin", "payout@margin"),
    row("cpm", "Cost per 1,000 impressions (CPM)", "money", "cost / impressions x 1000",
        price("cost", "impressions@cost", per=1000), "cost", "impressions@cost"),
    row("cpc", "Cost per click (CPC)", "money", "cost / clicks",
        price("cost", "clicks@cost"), "cost", "clicks@cost"),
    row("cpl", "Cost per lead (CPL)", "money", "cost / leads",
        price("cost", "leads@cost"), "cost", "leads@cost"),
    row("cpa", "Cost per sale (CPA)", "money", "cost / sales, over the cells whose cost is known",
        price("cost", "sales@cost"), "cost", "sales@cost"),
    row("cpa_net", "Cost per net sale", "money", "cost / sales_net, over the cells whose cost is known",
        price("cost", "sales_net@cost"), "cost", "sales_net@cost"),
    row("cpa_blended", "Blended cost per sale", "money", "all cost / all sales",
        price("cost", "sales"), "cost", "sales"),
    row("cost_per_conversion", "Cost per conversion", "money", "cost / conversions",
        price("cost", "conversions@cost"), "cost", "conversions@cost"),
    row("cac", "Customer acquisition cost (CAC)", "money", "cost / new_customers",
        price("cost", "new_customers@cost"), "cost", "new_customers@cost"),
    row("epc", "Earnings per click (EPC)", "money", "payout / clicks",
        price("payout", "clicks@payout"), "payout", "clicks@payout"),
    # What it earned
    row("roas", "Return on ad spend (ROAS)", "ratio", "revenue / cost",
        ratio("revenue@cost", "cost"), "revenue@cost", "cost"),
    row("revenue_after_cost", "Revenue after cost", "money", "revenue - cost",
        difference("revenue@cost", "cost"), "revenue@cost", "cost"),
    row("profit", "Profit", "money", "revenue - cost of goods - cost",
        difference("revenue@goods", "goods@goods", "cost@goods"),
        "revenue@goods", "goods@goods", "cost@goods"),
    row("romi", "Return on marketing investment (ROMI)", "ratio", "profit / cost",
        ratio(difference("revenue@goods", "goods@goods", "cost@goods"), "cost@goods"),
        "revenue@goods", "goods@goods", "cost@goods"),
    row("poas", "Profit on ad spend (POAS)", "ratio", "(revenue - cost of goods) / cost",
        ratio(difference("revenue@goods", "goods@goods"), "cost@goods"),
        "revenue@goods", "goods@goods", "cost@goods"),
)  # fmt: skip

BY_SLUG = {metric.slug: metric for metric in METRICS}

_EVERYWHERE: frozenset[Family] = frozenset({"traffic", "credits", "spend", "cost"})
_TOUCHED: frozenset[Family] = frozenset({"traffic", "credits"})
_CREDITED: frozenset[Family] = frozenset({"credits"})

DIMENSIONS: tuple[Dimension, ...] = (
    Dimension("time:hour", "Hour", "time", frozenset({"traffic", "credits", "cost"})),
    Dimension("time:day", "Day", "time", _EVERYWHERE),
    Dimension("time:week", "Week", "time", _EVERYWHERE),
    Dimension("time:month", "Month", "time", _EVERYWHERE),
    Dimension("channel", "Channel", "channel", _EVERYWHERE),
    Dimension("campaign", "Campaign", "campaign", _EVERYWHERE, "(no campaign)"),
    Dimension("audience", "Audience", "campaign", _EVERYWHERE),
    Dimension("ad_group", "Ad group", "ad", _EVERYWHERE),
    Dimension("ad", "Ad", "ad", _EVERYWHERE),
    Dimension("partner", "Partner", "partner", _EVERYWHERE),
    Dimension("country", "Country", "country", _TOUCHED),
    Dimension("device", "Device", "device", _TOUCHED),
    Dimension("source", "Source", "source", _TOUCHED),
    Dimension("medium", "Medium", "medium", _TOUCHED),
    Dimension("creative", "Creative", "creative", _TOUCHED),
    Dimension("placement", "Placement", "placement", _TOUCHED),
    Dimension("keyword", "Keyword", "keyword", _TOUCHED),
    Dimension("goal", "Goal", "goal", _CREDITED),
    Dimension("currency", "Currency", "currency", _CREDITED),
    Dimension("customer", "Customer", "customer", _CREDITED, "unknown"),
    Dimension("conversion_country", "Country of the conversion", "conversion_country", _CREDITED),
    Dimension("conversion_device", "Device of the conversion", "conversion_device", _CREDITED),
    Dimension("unattributed_reason", "Why nobody earned it", "reason", _CREDITED),
)

SEGMENT = "segment."
SEGMENT_NAME = re.compile(r"[\w .:-]{1,64}")  # it becomes part of a JSON path
DIMENSION_SLUGS = (*(dimension.slug for dimension in DIMENSIONS), "segment.<name>")
_DIMENSIONS = {dimension.slug: dimension for dimension in DIMENSIONS}
TIME = frozenset({"time:hour", "time:day", "time:week", "time:month"})


def dimension(slug: str) -> Dimension | None:
    """The dimension of that name; any `segment.<name>` is one (letters of any script, digits, ` .:-_`)."""
    name = slug.removeprefix(SEGMENT)
    if slug.startswith(SEGMENT) and SEGMENT_NAME.fullmatch(name):
        return Dimension(slug, f"Segment {name}", slug, _TOUCHED)
    return _DIMENSIONS.get(slug)


def parts(metrics: Iterable[Metric]) -> frozenset[str]:
    """All parts these metrics need, with their scopes."""
    return frozenset(need for metric in metrics for need in metric.needs if need)


def families(names: Iterable[str]) -> frozenset[Family]:
    """The facts that parts are read from. A scope is one more: where cost is known is a fact of cost."""
    found: set[Family] = set()
    for name in names:
        plain, _, scope = name.partition("@")
        found.add(PARTS[plain][0])
        if scope:
            found.add("spend" if scope == "platform" else "cost")
        if scope == "goods":
            found.add("credits")
    return frozenset(found)
