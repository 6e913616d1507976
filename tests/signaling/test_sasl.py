import base64

import pytest
from hypothesis import given
from hypothesis import strategies as some

from signaling.errors import SaslError
from signaling.sasl import PlainCredentials, decode_plain, encode_plain


def test_the_rfcs_own_example():
    """RFC 4616 section 4."""
    assert (
        encode_plain(PlainCredentials("tim", "tanstaaftanstaaf"))
        == base64.b64encode(b"\0tim\0tanstaaftanstaaf").decode()
    )
    assert decode_plain(base64.b64encode(b"Ursel\0Kurt\0xipj3plmq").decode()) == PlainCredentials(
        "Kurt", "xipj3plmq", "Ursel"
    )


def test_the_password_is_not_shown():
    assert "secret" not in repr(PlainCredentials("a", "secret"))


@pytest.mark.parametrize("message", [b"", b"a", b"\0a", b"\0\0b", b"\0a\0", b"\0a\0b\0c", b"x" * 9000])
def test_malformed(message):
    with pytest.raises(SaslError) as error:
        decode_plain(base64.b64encode(message).decode())
    assert error.value.condition == "malformed-request"


@pytest.mark.parametrize("text", ["***", "A", "é", base64.b64encode(b"\0\xff\0b").decode()])
def test_not_encoded(text):
    with pytest.raises(SaslError) as error:
        decode_plain(text)
    assert error.value.condition == "incorrect-encoding"


def test_nul_cannot_be_encoded():
    with pytest.raises(ValueError):
        encode_plain(PlainCredentials("a\0b", "c"))


@given(some.text(max_size=100))
def test_any_text(text):
    try:
        decode_plain(text)
    except SaslError:
        pass
