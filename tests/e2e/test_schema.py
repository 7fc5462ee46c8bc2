"""The real daemon answers what its own OpenAPI document allows and forbids as documented; `python -m bench.schema` at length."""

import pytest

from bench import schema

pytestmark = pytest.mark.e2e
REQUESTS = 500
PER_OPERATION = 30


def test_every_answer_is_as_documented(tmp_path_factory: pytest.TempPathFactory) -> None:
    with schema.served(tmp_path_factory.mktemp("schema")) as (bot, key):
        found = schema.check(bot, key, PER_OPERATION, seed=7, phases="examples,fuzzing", timeout_s=300)
        bot.program.check()
        log = bot.program.log.read_text()
    assert found.ok, found.said
    assert found.requests >= REQUESTS, found.said
    assert "Traceback" not in log
