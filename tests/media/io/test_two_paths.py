"""Two local addresses: the ends may choose different pairs, and that is no silence."""

import asyncio

import pytest

from media import Discard, PeerConnection, Tone
from media.io import ice


async def test_sound_on_another_pair_than_ours_counts_as_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice, "DISCONNECTED_AFTER", 0.4)
    monkeypatch.setattr(ice, "WATCH_INTERVAL", 0.05)
    enough = asyncio.Event()
    played = 0

    class Speaker:
        def write(self, samples: object) -> None:
            nonlocal played
            played += 1
            if played == 120:
                enough.set()

        def close(self) -> None:
            pass

    ends = [
        PeerConnection(microphone=Tone(), speaker=speaker, addresses=["127.0.0.1", "127.0.0.2"])
        for speaker in (Speaker(), Discard())
    ]
    await ends[0].set_answer(await ends[1].create_answer(await ends[0].create_offer()))
    await asyncio.wait_for(enough.wait(), 10)
    assert [end.state for end in ends] == ["connected", "connected"]
    happened = [event["kind"] for end in ends for event in end.report().events]
    for end in ends:
        await end.close()
    assert "disconnected" not in happened
