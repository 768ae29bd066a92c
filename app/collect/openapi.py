"""The doors as operations of the OpenAPI document: a literal table, since no framework sees them."""

from typing import Any


def _parameter(name: str, where: str = "query", **more: Any) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": {"type": "string"}, **more}


def _responses(**told: str) -> dict[str, Any]:
    return {status.lstrip("s"): {"description": text} for status, text in told.items()}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


_EVENT: dict[str, Any] = {"type": "object", "description": "docs/http-doors.md lists the fields"}
_BATCH = {"type": "object", "properties": {"events": {"type": "array", "items": _EVENT}}}
_BEACON = {
    "type": "object",
    "required": ["k", "events"],
    "properties": {
        "k": {"type": "string"},
        "events": {"type": "array", "items": _EVENT, "maxItems": 50},
        "context": {"type": "object"},
    },
}
_OPEN: list[dict[str, list[str]]] = []  # these take their key, if any, from the request's own fields
_CONSENT = "consent gdpr gdpr_consent gpp gpp_sid us_privacy".split()
_PIXEL = [*"k e id c a p ct_click g tx v cur u vid url r t cb".split(), *_CONSENT]
_POSTBACK = "key click_id goal status value payout currency txid event_id consent return".split()
_JSON_ERRORS = {
    "s400": "not JSON, too deep, or of another shape",
    "s413": "too large, or too many events",
    "s415": "compressed in a way that is not understood",
    "s422": "every event was refused",
    "s503": "nothing can be stored at present; see Retry-After",
}
_REDIRECT = {
    "tags": ["doors"],
    "security": _OPEN,
    "responses": _responses(s302="on to the landing page", s404="no such campaign", s405="GET or HEAD"),
}
_CAMPAIGN = [_parameter("campaign", "path"), _parameter("k"), _parameter("p"), _parameter("url")]

_MOVING = {
    "tags": ["doors"],
    "security": _OPEN,
    "responses": _responses(
        s200="the script; asked for again after an hour",
        s304="what If-None-Match names is what there is",
        s405="GET or HEAD",
    ),
}
_PINNED = {
    "tags": ["doors"],
    "security": _OPEN,
    "parameters": [_parameter("hash", "path", description="16 hex digits of its SHA-256")],
    "responses": _responses(
        s200="the script; never asked for again",
        s304="what If-None-Match names is what there is",
        s404="no version that was ever served here",
        s405="GET or HEAD",
    ),
}

#: How a key is presented to everything else.
SECURITY_SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer ct_..."},
    "basic": {"type": "http", "scheme": "basic", "description": "The key as the password, for BI tools."},
}

OPERATIONS: dict[str, Any] = {
    "/c.js": {"get": _MOVING | {"summary": "The tag, as this version has it"}},
    "/c.{hash}.js": {"get": _PINNED | {"summary": "The tag of one content, for ever"}},
    "/c.full.js": {"get": _MOVING | {"summary": "The tag with all that it can do, as this version has it"}},
    "/c.full.{hash}.js": {"get": _PINNED | {"summary": "The tag with all that it can do, of one content"}},
    "/.well-known/gpc.json": {
        "get": {
            "tags": ["doors"],
            "summary": "Global Privacy Control is honoured",
            "security": _OPEN,
            "responses": _responses(s200="that it is, and since when", s405="GET or HEAD"),
        }
    },
    "/p.gif": {
        "get": {
            "tags": ["doors"],
            "summary": "Image pixel",
            "security": _OPEN,
            "parameters": [_parameter(name) for name in _PIXEL],
            "responses": _responses(s200="a GIF; X-Clicktrail says what became of the event"),
        }
    },
    "/c/{campaign}": {"get": {**_REDIRECT, "summary": "Click redirect", "parameters": _CAMPAIGN}},
    "/c/{campaign}/{ad}": {
        "get": {
            **_REDIRECT,
            "summary": "Click redirect of an ad",
            "parameters": [*_CAMPAIGN, _parameter("ad", "path")],
        }
    },
    "/collect": {
        "post": {
            "tags": ["doors"],
            "summary": "Browser beacon",
            "security": _OPEN,
            "requestBody": _json(_BEACON),
            "responses": _responses(
                s202="stored; refused events are named",
                s401="no key, or an unknown one",
                s403="a key of another scope, or an origin that is not on the list",
                s405="POST only",
                **_JSON_ERRORS,
            ),
        }
    },
    "/v1/events": {
        "post": {
            "tags": ["doors"],
            "summary": "Events from servers",
            "parameters": [
                _parameter("wait", description="stored: answer when the pipeline has stored them")
            ],
            "requestBody": _json({"anyOf": [_BATCH, _EVENT]}),
            "responses": _responses(
                s202="stored; refused events are named",
                s401="no key, or an unknown one",
                s403="a key of another scope",
                s405="POST only",
                **_JSON_ERRORS,
            ),
        }
    },
    "/v1/receipts/{receipt}": {
        "get": {
            "tags": ["doors"],
            "summary": "What became of accepted events",
            "parameters": [_parameter("receipt", "path")],
            "responses": _responses(
                s200="an outcome for each event",
                s401="no key, or an unknown one",
                s403="a key of another scope",
                s404="no receipt of this workspace, or older than 7 days",
                s503="the configuration cannot be read at present",
            ),
        }
    },
    "/postback": {
        method: {
            "tags": ["doors"],
            "summary": "Affiliate postback",
            "operationId": f"postback_{method}",
            "parameters": [_parameter(name) for name in _POSTBACK],
            "responses": _responses(
                s200="OK, or the text of return=",
                s400="a field is wrong, by name",
                s401="no key, or an unknown one",
                s403="a key of another scope",
                s413="too large",
                s415="compressed in a way that is not understood",
                s503="nothing can be stored at present; see Retry-After",
            ),
        }
        for method in ("get", "post")
    },
}
