"""Exceptions become problems; JSON bodies are read and checked."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any

from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from signaling.counters import Counters
from signaling.problem import BY_STATUS, CONTENT_TYPE, Problem

logger = logging.getLogger(__name__)

# Seconds for a body to arrive.
BODY_TIMEOUT = 10.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def problem_middleware(clock: Callable[[], float], counters: Counters) -> Any:
    """Turns every exception of a handler into a problem; a traceback goes to the log for our own bugs only."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
            if not isinstance(response, web.WebSocketResponse):
                counters.count("http_requests", str(response.status))
            return response
        except Problem as error:
            problem = error
        except web.HTTPException as error:
            if error.status < 400:
                raise
            problem = Problem(BY_STATUS.get(error.status, "bad_request"))
        except SQLAlchemyError as error:
            counters.store_failed(error)
            problem = Problem("unavailable")
        except (ConnectionError, TimeoutError, web.PayloadAccessError, web.RequestPayloadError):
            problem = Problem("bad_request", "the request did not arrive completely")
        except Exception:
            logger.exception("%s %s failed", request.method, type(request.match_info.route).__name__)
            problem = Problem("internal")
        counters.count("http_requests", str(problem.status))
        # The date is the clock that tokens are judged by: a client with another one can see it.
        headers = problem.headers() | {"Date": formatdate(clock(), usegmt=True)}
        return web.json_response(
            problem.body(), status=problem.status, headers=headers, content_type=CONTENT_TYPE
        )

    return middleware


async def read_whole(request: web.Request) -> bytes:
    """The body, which the request then has. Raises HTTPRequestEntityTooLarge, TimeoutError."""
    async with asyncio.timeout(BODY_TIMEOUT):
        return await request.read()


async def read_body(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body. Raises Problem: not_json, too_large, bad_json, bad_request; TimeoutError."""
    if request.content_type != "application/json" or "Content-Encoding" in request.headers:
        raise Problem("not_json")
    data = await read_whole(request)
    try:
        body = json.loads(data.decode())
    except (ValueError, RecursionError):
        raise Problem("bad_json") from None
    if not isinstance(body, dict):
        raise Problem("bad_request", "the body must be a JSON object")
    return body
