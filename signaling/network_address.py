"""What an IP address means to us: is it this host, and what counts as one client."""

import ipaddress


def address_key(address: str | None) -> str:
    """What counts as one address: an IPv4 address, an IPv6 /64 (RFC 6177: a site has at least that)."""
    try:
        ip = ipaddress.ip_address((address or "").strip("[]").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((int(ip) >> 64 << 64, 64)))
    return str(ip)


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
