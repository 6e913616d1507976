"""What happens in the middle of a call with a browser, and what a page sends that asks for devices."""

import asyncio

from tests.interop.material import OFFERER, Card, Plan

PATIENCE = 25.0


async def renegotiate(offerer, answerer) -> None:
    await offerer.accept(await answerer.answer(await offerer.offer()))


async def test_our_camera_joins_a_voice_call_with_chromium(make_call) -> None:
    call = make_call(Plan("ours", "chromium", trickle=True))
    await call.connect()
    await call.works()
    ours, browser = call.offerer, call.answerer
    ours.connection.set_camera(Card(OFFERER))
    await renegotiate(ours, browser)
    async with asyncio.timeout(PATIENCE):
        await browser.seen()
    ours.ears.again()  # and the voice goes on
    async with asyncio.timeout(PATIENCE):
        await ours.heard()


async def test_chromium_s_camera_joins_a_voice_call(make_call) -> None:
    call = make_call(Plan("ours", "chromium", trickle=True))
    await call.connect()
    await call.works()
    ours, browser = call.offerer, call.answerer
    ours.connection.set_screen(ours.eyes)
    await browser.page.run("addCard()")
    await renegotiate(browser, ours)
    async with asyncio.timeout(PATIENCE):
        await ours.seen()


async def test_chromium_restarts_ice(make_call) -> None:
    call = make_call(Plan("chromium", "ours"))
    await call.connect()
    await call.works()
    browser, ours = call.offerer, call.answerer
    before = await browser.page.run("selectedPair()")
    await browser.page.run("restartIce()")
    await renegotiate(browser, ours)
    await moved(browser, before)
    ours.ears.again()
    async with asyncio.timeout(PATIENCE):
        await ours.heard()


async def test_we_restart_ice_with_chromium(make_call) -> None:
    call = make_call(Plan("ours", "chromium"))
    await call.connect()
    await call.works()
    ours, browser = call.offerer, call.answerer
    before = await browser.page.run("selectedPair()")
    ours.restart = True
    await renegotiate(ours, browser)
    await moved(browser, before)
    ours.ears.again()
    async with asyncio.timeout(PATIENCE):
        await ours.heard()


async def moved(browser, before: list[int]) -> None:
    """The browser's selected pair has a new port at our end: we gathered anew."""
    async with asyncio.timeout(PATIENCE):
        while (await browser.page.run("selectedPair()"))[1] == before[1]:
            pass


async def test_a_page_s_microphone_and_camera(make_call) -> None:
    """getUserMedia with the browser's own processing: beeps, and pictures of another size than ours."""
    call = make_call(Plan("chromium", "ours", "VP8", devices=True))
    await call.connect()
    ours = call.answerer
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(ours.ears.anything.wait(), ours.eyes.anything.wait())
        await asyncio.gather(call.offerer.heard(), call.offerer.seen())
