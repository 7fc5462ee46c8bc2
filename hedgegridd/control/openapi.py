"""The operations as an OpenAPI 3.1 document: routes, fields, roles, answers and examples, all from their Structs."""

import functools
import shlex
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from hedgegridd import __version__
from hedgegridd.control.auth import OWN_HEADER, SIGNATURE
from hedgegridd.control.dispatch import UNSEEN
from hedgegridd.control.once import HEADER as ONCE
from hedgegridd.control.operation import Operation, Registry, Role, summary
from hedgegridd.control.sessions import COOKIE

SCHEMAS = "#/components/schemas/"
NUMBER = r"^-?[0-9]{1,15}(\.[0-9]{1,12})?$"
PROBLEM = "application/problem+json"
JSON = "application/json"

WHY: dict[int, str] = {
    400: "malformed: no JSON object, a field that stands twice, no Host header",
    401: "no key, or a key that is not known",
    403: "the role is too low, no key is configured, or another Host or origin asks",
    404: "not found",
    409: "refused in this state; `accepted` names what is taken now; nothing changed",
    413: "the body is longer than 64 KiB",
    415: "the body is not plain application/json",
    422: "a value is wrong; `field` names it",
    429: "too many requests, or too many wrong keys; `Retry-After` says when",
    503: "not answered, not durable, or not ready",
}

READS: dict[str, tuple[str, ...]] = {
    "health": ("running", "last_bar_timestamp", "health_state", "reasons"),
    "ready": ("ready", "stage", "reasons"),
    "status": (
        "state",
        "time",
        "safe",
        "safe_reason",
        "doing",
        "wrong",
        "do",
        "trading_enabled",
        "snapshot_loaded",
        "balances",
        "holds",
        "kill_switch",
        "instruments",
        "open_orders",
        "margin_ratio",
        "pnl",
        "feeds",
        "dead_man",
    ),
    "ladders": ("ladders",),
    "orders": ("orders",),
    "guards": ("guards", "holds", "off"),
}
"""Names that the answer of a read always has, whatever they hold."""


def document(registry: Registry, instruments: Sequence[str] = ()) -> dict[str, Any]:
    """The whole document, in some tenths of a second; `instruments` are the configured ids, which fields of that name take."""
    kinds = list(registry.verbs.values())
    _, schemas = msgspec.json.schema_components(kinds, ref_template=SCHEMAS + "{name}")
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            _tell_bounds(name, field, instruments)
    paths: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        for number, path in enumerate(kind.paths):
            item = paths.setdefault(path, {})
            item[kind.method.lower()] = _operation(kind, path, number, schemas)
    bodies = {kind.__name__ for kind in kinds if kind.method != "GET"}
    used = {name: schema for name, schema in schemas.items() if name in bodies or not _is_kind(name, kinds)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hedgegridd",
            "version": __version__,
            "description": "Every operation of the daemon. Money, prices and quantities in answers are strings (exact "
            "decimals); ratios, counts and ages in seconds are numbers; what is not known is null, never 0. A command "
            "answers 200 when its outcome is true, 202 when its deadline has passed and the work goes on.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": {**paths, **_own_paths()},
        "components": {
            "schemas": {**used, "Problem": _PROBLEM},
            "responses": {str(status): _problem(text) for status, text in WHY.items()},
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "token": {"type": "apiKey", "in": "header", "name": "X-Ops-Token"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": f"of POST /login; a command needs the header {OWN_HEADER} beside it",
                },
                "signature": {"type": "apiKey", "in": "header", "name": SIGNATURE},
            },
        },
    }


def _is_kind(name: str, kinds: Iterable[type[Operation]]) -> bool:
    return any(kind.__name__ == name for kind in kinds)


def _operation(kind: type[Operation], path: str, number: int, schemas: dict[str, Any]) -> dict[str, Any]:
    text = (kind.__doc__ or "").partition("Example:")[0].strip()
    who = "anybody" if kind.role is Role.NONE else f"role {kind.role.label} or above"
    found: dict[str, Any] = {
        "operationId": kind.verb if not number else f"{kind.verb}_{number + 1}",
        "summary": summary(kind),
        "description": f"{text}\n\nFor {who}."
        + (" A safety command: never refused for its rate." if kind.safety else ""),
        "tags": [kind.role.label],
        "x-role": kind.role.label,
        "responses": _responses(kind),
    }
    if kind.role is not Role.NONE:
        schemes = ("key", "token", "bearer", "session", *(("signature",) if kind.signed else ()))
        found["security"] = [{name: []} for name in schemes]
    in_path = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    if parameters := _parameters(kind, in_path, schemas):
        found["parameters"] = parameters
    if kind.method != "GET":
        needs = any(item.required and item.name not in in_path for item in msgspec.structs.fields(kind))
        body: dict[str, Any] = {"schema": {"$ref": SCHEMAS + kind.__name__}}
        if in_path:
            body["schema"] = _without(schemas[kind.__name__], in_path)
        if (example := example_of(kind)) is not None:
            body["example"] = {name: value for name, value in example.items() if name not in in_path}
        found["requestBody"] = {"required": needs, "content": {JSON: body}}
    return found


def _without(schema: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The body of an operation some of whose fields stand in the path."""
    properties = {name: field for name, field in schema["properties"].items() if name not in names}
    required = [name for name in schema["required"] if name not in names]
    return {**schema, "properties": properties, "required": required}


def _parameters(
    kind: type[Operation], in_path: Sequence[str], schemas: dict[str, Any]
) -> list[dict[str, Any]]:
    """Fields that stand in the path, in the query of a GET, or in a header."""
    headers = {field: name for name, field in kind.header_fields.items()}
    example = example_of(kind) or {}
    found = []
    for item in msgspec.structs.fields(kind):
        name = item.encode_name
        place = "path" if name in in_path else "query" if kind.method == "GET" else ""
        if not place:
            continue
        schema = _not_null(schemas[kind.__name__]["properties"][name])
        told: dict[str, Any] = {
            "name": name,
            "in": place,
            "required": place == "path" or item.required,
            "schema": schema,
        }
        if description := schema.pop("description", ""):
            told["description"] = description
        if name in example:
            told["example"] = example[name]
        found.append(told)
        if name in headers:
            found.append({**told, "name": headers[name], "in": "header"})
    if kind.method != "GET":
        found.append(_ONCE)
    return found


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A field's schema where it cannot be null: a query has it or has it not."""
    choices = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(choices) != 1:
        return dict(schema)
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    return {**choices[0], **rest}


def _responses(kind: type[Operation]) -> dict[str, Any]:
    statuses = [400, 403, 422, 503]
    if kind.role is not Role.NONE:
        statuses.append(401)
    if any("{" in path for path in kind.paths):
        statuses.append(404)
    if kind.method != "GET":
        statuses += [409, 413, 415]
    if not kind.safety or kind.role is not Role.NONE:
        statuses.append(429)
    found = _refs(*statuses)
    found["200"] = _done(kind)
    if kind.method != "GET":
        found["202"] = {**_done(kind), "description": "the deadline has passed, and the work goes on"}
    if kind.verb in ("health", "ready", "backup"):  # they answer 503 with what they found
        found["503"] = {
            "description": WHY[503],
            "content": {**_done(kind)["content"], **_problem("")["content"]},
        }
    return dict(sorted(found.items()))


def _done(kind: type[Operation]) -> dict[str, Any]:
    if kind.streams:
        return {"description": "server-sent events", "content": {"text/event-stream": {}}}
    schema: dict[str, Any] = {"type": "object"}
    if kind.method != "GET":
        schema["properties"] = {"outcome": {"type": "string"}, "journal_late": {"type": "boolean"}}
        schema["required"] = ["outcome"]
    elif kind.verb in READS:
        schema["required"] = list(READS[kind.verb])
    return {"description": "true now", "content": {JSON: {"schema": schema}}}


def _problem(text: str) -> dict[str, Any]:
    return {"description": text, "content": {PROBLEM: {"schema": {"$ref": SCHEMAS + "Problem"}}}}


_ONCE: dict[str, Any] = {
    "name": ONCE,
    "in": "header",
    "required": False,
    "description": "the same key and body within 24 h give the first answer, another body 409",
    "schema": {"type": "string", "pattern": "^[!-~]([ -~]{0,198}[!-~])?$"},
}

_PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "Why nothing changed (RFC 9457).",
    "type": "object",
    "properties": {
        "type": {"const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "field": {"type": "string", "description": "the field at fault"},
        "accepted": {
            "type": "array",
            "items": {"type": "string"},
            "description": "what would be accepted now",
        },
    },
    "required": ["type", "title", "status"],
    "additionalProperties": False,
    "examples": [
        {
            "type": "about:blank",
            "title": "refused",
            "status": 409,
            "detail": "HALTED by T-17; nothing changed",
            "accepted": ["flatten", "status", "rearm"],
        }
    ],
}


def _own_paths() -> dict[str, Any]:
    """What is no operation: this document and its page."""
    refused = _refs(400, 403)

    def got(summary_: str, content: dict[str, Any], more: dict[str, Any] | None = None) -> dict[str, Any]:
        answers = {"200": {"description": "as it is", "content": content}, **refused, **(more or {})}
        return {"get": {"summary": summary_, "tags": ["none"], "x-role": "none", "responses": answers}}

    missing = _refs(503)
    return {
        "/": got(
            "The web page; without HTML asked for, the operations as text.",
            {"text/plain": {}, "text/html": {}},
        ),
        "/login": {"post": _login()},
        "/logout": {"post": _logout()},
        "/openapi.json": got("This document.", {JSON: {"schema": {"type": "object"}}}),
        "/docs": got("This document as a page (Swagger UI).", {"text/html": {}}, missing),
    }


def _refs(*statuses: int) -> dict[str, Any]:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _login() -> dict[str, Any]:
    body = {
        "type": "object",
        "properties": {"key": {"type": "string"}},
        "required": ["key"],
        "additionalProperties": False,
    }
    facts = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "role": {"enum": ["viewer", "operator", "admin"]},
            "expires_s": {"type": "number"},
        },
        "required": ["name", "role", "expires_s"],
    }
    return {
        "summary": "Show a key once; a cookie stands for it from then on (the web page).",
        "tags": ["none"],
        "x-role": "none",
        "requestBody": {"required": True, "content": {JSON: {"schema": body}}},
        "responses": {
            "200": {"description": "the cookie is set", "content": {JSON: {"schema": facts}}},
            **_refs(400, 401, 403, 413, 415, 422, 429, 503),
        },
    }


def _logout() -> dict[str, Any]:
    facts = {"type": "object", "properties": {"ended": {"type": "boolean"}}, "required": ["ended"]}
    return {
        "summary": "End the session of the cookie.",
        "tags": ["none"],
        "x-role": "none",
        "responses": {
            "200": {"description": "whether there was one", "content": {JSON: {"schema": facts}}},
            **_refs(400, 403, 503),
        },
    }


# --- what msgspec's schemas do not tell ------------------------------------------------------------


@functools.cache
def _seen() -> str:
    """The pattern of texts without control, direction and line-breaking characters (see `refuse_control_characters`).

    It looks at every character there is, which takes a tenth of a second.
    """
    ranges: list[list[int]] = []
    for code in range(sys.maxunicode + 1):
        # Surrogates are no characters: JSON cannot carry them, and not every reader of patterns takes them.
        if unicodedata.category(chr(code)) in UNSEEN - {"Cs"}:
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    parts = []
    for low, high in ranges:
        first, last = (f"\\u{code:04x}" if code < 1 << 16 else chr(code) for code in (low, high))
        parts.append(first if low == high else f"{first}-{last}")
    return "^[^" + "".join(parts) + "]*$"


def _tell_bounds(name: str, field: dict[str, Any], instruments: Sequence[str]) -> None:
    for choice in field.get("anyOf", [field]):
        if isinstance(choice.get("additionalProperties"), dict):
            _tell_bounds("", choice["additionalProperties"], instruments)
        elif choice.get("format") == "decimal":
            # A JSON number is taken as it is written, and text keeps it exact on its way.
            bounds = {key: value for key, value in choice.items() if key not in ("type", "format")}
            choice.clear()
            choice.update({"type": ["string", "number"], "pattern": NUMBER, **bounds})
        elif choice.get("type") == "string" and name == "instrument" and instruments:
            choice.clear()
            choice.update({"type": "string", "enum": sorted({*_names(instruments)})})
        elif choice.get("type") == "string" and "enum" not in choice:
            choice.setdefault("pattern", _seen())


def _table(word: str) -> dict[str, str]:
    """`BTCUSDT=2,ETHUSDT=1`, as the command line takes a table."""
    return dict(pair.split("=", 1) for pair in word.split(","))


def _names(instruments: Sequence[str]) -> Iterable[str]:
    """The names by which an instrument may be called."""
    for each in instruments:
        product = each.partition(".")[0]
        yield from (each, product, product.removesuffix("-PERP"))


def example_of(kind: type[Operation]) -> dict[str, Any] | None:
    """The fields of the command line that stands as example in an operation's help; None when it has none."""
    line = (kind.__doc__ or "").partition("Example:")[2].strip().partition("\n")[0]
    words = shlex.split(line)[2:]
    if not words:
        return None
    given: dict[str, Any] = {}
    places = list(kind.positional)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            given[places.pop(0)] = _table(word) if "=" in word else word
        elif (name := word[2:].replace("-", "_")) in kind.__struct_fields__:
            given[name] = words.pop(0)
    if not given:
        return None
    typed = msgspec.convert(given, kind, strict=False)
    fields: dict[str, Any] = msgspec.to_builtins(typed)
    return {name: fields[name] for name in given}
