import io
import json
import logging

import pytest

from signaling.logs import LogFormatter, RepeatFilter, event
from signaling.rate_limit import Rate


@pytest.fixture
def log():
    """A logger of its own behind the filter; `lines()` is what came through, as JSON."""
    logger, stream = logging.Logger("strangers", logging.INFO), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RepeatFilter(Rate(5, 10)))
    handler.setFormatter(LogFormatter(as_json=True))
    logger.addHandler(handler)
    logger.lines = lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    return logger


@pytest.fixture
def at(monkeypatch):
    """at(seconds): the records' time."""

    def turn(seconds):
        monkeypatch.setattr("time.time", lambda: 1e9 + seconds)

    turn(0)
    return turn


def test_the_log_does_not_grow_with_the_number_of_strangers(log, at):
    for n in range(10_000):
        at(n / 1000)
        event(log, logging.INFO, "login refused", address=f"192.0.2.{n % 250}")
    assert len(log.lines()) == 5
    at(30)
    event(log, logging.INFO, "login refused", address="192.0.2.1")
    told = log.lines()[5]
    assert told["left_out"] == 9_995 and told["address"] == "192.0.2.1"
    event(log, logging.INFO, "login refused", address="192.0.2.1")
    assert "left_out" not in log.lines()[6]


def test_other_events_are_heard_meanwhile(log, at):
    for n in range(100):
        event(log, logging.INFO, "login refused", address=n)
        log.error("the store failed: %s", n)  # whatever the arguments
    event(log, logging.INFO, "serving", url="x")
    events = [line["event"] for line in log.lines()]
    assert events.count("login refused") == 5 and "serving" in events
    assert sum(text.startswith("the store failed") for text in events) == 5


def test_kinds_without_end_are_not_remembered(at):
    filter_ = RepeatFilter(Rate(1, 10), max_kinds=10)
    for n in range(1000):
        for _ in range(2):
            filter_.filter(logging.makeLogRecord({"name": "x", "levelno": 20, "msg": f"made up {n}"}))
    assert len(filter_._left_out) <= 10 and len(filter_._buckets) <= 10
