"""Schemathesis over the whole OpenAPI document, hand-written doors included: no 5xx, answers as described.

A running service is asked, with an admin key of a workspace of its own, so that every route is reached.
`CLICKTRAIL_CASES` is how many requests each operation gets beside the fixed ones (12, on PostgreSQL 4).
"""

import os
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.main import create_app
from app.settings import Settings
from tests import engines
from tests.contract.conftest import Service

CASES = int(os.environ.get("CLICKTRAIL_CASES") or engines.examples(12))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
DOCUMENT: dict[str, Any] = create_app(Settings(database_url="sqlite://")).framework.openapi()
schema = schemathesis.openapi.from_dict(DOCUMENT)


@schema.parametrize()
@settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_every_operation_answers_as_its_document_says(case: schemathesis.Case, service: Service) -> None:
    key = service.other["admin"]
    response = case.call(
        base_url=service.clicktrail.url,
        headers={"Authorization": f"Bearer {key}"},
        allow_redirects=False,
    )
    case.validate_response(response, checks=CHECKS)


def test_the_document_has_every_door() -> None:
    doors = "/p.gif /c/{campaign} /c/{campaign}/{ad} /collect /v1/events /postback /v1/receipts/{receipt}"
    rest = (
        "/v1/campaigns /v1/metrics /v1/metrics/query /v1/metrics/meta /v1/conversions/{id} /healthz /readyz"
    )
    assert {*doors.split(), *rest.split()} <= set(DOCUMENT["paths"])


def test_every_security_scheme_that_is_named_is_defined() -> None:
    defined = set(DOCUMENT["components"]["securitySchemes"])
    operations = [one for path in DOCUMENT["paths"].values() for one in path.values()]
    named = [scheme for one in [DOCUMENT, *operations] for scheme in one.get("security", [])]
    assert {name for scheme in named for name in scheme} == defined
