"""`/openapi.json` is valid and says what is served, `/docs` shows it without a byte from elsewhere."""

import re
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import validate

from hedgegridd.control import docs as docs_module
from hedgegridd.control.openapi import READS, document, example_of
from hedgegridd.control.operation import Role
from hedgegridd.operations import REGISTRY
from tests.unit.control_fakes import BTC, FakeBus
from tests.unit.test_control_http import served

DOCUMENT = document(REGISTRY, (BTC,))
OWN = {
    ("get", "/"),
    ("get", "/openapi.json"),
    ("get", "/docs"),
    ("post", "/login"),
    ("post", "/logout"),
}


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)


def test_every_route_is_in_it_and_nothing_else() -> None:
    told = {(method, path) for path, item in DOCUMENT["paths"].items() for method in item}
    routed = {(kind.method.lower(), path) for kind in REGISTRY.verbs.values() for path in kind.paths}
    assert told == routed | OWN


@pytest.mark.parametrize("verb", sorted(REGISTRY.verbs))
def test_an_operation_has_its_role_its_answers_and_its_fields(verb: str) -> None:
    kind = REGISTRY.verbs[verb]
    told = DOCUMENT["paths"][kind.paths[0]][kind.method.lower()]
    assert told["x-role"] == kind.role.label
    assert bool(told.get("security")) == (kind.role is not Role.NONE)
    assert {"200", "400", "403", "422", "503"} <= set(told["responses"])
    assert ("401" in told["responses"]) == (kind.role is not Role.NONE)
    if kind.method == "GET":
        names = {each["name"] for each in told.get("parameters", ())}
        assert names == {*kind.__struct_fields__, *kind.header_fields}
    else:
        assert {"202", "409", "413", "415"} <= set(told["responses"])
        schema = DOCUMENT["components"]["schemas"][kind.__name__]
        assert set(schema["properties"]) == set(kind.__struct_fields__)
        assert "Idempotency-Key" in {each["name"] for each in told["parameters"]}


@pytest.mark.parametrize("verb", sorted(REGISTRY.verbs))
def test_an_example_is_the_one_of_the_help_and_is_taken(verb: str) -> None:
    kind = REGISTRY.verbs[verb]
    example = example_of(kind)
    if example is not None:
        assert msgspec.convert(example, kind)
        help_line = (kind.__doc__ or "").partition("Example:")[2]
        texts = [
            text for value in example.values() for text in (value if isinstance(value, dict) else [value])
        ]
        assert all(str(text).lower() in help_line.lower() for text in texts)


def test_the_texts_pattern_is_what_is_taken() -> None:
    pattern = re.compile(DOCUMENT["components"]["schemas"]["Rearm"]["properties"]["reason"]["pattern"])
    for text, taken in [
        ("it is safe: Ünïcödé 漢字 😀", True),
        ("a\nb", False),
        ("\u202e", False),
        ("\x9f", False),
    ]:
        assert bool(pattern.search(text)) == taken, text


@pytest.mark.parametrize("verb", sorted(READS))
async def test_what_a_read_always_has_is_there(verb: str) -> None:
    kind = REGISTRY.verbs[verb]
    async with (
        served(FakeBus()) as (session, _),
        session.get(kind.paths[0], headers={"X-API-Key": "hgd_v"}) as response,
    ):
        assert set(READS[verb]) <= set(await response.json())


async def test_the_document_is_served_to_anybody() -> None:
    async with served(FakeBus()) as (session, _), session.get("/openapi.json") as response:
        assert response.status == 200
        assert await response.json() == msgspec.json.decode(msgspec.json.encode(DOCUMENT))


async def test_the_page_takes_nothing_from_elsewhere() -> None:
    async with served(FakeBus()) as (session, _):
        async with session.get("/docs") as response:
            assert response.status == 200
            page = await response.text()
            policy = response.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        assert "default-src 'none'" in policy
        assert "://" not in page
        for path in re.findall(r'(?:src|href)="([^"]+)"', page):
            async with session.get(path) as response:
                assert response.status == 200, path
                assert await response.read()


async def test_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs_module, "PACKAGE", "no_such_package_here")
    async with served(FakeBus()) as (session, _), session.get("/docs") as response:
        assert response.status == 503
        body: dict[str, Any] = await response.json(content_type=None)
        assert "swagger-ui-py" in body["detail"]


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json"])
async def test_another_method_is_told_which_is_taken(path: str) -> None:
    async with served(FakeBus()) as (session, _), session.post(path) as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize("word", ["null", "NULL", "None"])
async def test_nothing_is_not_named_in_a_query(word: str) -> None:
    """The words that a lenient reading takes for null are wrong values: a field is there or it is not."""
    async with (
        served(FakeBus()) as (session, _),
        session.get("/fills", params={"before": word}, headers={"X-API-Key": "hgd_v"}) as response,
    ):
        assert response.status == 422
        assert (await response.json(content_type=None))["field"] == "before"
