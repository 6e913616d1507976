"""What an IP address means to us: is it this host, and what counts as one client."""

import ipaddress

# RFC 6052 section 2.1: how a translator (NAT64) shows the whole of IPv4 to a host that has IPv6 only.
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")


def address_key(address: str | None) -> str:
    """What counts as one address: an IPv4 address, an IPv6 /64 (RFC 6177: a site has at least that).

    An IPv6 address that stands for an IPv4 one counts as that: all of NAT64 would be one /64, and who has one IPv4
    address would have a whole /48 (6to4). Proxies write the port, too (RFC 7239 section 6).
    """
    try:
        ip = ipaddress.ip_address(_host(address or ""))
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address):
        return str(_ipv4_in(ip) or ipaddress.ip_network((int(ip) >> 64 << 64, 64)))
    return str(ip)


def _host(address: str) -> str:
    """Without brackets, port and zone."""
    if address.startswith("["):
        address = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        address = address.partition(":")[0]
    return address.partition("%")[0]


def _ipv4_in(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if ip in _TRANSLATED:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo is not None else None)


def address_path(address: str | None) -> tuple[str, ...]:
    """From the site to what counts as one address: an IPv4 /24 and the address; an IPv6 /48, /56 and /64.

    A provider gives a home a /56 and a company a /48 (RIPE-690 4.2), a tunnel broker everybody who asks a /48.
    """
    key = address_key(address)
    if ":" not in key:
        return (f"{key.rpartition('.')[0]}.0/24", key) if "." in key else (key,)
    inner = ipaddress.ip_network(key)
    return str(inner.supernet(new_prefix=48)), str(inner.supernet(new_prefix=56)), key


def network_key(address: str | None) -> str:
    """What one person can easily use many addresses of: an IPv4 /24, an IPv6 /56."""
    path = address_path(address)
    return path[-2] if len(path) > 1 else path[0]


def is_loopback(host: str) -> bool:
    """True for `localhost` and for loopback addresses; other names are not resolved."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
