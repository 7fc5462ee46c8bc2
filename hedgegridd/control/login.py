"""`POST /login` and `POST /logout`: the web page shows its key once, then a cookie stands for it.

An event stream of a browser can send no headers, so the page needs a cookie; a script keeps to `X-API-Key`.
"""

import msgspec
from aiohttp import web

from hedgegridd.control.answers import answer_response
from hedgegridd.control.auth import Auth
from hedgegridd.control.operation import Outcome, Problem
from hedgegridd.control.sessions import COOKIE, LASTS_S, cookie_token
from hedgegridd.control.strict_json import refuse_twice

LOGIN = "/login"
LOGOUT = "/logout"


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /login`."""

    key: str


async def log_in(auth: Auth, request: web.BaseRequest, raw: bytes, *, secure: bool) -> web.Response:
    """Open a session: `name`, `role` and `expires_s`, and the cookie (`secure` behind a proxy that ends TLS).

    Raises:
        Problem: 400 no JSON object, 401 a wrong key, 422 no key, 429 too many wrong ones, 503 it cannot be kept.
    """
    try:
        login = msgspec.json.decode(raw or b"{}", type=Login)
    except msgspec.ValidationError as error:
        if not raw.lstrip().startswith(b"{"):
            raise Problem(400, "malformed", "the body must be a JSON object with `key`") from error
        raise Problem(422, "wrong value", "login takes `key` and nothing else", field="key") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "malformed", f"the body is no JSON object: {error}") from error
    if raw:
        refuse_twice(raw)
    token, caller = await auth.login(login.key, request.headers, request.remote or "")
    name = caller.client.partition(":")[2]
    response = answer_response(Outcome({"name": name, "role": caller.role.label, "expires_s": LASTS_S}))
    response.set_cookie(
        COOKIE, token, max_age=LASTS_S, path="/", httponly=True, samesite="Strict", secure=secure
    )
    return response


async def log_out(auth: Auth, request: web.BaseRequest) -> web.Response:
    """End the session of the cookie; `ended` says whether there was one. Nobody's session but one's own can be ended.

    Raises:
        Problem: 503, it is over now, but a restart might find it again.
    """
    token = cookie_token(request.headers.get("Cookie", ""))
    ended = False
    if token is not None and auth.sessions is not None:
        try:
            ended = await auth.sessions.close(token)
        except OSError as error:
            raise Problem(503, "not durable", f"the session is over, but still on disk: {error}") from error
    response = answer_response(Outcome({"ended": ended}))
    response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")
    return response
