"""Errors of the HTTP part as application/problem+json (RFC 9457), and reading a JSON body."""

import json
import logging
import math
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any

from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

logger = logging.getLogger(__name__)

# protocol.md section 1: code -> (status, default title)
PROBLEMS = {
    "bad_json": (400, "the body is not JSON"),
    "bad_request": (400, "the request is not understood"),
    "invalid_number": (400, "this is not a valid phone number"),
    "bad_key": (400, "device_key is not an Ed25519 public key"),
    "bad_proof": (400, "the proof does not fit the device key and this registration"),
    "bad_token": (401, "the token is not valid; get a new one"),
    "device_revoked": (401, "this device is not registered any more; register again"),
    "clock_skew": (401, "the clock of this device is wrong; see the Date header"),
    "wrong_code": (403, "the code is wrong"),
    "country_not_served": (403, "numbers of this country are not served here"),
    "not_found": (404, "there is nothing here"),
    "bad_method": (405, "this method is not allowed here"),
    "registration_over": (410, "this registration is over; start a new one"),
    "too_large": (413, "the body is too large"),
    "not_json": (415, "Content-Type must be application/json"),
    "too_many": (429, "too many requests; try again later"),
    "internal": (500, "the server made a mistake"),
    "sms_failed": (502, "the SMS could not be sent"),
    "unavailable": (503, "the server is not available right now"),
}
BY_STATUS = {404: "not_found", 405: "bad_method", 413: "too_large", 415: "not_json"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Problem(Exception):
    """An answer that is an error. `code` is a key of PROBLEMS; `title` replaces the default sentence."""

    def __init__(
        self, code: str, title: str = "", retry_after_s: float | None = None, tries_left: int | None = None
    ) -> None:
        super().__init__(code)
        self.code = code
        self.title = title
        self.retry_after_s = retry_after_s
        self.tries_left = tries_left

    def response(self, now: float) -> web.Response:
        status, title = PROBLEMS[self.code]
        body: dict[str, Any] = {"code": self.code, "title": self.title or title}
        headers = {"Date": formatdate(now, usegmt=True), "Cache-Control": "no-store"}
        if self.retry_after_s is not None:
            body["retry_after_s"] = math.ceil(self.retry_after_s)
            headers["Retry-After"] = str(body["retry_after_s"])
        if self.tries_left is not None:
            body["tries_left"] = self.tries_left
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return web.json_response(
            body, status=status, headers=headers, content_type="application/problem+json"
        )


def problem_middleware(clock: Callable[[], float]) -> Any:
    """Turns every exception of a handler into a problem; a traceback goes to the log for our own bugs only."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Problem as error:
            problem = error
        except web.HTTPException as error:
            if error.status < 400:
                raise
            problem = Problem(BY_STATUS.get(error.status, "bad_request"))
        except SQLAlchemyError as error:
            logger.error("the store failed: %s", type(error).__name__)
            problem = Problem("unavailable")
        except (ConnectionError, TimeoutError):
            problem = Problem("bad_request", "the request did not arrive completely")
        except Exception:
            logger.exception("%s %s failed", request.method, request.match_info.route.name or "request")
            problem = Problem("internal")
        return problem.response(clock())

    return middleware


async def read_body(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body. Raises Problem: not_json, too_large, bad_json, bad_request."""
    if request.content_type != "application/json":
        raise Problem("not_json")
    data = await request.read()
    try:
        body = json.loads(data.decode())
    except (ValueError, RecursionError):
        raise Problem("bad_json") from None
    if not isinstance(body, dict):
        raise Problem("bad_request", "the body must be a JSON object")
    return body


def text_field(body: dict[str, Any], name: str, max_length: int, optional: bool = False) -> str:
    """A text of printable characters; "" if absent and optional. Raises Problem(bad_request) naming the field."""
    value = body.get(name)
    if value is None and optional:
        return ""
    if not isinstance(value, str) or not value or len(value) > max_length or not value.isprintable():
        raise Problem("bad_request", f"{name} must be a text of 1 to {max_length} characters")
    return value
