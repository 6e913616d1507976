"""The server's log: one line an event, with fields; no number, token, key or code in clear.

Numbers are written as pseudonyms that only the server's secret can make again. What reaches the log in another way
(a traceback, a library's message) is searched for what looks like a secret as well.
"""

import hashlib
import hmac
import json
import logging
import re
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

from signaling.rate_limit import KeyedBuckets, Rate

_SECRETS = (
    # A JWT or any other compact JWS.
    (re.compile(r"[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}"), "[token]"),
    # 16 random bytes and more as base64url or hex: capitals, small letters and digits together.
    (re.compile(r"(?=[\w-]*[A-Z])(?=[\w-]*[a-z])(?=[\w-]*\d)[\w-]{20,}|\b[0-9a-f]{16,}\b"), "[secret]"),
    (re.compile(r"\+\d{7,15}|\b\d{10,15}\b"), "[number]"),
    (re.compile(r"(?<![\w.:-])\d{6}(?![\w.-])"), "[code]"),
)

# Of a hexadecimal digest: what has no digits looks like no number and no code.
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def redact(text: str) -> str:
    """The text without what looks like a token, key, phone number or six-digit code."""
    for pattern, name in _SECRETS:
        text = pattern.sub(name, text)
    return text


def pseudonym(number: str, secret: bytes) -> str:
    """A number's name in the log: the same each time, and meaningless without the server's secret."""
    digest = hmac.new(secret, b"log " + number.encode(), hashlib.sha256).hexdigest()[:10]
    return "n-" + digest.translate(_LETTERS)


def event(logger: logging.Logger, level: int, what: str, **fields: object) -> None:
    """One line of the log. Numbers are to be given as pseudonyms."""
    if logger.isEnabledFor(level):
        logger.log(level, "%s", what, extra={"fields": fields})


# One kind of event in the log: so many at once, then one in so many seconds.
REPEATED = Rate(50, 10)


class RepeatFilter(logging.Filter):
    """For a handler: lets an event through so often, then now and then with how many were left out (`left_out`), so
    that the log does not grow with the number of strangers.

    One kind of event is one logger, level and text before its arguments; of `event()`, the event's name. Time is that
    of the records.
    """

    def __init__(self, rate: Rate = REPEATED, max_kinds: int = 1000) -> None:
        super().__init__()
        self._buckets = KeyedBuckets(rate, max_kinds)
        self._left_out: OrderedDict[str, int] = OrderedDict()
        self._max_kinds = max_kinds

    def filter(self, record: logging.LogRecord) -> bool:
        what = record.getMessage() if hasattr(record, "fields") else record.msg
        kind = f"{record.name} {record.levelno} {what}"[:200]
        if self._buckets.take(kind, record.created):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            self._left_out.move_to_end(kind)
            if len(self._left_out) > self._max_kinds:
                self._left_out.popitem(last=False)
            return False
        if left_out := self._left_out.pop(kind, 0):
            record.fields = {**getattr(record, "fields", {}), "left_out": left_out}
        return True


class LogFormatter(logging.Formatter):
    """`json`: an object a line; else the words, and the fields as name=value."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = getattr(record, "fields", {})
        message = redact(record.getMessage())
        trace = redact(self.formatException(record.exc_info)) if record.exc_info else ""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        if self._as_json:
            line = {"time": at, "level": record.levelname, "logger": record.name, "event": message}
            line |= {name: redact(v) if isinstance(v, str) else v for name, v in fields.items()}
            return json.dumps(line | ({"traceback": trace} if trace else {}), default=str)
        pairs = "".join(f" {name}={redact(str(value))}" for name, value in fields.items())
        return f"{at} {record.levelname} {record.name}: {message}{pairs}" + (f"\n{trace}" if trace else "")
