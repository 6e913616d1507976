"""The video codecs' work in threads of their own: one for encoding, one for decoding, made when there is work.

libvpx and FFmpeg let go of the interpreter lock, so the loop goes on meanwhile. Results come back to the loop.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from media.codecs.video import EncodedFrame, VideoDecoder, VideoEncoder, make_decoder, make_encoder
from media.errors import CodecError
from media.io.realtime import take_ordinary_turns
from media.streams.video_receiver import DecodeRequest
from media.streams.video_sender import EncodeRequest

logger = logging.getLogger(__name__)

Encoded = Callable[[EncodeRequest, bytes | None, bool, float], None]
Decoded = Callable[[DecodeRequest, list[NDArray[np.uint8]] | None, float], None]


class VideoWorkers:
    """Encoder and decoder of one connection. `encoded` and `decoded` are called on the loop."""

    def __init__(self, *, encoded: Encoded, decoded: Decoded) -> None:
        self._encoded, self._decoded = encoded, decoded
        self._loop = asyncio.get_running_loop()
        # Of the codec that the last request was for; each belongs to its thread.
        self._encoder: VideoEncoder | None = None
        self._decoder: VideoDecoder | None = None
        self._encodes = self._decodes = ""
        self._encoding: ThreadPoolExecutor | None = None
        self._decoding: ThreadPoolExecutor | None = None
        self._closed = False

    def encode(self, request: EncodeRequest) -> None:
        if self._encoding is None:
            self._encoding = ThreadPoolExecutor(1, "ringline-encode", take_ordinary_turns)
        self._encoding.submit(self._encode, request)

    def decode(self, request: DecodeRequest) -> None:
        if self._decoding is None:
            self._decoding = ThreadPoolExecutor(1, "ringline-decode", take_ordinary_turns)
        self._decoding.submit(self._decode, request)

    async def close(self) -> None:
        """Let the work in hand end, forget the rest."""
        self._closed = True
        for pool in (self._encoding, self._decoding):
            if pool is not None:
                pool.shutdown(wait=False, cancel_futures=True)
        pools = [p for p in (self._encoding, self._decoding) if p is not None]
        if pools:
            await self._loop.run_in_executor(None, _join, pools)
        for codec in (self._encoder, self._decoder):
            if codec is not None:
                codec.close()

    # -- in the threads

    def _encode(self, request: EncodeRequest) -> None:
        started = time.perf_counter()
        frame: EncodedFrame | None = None
        try:
            if self._encoder is None or self._encodes != request.codec:
                if self._encoder is not None:
                    self._encoder.close()
                self._encoder, self._encodes = make_encoder(request.codec), request.codec
            frame = self._encoder.encode(
                request.frame.data,
                time=request.time,
                key_frame=request.key_frame,
                bitrate_bps=request.bitrate_bps,
            )
        except Exception as error:
            self._fail("encoder", error)
        seconds = time.perf_counter() - started
        data, key = (None, False) if frame is None else (frame.data, frame.key_frame)
        self._report(lambda: self._encoded(request, data, key, seconds))

    def _decode(self, request: DecodeRequest) -> None:
        started = time.perf_counter()
        pictures: list[NDArray[np.uint8]] | None = None
        try:
            if self._decoder is None or self._decodes != request.codec:
                if self._decoder is not None:
                    self._decoder.close()
                self._decoder, self._decodes = make_decoder(request.codec), request.codec
            pictures = self._decoder.decode(request.frame.data)
        except Exception as error:
            self._fail("decoder", error)
        seconds = time.perf_counter() - started
        self._report(lambda: self._decoded(request, pictures, seconds))

    def _fail(self, what: str, error: Exception) -> None:
        """A codec's refusal is news of the stream; anything else is a bug, which the call survives all the same."""
        if isinstance(error, CodecError):
            logger.info("video %s: %s", what, error)
        else:
            logger.exception("video %s", what)

    def _report(self, call: Callable[[], None]) -> None:
        if not self._closed:
            try:
                self._loop.call_soon_threadsafe(call)
            except RuntimeError:
                pass  # the loop has ended


def _join(pools: list[ThreadPoolExecutor]) -> None:
    for pool in pools:
        pool.shutdown(wait=True)
