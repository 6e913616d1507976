"""G.722 at 64 kbit/s by PyAV: a byte for two samples at 16 kHz."""

import av
import numpy as np

from media.codecs.base import Samples
from media.errors import CodecError

SAMPLE_RATE = 16000


class G722Compressor:
    """`frame_samples`: how many at 16 kHz are compressed at a time, an even number."""

    def __init__(self, frame_samples: int) -> None:
        self._context = av.CodecContext.create("g722", "w")
        assert isinstance(self._context, av.AudioCodecContext)
        self._context.sample_rate = SAMPLE_RATE
        self._context.layout = "mono"
        self._context.format = "s16"
        self._context.options = {"frame_size": str(frame_samples)}

    def compress(self, samples: Samples) -> bytes:
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "mono")
        frame.sample_rate = SAMPLE_RATE
        return b"".join(bytes(packet) for packet in self._context.encode(frame))


class G722Expander:
    def __init__(self) -> None:
        self._context = av.CodecContext.create("g722", "r")
        assert isinstance(self._context, av.AudioCodecContext)
        self._context.sample_rate = SAMPLE_RATE
        self._context.layout = "mono"

    def expand(self, payload: bytes) -> Samples:
        """Raises CodecError where FFmpeg refuses it."""
        try:
            frames = self._context.decode(av.Packet(payload))
        except av.FFmpegError as error:
            raise CodecError(f"G.722 decode: {error}") from None
        return np.concatenate([frame.to_ndarray()[0] for frame in frames] or [np.zeros(0, np.int16)])
