"""Codecs in threads: what raises, what is slow, and what is closed meanwhile."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from media.codecs.video import EncodedFrame
from media.errors import CodecError
from media.io import video_workers
from media.io.video_workers import VideoWorkers
from media.payload.frame_buffer import AssembledFrame
from media.simulation.picture import Pattern
from media.streams.video_receiver import DecodeRequest
from media.streams.video_sender import EncodeRequest
from media.video_frame import VideoFrame

PATTERN = Pattern(160, 120)


def encode_request(number: int = 0, codec: str = "VP8") -> EncodeRequest:
    return EncodeRequest(VideoFrame(PATTERN.picture(number), 0.0), number * 3000, number == 0, 300_000, codec)


def decode_request(data: bytes, codec: str = "VP8") -> DecodeRequest:
    return DecodeRequest(AssembledFrame(0, 0, 0, data, True), 0.0, 7, codec)


class Results:
    """What the workers reported, on the loop."""

    def __init__(self) -> None:
        self.encoded: asyncio.Queue[tuple[bytes | None, bool, float]] = asyncio.Queue()
        self.decoded: asyncio.Queue[list[np.ndarray] | None] = asyncio.Queue()
        self.workers = VideoWorkers(
            encoded=lambda request, data, key, seconds: self.encoded.put_nowait((data, key, seconds)),
            decoded=lambda request, pictures, seconds: self.decoded.put_nowait(pictures),
        )


def codec_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("ringline-") and "code" in t.name]


class Codec:
    """`act` is called in the thread for every picture and frame."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act
        self.closed = 0

    def encode(self, picture: np.ndarray, **more: Any) -> EncodedFrame:
        self.act()
        return EncodedFrame(b"\0frame", True)

    def decode(self, data: bytes) -> list[np.ndarray]:
        self.act()
        return [PATTERN.picture(0)]

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Codec], None]:
    def put(codec: Codec) -> None:
        monkeypatch.setattr(video_workers, "make_encoder", lambda name: codec)
        monkeypatch.setattr(video_workers, "make_decoder", lambda name: codec)

    return put


async def test_a_picture_goes_through_real_codecs_and_threads_end() -> None:
    results = Results()
    results.workers.encode(encode_request())
    data, key, seconds = await asyncio.wait_for(results.encoded.get(), 5)
    assert data is not None and key and seconds > 0
    results.workers.decode(decode_request(data))
    pictures = await asyncio.wait_for(results.decoded.get(), 5)
    assert pictures is not None and pictures[0].shape == (180, 160)
    assert len(codec_threads()) == 2
    await results.workers.close()
    assert codec_threads() == []


@pytest.mark.parametrize("error", [CodecError("no"), RuntimeError("a bug"), MemoryError()])
async def test_a_codec_that_raises_is_a_result_and_the_next_one_is_tried(
    error: Exception, use: Callable[[Codec], None]
) -> None:
    failures = [error]

    def act() -> None:
        if failures:
            raise failures.pop()

    codec = Codec(act)
    use(codec)
    results = Results()
    results.workers.encode(encode_request())
    assert (await asyncio.wait_for(results.encoded.get(), 5))[:2] == (None, False)
    results.workers.encode(encode_request(1))
    assert (await asyncio.wait_for(results.encoded.get(), 5))[:2] == (b"\0frame", True)
    failures.append(error)
    results.workers.decode(decode_request(b"x"))
    assert await asyncio.wait_for(results.decoded.get(), 5) is None
    results.workers.decode(decode_request(b"x"))
    assert await asyncio.wait_for(results.decoded.get(), 5) is not None
    await results.workers.close()
    assert codec.closed == 2


async def test_a_codec_that_cannot_be_made_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise CodecError("no such codec")

    monkeypatch.setattr(video_workers, "make_decoder", refuse)
    results = Results()
    results.workers.decode(decode_request(b"x"))
    assert await asyncio.wait_for(results.decoded.get(), 5) is None
    await results.workers.close()


async def test_close_while_working_waits_for_the_work_in_hand_and_forgets_the_rest(
    use: Callable[[Codec], None],
) -> None:
    begun, go = threading.Event(), threading.Event()
    calls = []

    def act() -> None:
        calls.append(1)
        begun.set()
        go.wait(5)

    codec = Codec(act)
    use(codec)
    results = Results()
    for n in range(5):
        results.workers.encode(encode_request(n))
    await asyncio.get_running_loop().run_in_executor(None, begun.wait, 5)
    closing = asyncio.ensure_future(results.workers.close())
    await asyncio.sleep(0)
    assert not closing.done()
    go.set()
    await asyncio.wait_for(closing, 5)
    assert len(calls) == 1 and codec.closed == 1 and results.encoded.empty() and codec_threads() == []


async def test_close_without_work_and_twice() -> None:
    results = Results()
    await results.workers.close()
    await results.workers.close()


async def test_the_codec_changes_with_the_requests() -> None:
    """A later pair of descriptions changes it; work of the one before may still be waiting."""
    results = Results()
    for codec in ("VP8", "H264", "VP8"):
        results.workers.encode(encode_request(codec=codec))
        data, key, _ = await asyncio.wait_for(results.encoded.get(), 5)
        assert data is not None and key and data.startswith(b"\0\0\0\1") is (codec == "H264")
        results.workers.decode(decode_request(data, codec))
        pictures = await asyncio.wait_for(results.decoded.get(), 5)
        assert pictures is not None and pictures[0].shape == (180, 160)
    assert len(codec_threads()) == 2
    await results.workers.close()
