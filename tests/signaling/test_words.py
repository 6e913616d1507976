"""Every reason, code and error class reads as a sentence that a person understands."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

from signaling import errors, words
from signaling.jingle.session import CONDITIONS, EndReason, error_for
from signaling.problem import PROBLEMS

BOB = "+12025550101"
# Not words: identifiers with underscores, class names, exceptions, JSON's own errors, addresses of JIDs.
CODE = re.compile(r"\b[a-z]+_[a-z_]+\b|\b[A-Z][a-z]+[A-Z]\w+|Errno|Expecting value|Traceback|None\b|@")


def assert_sentence(text: str) -> None:
    assert not CODE.search(text), text
    assert len(text.split()) >= 3 and text == text.strip() and text.isprintable(), text
    assert not text.endswith((":", ".", ",", "()")), text


@pytest.mark.parametrize("by_peer", [False, True])
@pytest.mark.parametrize("why", [None, "a detail in words"])
@pytest.mark.parametrize("reason", EndReason)
def test_every_end_of_a_call(reason: EndReason, why: str | None, by_peer: bool) -> None:
    text = words.call_end(reason, BOB, by_peer=by_peer, why=why)
    assert_sentence(text)
    assert why is None or why in text
    assert text != words.call_end("never heard of", BOB, by_peer=by_peer) or reason is EndReason.FAILED
    error = error_for(reason, BOB, why, by_peer=by_peer)
    assert_sentence(str(error))


def test_who_hung_up_is_told() -> None:
    assert words.call_end("hung_up", BOB, by_peer=True) == f"{BOB} hung up"
    assert words.call_end("hung_up", BOB) == "you hung up"


@pytest.mark.parametrize("code", [*PROBLEMS, "a_code_of_the_future"])
@pytest.mark.parametrize(("retry", "tries"), [(None, None), (0.5, None), (None, 0), (30.0, 1), (None, 3)])
def test_every_refusal_of_the_server(code: str, retry: float | None, tries: int | None) -> None:
    title = PROBLEMS.get(code, (0, "that cannot be done now"))[1]
    error = errors.RegistrationError(code, title, retry, tries)
    assert error.code == code
    if code == "bad_request":  # the server names the field that is wrong
        return
    assert_sentence(str(error))


@pytest.mark.parametrize("condition", sorted({*words._CONDITIONS, *CONDITIONS.values(), "never-heard-of"}))
@pytest.mark.parametrize("text", [None, "", "line\nbreak"])
def test_every_refused_stanza(condition: str, text: str | None) -> None:
    assert_sentence(words.stanza_error(condition, text))


def test_a_text_of_the_server_comes_first() -> None:
    assert words.stanza_error("resource-constraint", "the mailbox is full") == "the mailbox is full"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (59, "59 s"),
        (119, "119 s"),
        (120, "2 minutes"),
        (121, "3 minutes"),
        (3600, "1 hour"),
        (90000, "2 days"),
    ],
)
def test_durations_are_never_less_than_they_are(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def classes() -> Iterator[type[errors.SignalingError]]:
    for name in errors.__all__:
        yield getattr(errors, name)


@pytest.mark.parametrize(
    "cls", [c for c in classes() if issubclass(c, errors.CallError)], ids=lambda c: c.__name__
)
def test_every_error_of_a_call_is_a_sentence(cls: type[errors.SignalingError]) -> None:
    values: dict[str, Any] = {
        "number": BOB,
        "reason": "decline",
        "why": "its key has changed",
        "by_peer": False,
        "hint": "Then do this",
        "text": "the call failed: try again",
    }
    if cls is errors.CallError:
        return
    names = inspect.signature(cls).parameters
    assert_sentence(str(cls(**{name: values[name] for name in names})))
