"""What `dir` and `help` show to who uses the package."""

import importlib
import inspect

import pytest

import signaling


@pytest.mark.parametrize("package", ["media", "signaling"])
def test_every_public_name_is_there_and_listed(package: str) -> None:
    module = importlib.import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is not None and name in dir(module)


def test_a_call_shows_what_its_user_needs_and_nothing_else() -> None:
    shown = {name for name in dir(signaling.Call) if not name.startswith("_")}
    assert shown == {
        "end_sentence",
        "ended",
        "events",
        "hang_up",
        "history",
        "hold",
        "mute",
        "renegotiate",
        "restart_ice",
    }


@pytest.mark.parametrize("name", ["Call", "Client", "IncomingCall"])
def test_what_is_shown_explains_itself(name: str) -> None:
    cls = getattr(signaling, name)
    assert inspect.getdoc(cls)
    for member in (m for m in dir(cls) if not m.startswith("_")):
        value = inspect.getattr_static(cls, member)
        if callable(value) or isinstance(value, property):
            assert member in ("sid", "state", "is_over", "end_reason", "number") or inspect.getdoc(value), (
                f"{name}.{member}"
            )
