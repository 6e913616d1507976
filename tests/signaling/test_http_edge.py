import pytest
from multidict import CIMultiDict

from signaling.http_edge import (
    PROXY_HEADERS,
    client_address,
    cors_headers,
    is_foreign_page,
    is_local_caller,
    is_origin,
    websocket_url,
)


def test_only_the_proxys_own_entry_counts():
    assert client_address("10.0.0.1", ["192.0.2.1"], behind_proxy=False) == "10.0.0.1"
    assert client_address("10.0.0.1", ["198.51.100.1, 192.0.2.1"], behind_proxy=True) == "192.0.2.1"
    assert client_address("10.0.0.1", ["192.0.2.1", "192.0.2.2"], behind_proxy=True) == "192.0.2.2"
    for nothing in ([], [""], [" , "]):
        assert client_address("10.0.0.1", nothing, behind_proxy=True) == "10.0.0.1"
    assert client_address(None, [], behind_proxy=True) is None


@pytest.mark.parametrize("name", PROXY_HEADERS)
def test_what_came_through_a_proxy_is_not_local(name):
    for remote in ("127.0.0.1", "::1"):
        assert is_local_caller(remote, CIMultiDict(), behind_proxy=False)
        assert not is_local_caller(remote, CIMultiDict(), behind_proxy=True)
        assert not is_local_caller(remote, CIMultiDict({name.lower(): "x"}), behind_proxy=False)
    assert not is_local_caller("192.0.2.1", CIMultiDict(), behind_proxy=False)
    assert not is_local_caller(None, CIMultiDict(), behind_proxy=False)


def test_the_websocket_is_where_the_caller_found_us():
    own = "http://127.0.0.1:8480"
    assert websocket_url(own, {}, False) == "ws://127.0.0.1:8480/xmpp"
    assert websocket_url(own, {"Host": "localhost:8480"}, False) == "ws://localhost:8480/xmpp"
    assert websocket_url(own, {"Host": "[::1]:8480"}, False) == "ws://[::1]:8480/xmpp"
    for evil in ("evil.example/x", "a b", "<script>", "x:123456", "", "a\r\nb"):
        assert websocket_url(own, {"Host": evil}, False) == "ws://127.0.0.1:8480/xmpp"
    assert (
        websocket_url("https://0.0.0.0:443", {"Host": "calls.example"}, False) == "wss://calls.example/xmpp"
    )
    assert websocket_url(own, {"Host": "calls.example"}, True) == "wss://calls.example/xmpp"
    told = {"Host": "calls.example", "X-Forwarded-Proto": "http"}
    assert websocket_url(own, told, True) == "ws://calls.example/xmpp"
    assert websocket_url(own, told | {"X-Forwarded-Proto": "https"}, False) == "ws://calls.example/xmpp"


APP = frozenset({"https://app.example"})


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({}, False),  # a program
        ({"Origin": "https://calls.example"}, False),
        ({"Origin": "https://Calls.Example"}, False),
        ({"Origin": "https://app.example"}, False),
        ({"Origin": "https://evil.example"}, True),
        ({"Origin": "https://calls.example:8443"}, True),  # another port is another origin
        ({"Origin": "https://calls.example.evil.example"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": ""}, True),
        ({"Origin": "calls.example"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, True),  # <img src=...>
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, True),
        (
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
            False,
        ),  # a link that somebody followed
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, False),
        ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, False),
    ],
)
def test_whose_web_pages_may_ask(headers, foreign):
    assert is_foreign_page(CIMultiDict({"Host": "calls.example"} | headers), APP) is foreign


@pytest.mark.parametrize(
    ("host", "foreign"),
    [
        ("evil.example:8480", True),
        ("calls.example", True),
        ("localhost.evil.example", True),
        ("127.0.0.1.evil.example", True),
        ("xlocalhost", True),
        ("evil.example]", True),
        ("127.0.0.1:8480", False),
        ("[::1]:8480", False),
        ("192.0.2.7", False),
        ("localhost:8480", False),
        ("LOCALHOST", False),
        ("calls.localhost:8480", False),
    ],
)
def test_a_name_that_points_here_for_a_moment_is_not_ours(host, foreign):
    """DNS rebinding: whose page it is says its name, and where that leads is its owner's to say. TLS proves a name."""
    assert is_foreign_page(CIMultiDict({"Host": host, "Origin": f"http://{host}"}), APP) is foreign
    assert not is_foreign_page(
        CIMultiDict({"Host": host, "Origin": f"http://{host}"}), APP | {f"http://{host.lower()}"}
    )
    if "]" not in host:
        assert not is_foreign_page(CIMultiDict({"Host": host, "Origin": f"https://{host}"}), APP)


def test_only_allowed_origins_may_read_the_answers():
    allowed = cors_headers(CIMultiDict({"Origin": "https://app.example"}), APP)
    assert allowed["Access-Control-Allow-Origin"] == "https://app.example" and allowed["Vary"] == "Origin"
    assert cors_headers(CIMultiDict({"Origin": "https://evil.example"}), APP) == {}
    assert (
        cors_headers(CIMultiDict(), APP)
        == {}
        == cors_headers(CIMultiDict({"Origin": "https://a"}), frozenset())
    )


@pytest.mark.parametrize(
    "text", ["*", "app.example", "https://", "https://app.example/", "HTTPS://app.example", "null"]
)
def test_what_is_no_origin(text):
    assert not is_origin(text) and is_origin("https://app.example:8443")
