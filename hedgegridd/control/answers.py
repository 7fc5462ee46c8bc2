"""Outcomes and problems as HTTP answers."""

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from hedgegridd.control.operation import Outcome, Problem

_encode = msgspec.json.Encoder().encode
SAFE_HEADERS = {"Server": "hedgegridd", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def answer_response(outcome: Outcome) -> web.Response:
    """What an operation found or did."""
    return web.Response(
        body=_encode(outcome.body),
        status=outcome.status,
        content_type="application/json",
        headers=SAFE_HEADERS,
    )


def problem_response(problem: Problem) -> web.Response:
    """Why a request changed nothing."""
    headers = CIMultiDict({**SAFE_HEADERS, **problem.headers})
    response = web.Response(
        body=_encode(problem.body()),
        status=problem.status,
        content_type="application/problem+json",
        headers=headers,
    )
    if headers.get("Connection") == "close":
        response.force_close()
    return response
