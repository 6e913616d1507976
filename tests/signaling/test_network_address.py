import pytest

from signaling.network_address import address_key, is_loopback


def test_one_address():
    assert address_key("192.0.2.1") == "192.0.2.1" == address_key("::ffff:192.0.2.1")
    assert (
        address_key("2001:db8:1:2::1")
        == address_key("2001:db8:1:2:ffff::9")
        != address_key("2001:db8:1:3::1")
    )
    assert address_key("fe80::1%eth0") == "fe80::/64"
    assert address_key(None) == address_key("nonsense") == "unknown"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.0.2.1", "example.com", "localhost.example.com", "", "127.1"]
)
def test_not_loopback(host):
    assert not is_loopback(host)
