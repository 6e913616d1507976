import pytest

from signaling.network_address import address_key, address_path, is_loopback, network_key


def test_one_address():
    assert address_key("192.0.2.1") == "192.0.2.1" == address_key("::ffff:192.0.2.1")
    assert (
        address_key("2001:db8:1:2::1")
        == address_key("2001:db8:1:2:ffff::9")
        != address_key("2001:db8:1:3::1")
    )
    assert address_key("fe80::1%eth0") == "fe80::/64"
    assert address_key(None) == address_key("nonsense") == "unknown"


@pytest.mark.parametrize(
    "address",
    [
        "198.51.100.7",
        "198.51.100.7:4711",  # with the port, as some proxies write it
        "::ffff:198.51.100.7",
        "[::ffff:198.51.100.7]:443",
        "64:ff9b::198.51.100.7",  # NAT64: the whole of IPv4 would be one /64
        "64:ff9b::c633:6407%eth0",
        "2002:c633:6407::1",  # 6to4: one IPv4 address would have a /48
        "2002:c633:6407:ffff:1:2:3:4",
        "2001:0:4136:e378:8000:63bf:39cc:9bf8",  # Teredo: all clients of one server would be one /64
    ],
)
def test_an_ipv4_address_in_any_clothes_is_that_address(address):
    assert address_path(address) == ("198.51.100.0/24", "198.51.100.7")
    assert address_key(address) == "198.51.100.7" and network_key(address) == "198.51.100.0/24"


def test_ports_and_brackets_do_not_count():
    assert (
        address_key("[2001:db8::1]:443")
        == address_key("[2001:db8::1]")
        == address_key("2001:db8::1")
        != "unknown"
    )
    for nonsense in ("198.51.100.7:1:2", "[", "[]", ":", "1.2.3.4:x:y", "[1.2.3.4"):
        assert address_key(nonsense) in ("unknown", "1.2.3.4")


def test_sites_and_networks():
    assert address_path("192.0.2.7") == ("192.0.2.0/24", "192.0.2.7") == address_path("::ffff:192.0.2.7")
    assert address_path("2001:db8:1:2203:4::5") == (
        "2001:db8:1::/48",
        "2001:db8:1:2200::/56",
        "2001:db8:1:2203::/64",
    )
    assert address_path(None) == ("unknown",)
    # A home has 256 networks of /64: they are one.
    assert network_key("2001:db8:1:2203::5") == network_key("2001:db8:1:22ff::5") == "2001:db8:1:2200::/56"
    assert network_key("192.0.2.7") == "192.0.2.0/24" and network_key("x") == "unknown"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.0.2.1", "example.com", "localhost.example.com", "", "127.1"]
)
def test_not_loopback(host):
    assert not is_loopback(host)
