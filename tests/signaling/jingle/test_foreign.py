"""What other clients write, as they write it."""

import pytest

from signaling.jingle.description import checked_parameter
from signaling.jingle.syntax import JingleError


def test_a_bare_parameter_of_stanza_js_is_a_value() -> None:
    """RED's `a=fmtp:63 111/111` comes as <parameter name="111/111"/>: seen in stanza.js 12.22.1."""
    assert checked_parameter("111/111", None) == ("", "111/111")
    assert checked_parameter(None, "111/111") == checked_parameter("", "111/111") == ("", "111/111")
    assert checked_parameter("minptime", "10") == ("minptime", "10")
    for name, value in ((None, None), ("", None), ("a b", None), ("a;b", None), ("a", "")):
        with pytest.raises(JingleError):
            checked_parameter(name, value)
