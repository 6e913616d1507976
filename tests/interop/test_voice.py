"""Our PeerConnection with aiortc and with libwebrtc, as offerer and as answerer: sound both ways."""

import pytest

PAIRS = [("ours", "aiortc"), ("aiortc", "ours"), ("ours", "wrtc"), ("wrtc", "ours"), ("ours", "ours")]


@pytest.mark.parametrize(("offerer", "answerer"), PAIRS, ids="-".join)
async def test_sound_both_ways(make_call, offerer: str, answerer: str) -> None:
    if "wrtc" in (offerer, answerer):
        pytest.importorskip("webrtc", reason="the extra `compare` is not installed")
    call = make_call(offerer, answerer)
    await call.connect()
    await call.heard()
