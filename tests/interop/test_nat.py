"""A NAT that gives its mapping away in the middle of a call: sound must go both ways again, with each peer, on either side.

The peer lives where this process does, we in a network namespace of our own, a router between us. It masquerades who is
"inside", us or the peer: it lets nobody in who was not called, and when its address is renewed it forgets what it mapped
and maps to other ports, as a router that was restarted.
"""

import asyncio
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import Call, make_engines
from tests.interop.material import Plan
from tests.interop.process_peer import ProcessPeer
from tests.interop.test_network_change import ip

ROOT = Path(__file__).parents[2]
PEER_SIDE, OUR_SIDE = "10.79.1", "10.79.2"  # networks of 24 bits; the router is .1, the ends are .2
RECOVERY = 12.0  # seconds
NUMBERS = itertools.count()
PEERS = ("chromium", "firefox", "gstreamer")


class Router:
    """A namespace between this one and ours. `inside`: "ours" or "peer", whom it masquerades."""

    def __init__(self, inside: str) -> None:
        tag = f"{os.getpid() % 10000}{next(NUMBERS)}"  # a namespace takes a while to go
        self.name, self.our_place = f"ringline-{tag}-nat", f"ringline-{tag}-us"
        self.inside = inside
        self._peer_link, self._first_port = f"rl{tag}p", 20000
        self._outside = "ours" if inside == "peer" else "peer"
        self._made: list[str] = []

    def open(self) -> None:
        for name in (self.name, self.our_place):
            ip("netns", "add", name)
            self._made.append(name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("link", "add", self._peer_link, "type", "veth", "peer", "peer", "netns", self.name)
        ip("-n", self.name, "link", "add", "ours", "type", "veth", "peer", "eth0", "netns", self.our_place)
        ip("address", "add", f"{PEER_SIDE}.2/24", "dev", self._peer_link)
        ip("-n", self.name, "address", "add", f"{PEER_SIDE}.1/24", "dev", "peer")
        ip("-n", self.name, "address", "add", f"{OUR_SIDE}.1/24", "dev", "ours")
        ip("-n", self.our_place, "address", "add", f"{OUR_SIDE}.2/24", "dev", "eth0")
        ip("link", "set", self._peer_link, "up")
        for link in ("peer", "ours"):
            ip("-n", self.name, "link", "set", link, "up")
        ip("-n", self.our_place, "link", "set", "eth0", "up")
        ip("route", "add", f"{OUR_SIDE}.0/24", "via", f"{PEER_SIDE}.1")
        ip("-n", self.our_place, "route", "add", "default", "via", f"{OUR_SIDE}.1")
        ip("netns", "exec", self.name, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        self._route()
        self._map()

    def rebind(self) -> None:
        """Every mapping is forgotten (the kernel does so when the address goes) and new ones are elsewhere."""
        self._first_port += 10000
        self._map()
        side = PEER_SIDE if self._outside == "peer" else OUR_SIDE
        ip("-n", self.name, "address", "del", f"{side}.1/24", "dev", self._outside)
        ip("-n", self.name, "address", "add", f"{side}.1/24", "dev", self._outside)
        self._route()

    def _route(self) -> None:
        """To the peer's other addresses."""
        ip("-n", self.name, "route", "replace", "default", "via", f"{PEER_SIDE}.2")

    def close(self) -> None:
        for name in self._made:
            ip("netns", "delete", name)  # its links go with it

    def _map(self) -> None:
        ports = f"{self._first_port}-{self._first_port + 999}"
        rules = f"""
            table ip nat
            delete table ip nat
            table ip nat {{
                chain out {{
                    type nat hook postrouting priority 100;
                    oifname "{self._outside}" meta l4proto udp masquerade to :{ports} random
                }}
                chain between {{
                    type filter hook forward priority 0; policy accept;
                    iifname "{self._outside}" ct state new drop
                }}
            }}
        """
        words = ["ip", "netns", "exec", self.name, "nft", "-f", "-"]
        subprocess.run(words, input=rules, check=True, capture_output=True, text=True, timeout=10)


@pytest.fixture
def router(request: pytest.FixtureRequest) -> Iterator[Router]:
    tools = ("ip", "nft")
    if sys.platform != "linux" or os.geteuid() != 0 or not all(map(shutil.which, tools)):
        pytest.skip("a NAT needs Linux, root, iproute2 and nftables")
    made = Router(request.param)
    try:
        try:
            made.open()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine allows no NAT: {error.stderr.strip()}")
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("router", ["ours", "peer"], indirect=True)
async def test_sound_goes_both_ways_after_a_nat_forgot(
    router: Router, peer: str, request: pytest.FixtureRequest, note_plan: Any
) -> None:
    plan = (
        Plan(peer, "ours", scenario="NAT") if router.inside == "peer" else Plan("ours", peer, scenario="NAT")
    )
    note_plan(plan)
    words = ["ip", "netns", "exec", router.our_place, sys.executable, "-m", "tests.interop.our_end"]
    engines = make_engines(request, plan)
    engines["ours"] = partial(ProcessPeer, words, addresses=[f"{OUR_SIDE}.2"])
    call = Call(plan, engines)
    try:
        await call.connect()
        await call.works()
        router.rebind()
        gone = time.monotonic()
        await asyncio.sleep(1.0)  # what was on its way has come
        for end in (call.offerer, call.answerer):
            await end.again()
        async with asyncio.timeout(RECOVERY + 10):
            await asyncio.gather(call.offerer.heard(), call.answerer.heard())
        took = time.monotonic() - gone
        print(f"{peer}, {router.inside} behind the NAT: heard again after {took:.1f} s")
        assert took < RECOVERY
    finally:
        await call.close()
