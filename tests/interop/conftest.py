"""Real peers in real time: what they send the other end must hear, see and answer."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.interop import chromium, firefox, gstreamer, peers, stanza
from tests.interop.browser import Browser, Page, PagePeer
from tests.interop.material import ANSWERER, OFFERER, Plan
from tests.interop.pairs import RECORD, Record
from tests.interop.process_peer import ProcessPeer
from tests.interop.wire import Wire

PATIENCE = 25.0
FETCH_TIMEOUT = 300.0
NO_STANZA = pytest.StashKey[str]()  # why there is no stanza.js; empty when there is


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-docs", action="store_true", help="write the table of pairs into docs/interop.md"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RECORD] = Record()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    item.config.stash[RECORD].add(report)
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    record = config.stash[RECORD]
    if not record.pairs:
        return
    terminalreporter.section("who calls whom")
    terminalreporter.write_line(record.table())
    terminalreporter.write_line(f"With {', '.join(_versions())}.")
    if config.option.write_docs and record.is_whole():
        record.write(_versions())


def _versions() -> list[str]:
    found = peers.versions()
    if command := firefox.find():
        found.append(firefox.version(command))
    if number := gstreamer.find():
        found.append(f"GStreamer {number}")
    if command := chromium.find():
        found.append(chromium.version(command))
        if stanza.bundle_path().exists():
            found.append(f"stanza.js {stanza.VERSION}")
    return found


def pytest_sessionstart(session: pytest.Session) -> None:
    """What is no Python package is fetched before the tests begin: it is not to be part of their time."""
    if session.config.option.collectonly:
        return
    found = {
        ("chromium",): chromium.find(),
        ("firefox-esr",): firefox.find(),
        gstreamer.PACKAGES: gstreamer.find(),
        ("npm",): shutil.which("npm"),
        ("coturn",): shutil.which("turnserver"),
    }
    for packages, there in found.items():
        if there is None and os.geteuid() == 0 and shutil.which("apt-get"):
            print(f"Installing {', '.join(packages)} ...")
            _install(packages)
    session.config.stash[NO_STANZA] = stanza.prepare(FETCH_TIMEOUT)


def _install(packages: tuple[str, ...]) -> None:
    """As root on Debian; a failure is told by the test that is skipped."""
    quiet: dict[str, Any] = {
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "timeout": FETCH_TIMEOUT,
    }
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    try:
        if subprocess.run(install, env=environment, **quiet).returncode:
            subprocess.run(["apt-get", "update", "-qq"], **quiet)
            subprocess.run(install, env=environment, **quiet)
    except subprocess.TimeoutExpired:
        pass


@pytest.fixture(scope="session")
def stanza_ready(request: pytest.FixtureRequest) -> None:
    if reason := request.config.stash[NO_STANZA]:
        pytest.skip(reason)


def _browser(make: type[Browser], command: str | None) -> Iterator[Browser]:
    if command is None:
        pytest.skip(f"{make.name} is not installed (Debian: apt install {make.package})")
    browser = make(command)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    yield from _browser(chromium.Chromium, chromium.find())


@pytest.fixture(scope="session")
def firefox_browser() -> Iterator[Browser]:
    yield from _browser(firefox.Firefox, firefox.find())


@pytest.fixture(scope="session")
def gstreamer_ready() -> None:
    if gstreamer.find() is None:
        pytest.skip(f"GStreamer is not whole (Debian: apt install {' '.join(gstreamer.PACKAGES)})")


ENGINES: dict[str, Callable[..., peers.Peer]] = {
    "ours": peers.Ours,
    "aiortc": peers.Aiortc,
    "wrtc": peers.Wrtc,
}

PAGES: dict[str, tuple[str, type[Page]]] = {
    "chromium": ("browser", chromium.ChromiumPage),
    "firefox": ("firefox_browser", firefox.FirefoxPage),
}


class Call:
    """An offerer and an answerer, joined, by a wire if there is one; candidates wait until both descriptions are there."""

    def __init__(
        self, plan: Plan, engines: dict[str, Callable[..., peers.Peer]], wire: Wire | None = None
    ) -> None:
        self.plan, self.wire = plan, wire
        self.offered = self.answered = ""  # the last descriptions
        self._described = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.offerer = engines[plan.offerer](plan, OFFERER, ANSWERER, self._relay("answerer"))
        self.answerer = engines[plan.answerer](plan, ANSWERER, OFFERER, self._relay("offerer"))

    def _relay(self, to: str) -> Callable[[str, str], Awaitable[None]]:
        async def relay(mid: str, line: str) -> None:
            await self._described.wait()
            passed: str | None = line
            if self.wire is not None:
                passed = await self.wire.candidate("answerer" if to == "offerer" else "offerer", line)
            if passed:
                await getattr(self, to).candidate(mid, passed)

        return relay

    async def connect(self) -> None:
        await self.negotiate("offerer")
        if self.plan.codec and not self.plan.scenario:
            assert f" {self.plan.codec}/90000" in self.answered

    async def negotiate(self, by: str) -> None:
        """Offer and answer; again, in the middle of a call. `by`: offerer or answerer (of the first time)."""
        self._described.clear()
        here, there = getattr(self, by), "answerer" if by == "offerer" else "offerer"
        self.offered = await self._send(await here.offer(), there)
        self.answered = await self._send(await getattr(self, there).answer(self.offered), by)
        await here.accept(self.answered)
        self._described.set()

    async def _send(self, description: str, to: str) -> str:
        """The description as the other end gets it: where everything is to trickle, without its candidates."""
        if not self.plan.trickle and self.wire is None:
            return description
        relay = self._relay(to)
        for line in re.findall(r"^a=(candidate:[^\r\n]+)", description, re.MULTILINE):
            self._tasks.append(asyncio.ensure_future(relay("0", line)))
        return re.sub(r"^a=(candidate:|end-of-candidates)[^\r\n]*\r?\n", "", description, flags=re.MULTILINE)

    async def works(self) -> None:
        """Each end heard a second of the other's tone, saw a second of its pictures and got its messages back."""
        waits = [end.heard() for end in (self.offerer, self.answerer)]
        if self.plan.codec:
            waits += [end.seen() for end in (self.offerer, self.answerer)]
        if self.plan.data:
            waits += [self._talk(end) for end in (self.offerer, self.answerer)]
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*waits)

    async def _talk(self, end: peers.Peer) -> None:
        for message in self.plan.messages:
            assert await end.ask(message) == message

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self.offerer.close()
        finally:
            try:
                await self.answerer.close()
            finally:
                if self.wire is not None:
                    await self.wire.close()


def make_engines(request: pytest.FixtureRequest, plan: Plan) -> dict[str, Callable[..., peers.Peer]]:
    """Those of the plan among them; the test is skipped when one is not there."""
    engines = dict(ENGINES)
    if "wrtc" in (plan.offerer, plan.answerer):
        pytest.importorskip("webrtc", reason="the extra `compare` is not installed")
    for name, (fixture, page) in PAGES.items():
        if name in (plan.offerer, plan.answerer):
            engines[name] = partial(PagePeer, request.getfixturevalue(fixture), page)
    if "gstreamer" in (plan.offerer, plan.answerer):
        request.getfixturevalue("gstreamer_ready")
        engines["gstreamer"] = partial(ProcessPeer, gstreamer.words())
    return engines


@pytest.fixture
def note_plan(request: pytest.FixtureRequest) -> Callable[[Plan], None]:
    """`note_plan(plan)`: the outcome of this test goes into the table of pairs."""
    return lambda plan: request.node.user_properties.append(("plan", plan))


@pytest.fixture
async def make_call(
    request: pytest.FixtureRequest, note_plan: Callable[[Plan], None]
) -> AsyncIterator[Callable[[Plan], Call]]:
    """`make_call(plan)`; the call is closed at the end of the test. That of a scenario has a wire."""
    calls: list[Call] = []

    def make(plan: Plan) -> Call:
        note_plan(plan)
        wire = Wire() if plan.scenario else None
        engines = make_engines(request, plan)
        calls.append(Call(plan, engines, wire))
        return calls[-1]

    yield make
    for call in calls:
        await call.close()
