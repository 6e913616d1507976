"""PCMU, PCMA and G.722 with aiortc, which has codecs of its own for them: both ends hear the other's tone."""

import asyncio
from typing import Any

import av
import pytest

from tests.interop.conftest import PATIENCE, Call
from tests.interop.material import RATE, Plan
from tests.interop.peers import Aiortc, Ours


class AiortcWithOneCodec(Aiortc):
    """It offers, or answers with, nothing else."""

    name = ""

    def _prefer(self) -> None:
        super()._prefer()
        codecs = self._rtc.RTCRtpSender.getCapabilities("audio").codecs
        wanted = [c for c in codecs if c.mimeType.upper() == f"AUDIO/{self.name}"]
        assert wanted, f"aiortc has no {self.name}"
        for transceiver in self._pc.getTransceivers():
            transceiver.setCodecPreferences(wanted)

    async def _listen(self, track: Any) -> None:
        """Its frames have the codec's rate."""
        to_48k = av.AudioResampler("s16", "mono", RATE)
        try:
            while True:
                for frame in to_48k.resample(await track.recv()):
                    self.ears.write(frame.to_ndarray().reshape(-1))
        except self._rtc.mediastreams.MediaStreamError:
            pass

    async def answer(self, offer: str) -> str:
        self._prefer()
        return await super().answer(offer)


@pytest.mark.parametrize("name", ["PCMU", "PCMA", "G722"])
@pytest.mark.parametrize("we_offer", [True, False])
async def test_a_call_with_an_old_codec(name: str, we_offer: bool) -> None:
    theirs: Any = type("Theirs", (AiortcWithOneCodec,), {"name": name})
    plan = Plan("ours", "aiortc") if we_offer else Plan("aiortc", "ours")
    call = Call(plan, {"ours": Ours, "aiortc": theirs})
    try:
        await call.connect()
        async with asyncio.timeout(PATIENCE):
            await call.works()
        ours: Any = call.offerer if we_offer else call.answerer
        assert ours.connection._engine.receiver.codec == name
    finally:
        await call.close()
