"""Our PeerConnection with other WebRTC engines, as offerer and as answerer."""

import pytest

from tests.interop.material import Plan

CODECS = {
    "aiortc": ("VP8", "H264"),
    "wrtc": ("VP8",),
    "chromium": ("VP8", "H264"),
    "firefox": ("VP8",),
    "gstreamer": ("VP8", "H264"),
    "ours": ("VP8", "H264"),
}


def plans() -> list[Plan]:
    pairs = [(a, b) for peer in CODECS if peer != "ours" for a, b in (("ours", peer), (peer, "ours"))] + [
        ("ours", "ours")
    ]
    found = []
    for offerer, answerer in pairs:
        found.append(Plan(offerer, answerer, trickle=True))
        foreign = offerer if offerer != "ours" else answerer
        found += [Plan(offerer, answerer, codec, data=codec == "VP8") for codec in CODECS[foreign]]
    return found


@pytest.mark.parametrize("plan", plans(), ids=str)
async def test_call(make_call, plan: Plan) -> None:
    call = make_call(plan)
    await call.connect()
    await call.works()
