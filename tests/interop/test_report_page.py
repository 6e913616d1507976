"""The report's page in Chromium (Debian's package), driven by the DevTools protocol: a file, as a person opens it."""

import asyncio
import base64
import copy
import json
import os
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from media.io.files import AudioRecorder
from media.quality.compare import compare
from media.quality.html import render_html
from media.quality.html_charts import charts
from media.quality.html_compare import render_comparison
from media.quality.html_data import leaves, tables
from media.quality.report import document
from media.simulation.call import SimulatedCall, simulate
from media.simulation.profiles import get_profile
from media.simulation.voice import generate_voice

TIMEOUT = 30.0
SECONDS = 12.0
Document = dict[str, Any]


@pytest.fixture(scope="module")
def chromium() -> str:
    """The browser; installed where that is possible."""
    if path := shutil.which("chromium") or shutil.which("chromium-browser"):
        return path
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip("no chromium here, and not root on Debian to install it")
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    path = shutil.which("chromium")
    if done.returncode or path is None:
        pytest.skip(f"chromium could not be installed: {done.stderr.strip()[-200:]}")
    return path


class Page:
    """A tab. `errors`: exceptions, console errors, violations of the policy; `requests`: what it asked for."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._number = socket, 0
        self.errors: list[str] = []
        self.requests: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json()
            self._note(message)
            if message.get("id") == self._number:
                assert "error" not in message, message
                return dict(message["result"])

    def _note(self, message: dict[str, Any]) -> None:
        method, told = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(told["exceptionDetails"].get("exception", {}).get("description", str(told)))
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.errors.append(str(told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.errors.append(told["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])

    async def open(self, path: Path, width: int = 1280, height: int = 900, phone: bool = False) -> None:
        for domain in ("Runtime", "Log", "Page", "Network"):
            await self.call(f"{domain}.enable")
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        await self.call("Page.navigate", url=path.as_uri())
        await self.until("document.readyState === 'complete'")

    async def run(self, script: str) -> Any:
        result = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait, in the page, until a condition is true."""
        ask = f"const ask = () => ({condition}) ? done(true) : setTimeout(ask, 20)"
        script = f"new Promise(done => {{ {ask}; ask(); }})"
        assert await asyncio.wait_for(self.run(script), TIMEOUT)

    async def drag(self, x: float, y: float, to: float) -> None:
        for kind, at in (
            ("mousePressed", x),
            ("mouseMoved", (x + to) / 2),
            ("mouseMoved", to),
            ("mouseReleased", to),
        ):
            await self.call(
                "Input.dispatchMouseEvent", type=kind, x=at, y=y, button="left", buttons=1, clickCount=1
            )

    async def media(self, **features: str) -> None:
        kind = features.pop("type", "")
        values = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        await self.call("Emulation.setEmulatedMedia", media=kind, features=values)


@pytest.fixture(scope="module")
def browser(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the DevTools of a Chromium of our own."""
    process = subprocess.Popen(
        [
            *(
                chromium,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--remote-debugging-port=0",
                "--no-first-run",
            ),
            *("--disable-background-networking", "--disable-component-update", "about:blank"),
            f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    drain = None
    try:
        address = next(
            (line.split()[-1] for line in process.stderr if "DevTools listening on ws://" in line), None
        )
        assert address, "chromium ended"
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        yield address
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if drain:
            drain.join()
        process.stderr.close()


@pytest.fixture
async def tab(browser: str) -> AsyncIterator[Page]:
    """An empty tab that shares nothing (storage, cache) with others."""
    async with aiohttp.ClientSession() as session, session.ws_connect(browser) as socket:
        whole = Page(socket)
        context = await whole.call("Target.createBrowserContext")
        target = await whole.call("Target.createTarget", url="about:blank", **context)
        address = f"{browser.partition('/devtools')[0]}/devtools/page/{target['targetId']}"
        async with session.ws_connect(address, max_msg_size=0) as inner:
            yield Page(inner)
        await whole.call("Target.disposeBrowserContext", **context)


@pytest.fixture(scope="module")
def call() -> SimulatedCall:
    voices = (generate_voice(1, SECONDS), generate_voice(2, SECONDS))
    return simulate(get_profile("burst"), 1, voices, seconds=SECONDS)


@pytest.fixture
def report(call: SimulatedCall) -> Document:
    """A real report of both ends; the caller's with members of video, events and loss runs."""
    content: Document = json.loads(document(call.caller, call.callee, network="burst"))
    seconds = [
        {"time": s["time"], "frames_per_second": 28.5 + i % 3, "bitrate_bps": 5e5 + i, "lost_percent": i / 2,
         "av_offset_ms": 10.0 - i, "frame_delay_ms": 70.0 + i, "width": 640, "height": 480}
        for i, s in enumerate(content["ends"][0]["received"])
    ]  # fmt: skip
    content["ends"][0] |= {
        "loss_runs": {"1": 12, "2": 3, "7": 1},
        "events": [{"time": 3.0, "kind": "muted", "duration": 2.0, "text": "by the other end"}],
        "video": {
            "received": seconds,
            "sent": [{"time": s["time"], "frames_per_second": 30.0, "target_bitrate_bps": 8e5} for s in seconds],
            "freezes": [{"start": 4.2, "duration": 0.75}],
            "summary": {"frames_per_second": 29.4, "freezes": 1, "frozen_seconds": 0.75, "longest_freeze_ms": 750.0},
            "score": {"psnr_db": 38.5, "by_frame": [
                {"number": n, "time": n / 30, "psnr_db": 38 + n % 5 / 10} for n in range(90)]},
        },
    }  # fmt: skip
    return content


@pytest.fixture
def page_file(report: Document, call: SimulatedCall, tmp_path: Path) -> Path:
    sounds = {}
    for name, heard in (("caller heard", call.caller_heard), ("callee heard", call.callee_heard)):
        sounds[name] = tmp_path / f"{name}.wav"
        recorder = AudioRecorder(sounds[name])
        recorder.write(heard)
        recorder.close()
    path = tmp_path / "report.html"
    path.write_text(render_html(report, sounds=sounds), encoding="utf-8")
    return path


@pytest.fixture
def with_page(tab: Page) -> Callable[..., Coroutine[Any, Any, Page]]:
    """`await with_page(path, width=...)`: the page of that file, opened."""

    async def opened(path: Path, **size: Any) -> Page:
        await tab.open(path, **size)
        await tab.until("document.documentElement.dataset.ready === 'true'")
        return tab

    return opened


async def test_no_error_and_nothing_loaded(with_page: Any, page_file: Path) -> None:
    page = await with_page(page_file)
    for zoom in ("worst", "in", "left", "right", "out", "all"):
        await page.run(f"document.querySelector('[data-zoom={zoom}]').click()")
    await page.run(
        "document.querySelector('#theme').click(); document.querySelector('.legend button').click()"
    )
    await page.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    await page.run("window.scrollTo(0, document.body.scrollHeight)")
    assert page.errors == []
    assert {url.split(":")[0] for url in page.requests} <= {"file", "data"}
    assert [url for url in page.requests if url.startswith("file:")] == [page_file.as_uri()]


async def test_an_error_would_be_seen(tab: Page, tmp_path: Path, page_file: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text(
        page_file.read_text().replace("const content = JSON.parse", "const content = JSON.parze")
    )
    await tab.open(broken)
    assert any("parze" in error for error in tab.errors)
    await tab.run("fetch('https://example.invalid/').catch(() => 0)")
    assert any("Content Security Policy" in error for error in tab.errors)


async def test_every_figure_is_there(with_page: Any, page_file: Path, report: Document) -> None:
    page = await with_page(page_file)
    shown = await page.run(
        "Object.fromEntries([...document.querySelectorAll('[data-path]')].map(e => [e.dataset.path, e.textContent]))"
    )
    for index, end in enumerate(report["ends"]):
        for path, value in leaves(end):
            assert shown.pop(f"ends.{index}.{path}") == ("null" if value is None else str(value))
    assert shown == {"schema": report["schema"], "network": "burst"}
    await page.run("document.querySelectorAll('details.series').forEach(d => { d.open = true; })")
    await page.until("[...document.querySelectorAll('details.series')].every(d => d.querySelector('table'))")
    filled = await page.run(
        """[...document.querySelectorAll('details.series')].map(d => [d.dataset.list,
            [...d.querySelectorAll('tr')].map(r => [...r.children].map(c => c.textContent))])"""
    )
    found = {tuple(json.loads(where)): rows for where, rows in filled}
    expected = {
        ("ends", i, *path): rows for i, end in enumerate(report["ends"]) for path, rows in tables(end)
    }
    assert found.keys() == expected.keys() and len(found) == 11
    for where, rows in expected.items():
        heads, *cells = found[where]
        assert len(cells) == len(rows)
        for row, shown_row in zip(rows, cells, strict=True):
            for name, text in zip(heads, shown_row, strict=True):
                value = row.get(name)
                same = text == str(value) if isinstance(value, str) else json.loads(text) == value
                assert same, (where, name, text, value)


async def test_the_charts_are_the_report_s(with_page: Any, page_file: Path, report: Document) -> None:
    page = await with_page(page_file)
    await page.run("dispatchEvent(new Event('beforeprint'))")  # draws those that are out of sight, too
    expected = charts(report)
    data = await page.run("JSON.parse(document.querySelector('#content').textContent).charts")
    assert data == json.loads(json.dumps([chart.to_dict() for chart in expected]))
    drawn = await page.run(
        """[...document.querySelectorAll('.chart')].map(c => [c.dataset.key, Number(c.dataset.end),
            [...new Set([...c.querySelectorAll('[data-name]')].map(e => e.dataset.name))]])"""
    )
    assert [(key, end) for key, end, _ in drawn] == [(chart.key, chart.end) for chart in expected]
    assert {"mos", "loss", "delay", "rate", "fps", "av", "psnr"} <= {chart.key for chart in expected}
    for (key, end, names), chart in zip(drawn, expected, strict=True):
        shown = [t.name for t in chart.traces if any(v is not None for v in t.y)]
        assert names == shown, (key, end)
    # A value of the caller's quality stands at its height: the scale is 1 to 4.6 between the margins.
    heights = await page.run(
        """(() => { const d = document.querySelector('[data-key=mos] [data-name=listening]').getAttribute('d');
            return d.match(/[MV][-\\d. ]+/g).map(p => Number(p.startsWith('M') ? p.split(' ')[1] : p.slice(1))); })()"""
    )
    height = await page.run("document.querySelector('[data-key=mos] .plot').clientHeight")
    mos = [second["mos_lq"] for second in report["ends"][0]["received"]]
    assert heights == [pytest.approx(10 + (4.6 - m) / 3.6 * (height - 30), abs=0.06) for m in mos]


async def test_the_time_lines_zoom_together(with_page: Any, page_file: Path) -> None:
    page = await with_page(page_file, height=1600)
    zoomed = "document.documentElement.dataset.range"
    await page.run("document.querySelector('[data-key=loss]').scrollIntoView({block: 'center'})")
    await page.run("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    whole = await page.run(zoomed)
    assert whole.startswith("0,")
    box = await page.run(
        """(() => { const b = document.querySelector('[data-key=loss] .plot').getBoundingClientRect();
            return [b.left + 42, b.width - 52, b.top + b.height / 2]; })()"""
    )
    await page.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] + box[1] / 2, y=box[2])
    await page.until("document.querySelector('[data-key=loss] .tip').textContent.includes('concealed')")
    await page.until("document.querySelector('[data-key=mos] .cursor').style.display === 'block'")
    await page.drag(box[0] + box[1] * 0.25, box[2], box[0] + box[1] * 0.75)
    await page.until(f"{zoomed} !== '{whole}'")
    start, stop = map(float, (await page.run(zoomed)).split(","))
    length = float(whole.split(",")[1])
    assert start == pytest.approx(length * 0.25, rel=0.05) and stop == pytest.approx(length * 0.75, rel=0.05)
    await page.run("document.querySelector('[data-zoom=all]').click()")
    await page.until(f"{zoomed} === '{whole}'")
    assert page.errors == []


async def test_light_and_dark(with_page: Any, page_file: Path) -> None:
    page = await with_page(page_file)
    paper = "getComputedStyle(document.body).backgroundColor"
    line = "getComputedStyle(document.querySelector('[data-key=mos] .trace')).stroke"
    await page.run("document.querySelector('[data-key=mos]').scrollIntoView()")
    await page.until("document.querySelector('[data-key=mos] .trace')")
    await page.media(prefers_color_scheme="light")
    light = [await page.run(paper), await page.run(line)]
    await page.media(prefers_color_scheme="dark")
    await page.until(f"{line} !== '{light[1]}'")
    dark = [await page.run(paper), await page.run(line)]
    assert dark[0] != light[0]
    await page.run("document.querySelector('#theme').click()")
    await page.until(f"{line} === '{light[1]}'")
    assert await page.run(paper) == light[0]
    await with_page(page_file)
    assert await page.run(paper) == light[0]  # the switch is remembered


async def test_a_phone_shows_one_end_and_does_not_scroll_sideways(with_page: Any, page_file: Path) -> None:
    page = await with_page(page_file, width=390, height=800, phone=True)
    shown = "[...document.querySelectorAll('.chart')].filter(c => c.offsetParent).map(c => c.dataset.end)"
    assert set(await page.run(shown)) == {"0"}
    await page.run("document.querySelectorAll('.tabs button')[1].click()")
    assert set(await page.run(shown)) == {"1"}
    assert await page.run("document.documentElement.scrollWidth") == 390
    widths = "[...document.querySelectorAll('.plot svg')].map(e => e.getBoundingClientRect().width)"
    assert max(await page.run(widths)) < 390
    assert await page.run("document.documentElement.scrollHeight") < 4500, "compact: four or five screens"
    await page.run("document.querySelector('#more').click()")
    assert await page.run("[...document.querySelectorAll('.chart')].filter(c => c.offsetParent).length") > 6


async def test_on_paper(with_page: Any, page_file: Path) -> None:
    page = await with_page(page_file)
    await page.media(prefers_color_scheme="dark")
    printed = await page.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
    assert base64.b64decode(printed["data"]).startswith(b"%PDF-")
    await page.media(type="print", prefers_color_scheme="dark")
    await page.until("getComputedStyle(document.body).backgroundColor === 'rgb(255, 255, 255)'")
    hidden = "['.tools', '#sounds', '#figures', '#theme'].filter(s => document.querySelector(s).offsetParent).length"
    assert await page.run(hidden) == 0
    assert set(
        await page.run(
            "[...document.querySelectorAll('.chart')].filter(c => c.offsetParent).map(c => c.dataset.end)"
        )
    ) == {"0", "1"}
    color = "getComputedStyle(document.querySelector('[data-key=mos] .trace')).stroke"
    await page.until(f"{color} === 'rgb(31, 111, 214)'")  # that of the light theme
    assert page.errors == []


async def test_the_players_play(with_page: Any, page_file: Path, report: Document) -> None:
    page = await with_page(page_file)
    await page.until("[...document.querySelectorAll('audio')].every(a => a.readyState >= 1 || a.error)")
    told = await page.run("[...document.querySelectorAll('audio')].map(a => [a.error, a.duration])")
    assert [error for error, _ in told] == [None, None]
    for _, duration in told:
        assert duration == pytest.approx(SECONDS, abs=0.2)
    await page.run("document.querySelector('[data-seek]').click()")
    await page.until(
        "document.querySelector('audio').currentTime > Number(document.querySelector('[data-seek]').dataset.seek)"
    )
    worst = report["ends"][0]["summary"]["worst"]["time"]
    assert await page.run("document.querySelector('audio').currentTime") == pytest.approx(
        max(worst - 2.5, 0), abs=3
    )


async def test_a_comparison(with_page: Any, report: Document, tmp_path: Path) -> None:
    better = copy.deepcopy(report)
    for end in better["ends"]:
        end["summary"]["mos_lq"] += 0.5
        for second in end["received"]:
            second["lost_percent"] = 0.0
    path = tmp_path / "compare.html"
    path.write_text(render_comparison(report, better, ("before", "after")), encoding="utf-8")
    page = await with_page(path)
    assert page.errors == []
    assert "MOS, listening (caller and callee)" in await page.run(
        "document.querySelector('.verdict').textContent"
    )
    names = await page.run("[...document.querySelectorAll('[data-name]')].map(e => e.dataset.name)")
    assert names == [r.name for end in compare(report, better).ends for part in end.parts for r in part.rows]
    lines = await page.run(
        """JSON.parse(document.querySelector('#content').textContent).charts
            .find(c => c.key === 'loss-lost_percent' && c.end === 0).traces.map(t => [t.name, t.y])"""
    )
    lost = [second["lost_percent"] for second in report["ends"][0]["received"]]
    assert lines == [["before", lost], ["after", [0] * len(lost)]]
    assert (
        await page.run("document.querySelectorAll('[data-key=loss-lost_percent] .legend button').length") == 4
    )
