"""SMS gateways: the console, a file, a webhook. There is no fixed code and no test mode."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp

from signaling.errors import ServerStartError, SignalingError

WEBHOOK_TIMEOUT = 10.0


class SmsFailed(SignalingError):
    """The gateway refused the message, or broke. `may_be_sent`: the message may be on its way all the same."""

    def __init__(self, message: str, *, may_be_sent: bool = False) -> None:
        super().__init__(message)
        self.may_be_sent = may_be_sent


class SmsUnconfirmed(SmsFailed):
    """The gateway has the message and did not answer in time: it is likely to be sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, may_be_sent=True)


class SmsGateway(Protocol):
    """`description` is for the start-up line: it holds no secret. `leaves_host`: messages reach people, and cost."""

    description: str
    leaves_host: bool

    async def send(self, number: str, text: str) -> None:
        """Hands one message over. Raises SmsFailed, SmsUnconfirmed."""

    async def close(self) -> None: ...


class ConsoleSms:
    description = "SMS to console"
    leaves_host = False

    async def send(self, number: str, text: str) -> None:
        try:
            sys.stdout.write(f"SMS to {number}: {text}\n")
            sys.stdout.flush()
        except OSError as error:
            raise SmsFailed(f"cannot write to the console: {error.strerror}") from None

    async def close(self) -> None: ...


class FileSms:
    """One JSON line a message, {"to", "text"}; the file is 0600."""

    leaves_host = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self.description = f"SMS to file {path}"
        try:
            self._append(b"")
        except OSError as error:
            raise ServerStartError(f"cannot write the SMS file {path}: {error.strerror}") from None

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            os.write(descriptor, line)
        finally:
            os.close(descriptor)

    async def send(self, number: str, text: str) -> None:
        line = json.dumps({"to": number, "text": text}) + "\n"
        try:
            await asyncio.to_thread(self._append, line.encode())
        except OSError as error:
            raise SmsFailed(f"cannot write the SMS file: {error.strerror}") from None

    async def close(self) -> None: ...


class WebhookSms:
    """POST {"to", "text"} as JSON; any 2xx is success. Redirects are not followed: the body is a secret."""

    leaves_host = True

    def __init__(self, url: str) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ServerStartError("--sms webhook: needs an http or https URL")
        self._url = url
        self._session: aiohttp.ClientSession | None = None
        # The path of a webhook is often its password.
        self.description = f"SMS to webhook at {urlsplit(url).hostname}"

    async def send(self, number: str, text: str) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WEBHOOK_TIMEOUT))
        try:
            async with self._session.post(
                self._url, json={"to": number, "text": text}, allow_redirects=False
            ) as answer:
                if not 200 <= answer.status < 300:
                    # Who breaks (5xx) may do so after the message has gone out.
                    raise SmsFailed(
                        f"the SMS webhook answered {answer.status}", may_be_sent=answer.status >= 500
                    )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            # No connection: nobody has the message.
            raise SmsFailed(f"the SMS webhook cannot be reached: {type(error).__name__}") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SmsUnconfirmed(f"the SMS webhook did not answer: {type(error).__name__}") from None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def check_gateway(text: str) -> None:
    """Whether `open_gateway` knows what this is; touches nothing. Raises ServerStartError."""
    if not text.startswith("file:") or text == "file:":
        open_gateway(text)  # which makes no file and no connection for the others


def open_gateway(text: str) -> SmsGateway:
    """`console`, `file:PATH` or `webhook:URL`. Raises ServerStartError."""
    kind, _, rest = text.partition(":")
    if kind == "console" and not rest:
        return ConsoleSms()
    if kind == "file" and rest:
        return FileSms(Path(rest))
    if kind == "webhook" and rest:
        return WebhookSms(rest)
    raise ServerStartError(f"--sms must be console, file:PATH or webhook:URL, not {text!r}")
