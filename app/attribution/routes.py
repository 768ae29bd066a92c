"""GET /v1/conversions/{id}/why: every candidate touch, kept or the reason why not, weight and credit."""

from typing import Annotated, Any

from fastapi import Query

from app import deps
from app.attribution import explain
from app.attribution.schemas import Why, WhyQuery
from app.campaigns.routes import management
from app.conversions.reading import find
from app.errors import InvalidInput
from app.model import MODELS

router = management("/v1/conversions", "conversions")


@router.get("/{id:path}/why", response_model=Why)
def why(caller: deps.Reader, connection: deps.Reading, id: str, query: Annotated[WhyQuery, Query()]) -> Any:
    """Who earned this conversion under a model, and why the other touches did not."""
    if query.model not in MODELS:
        raise InvalidInput("model_unknown", f"model: one of {', '.join(MODELS)}", field="model")
    row = find(connection, caller.workspace, id, query.store)
    return explain.why(connection, row, model=query.model, without=query.without)
