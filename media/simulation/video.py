"""The video of one end in virtual time: a camera, codecs that work at once, and a screen that is kept account of."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media.codecs.video import VideoDecoder, VideoEncoder, make_decoder, make_encoder
from media.engine import MediaEngine
from media.errors import CodecError
from media.quality.video import VideoScore, VideoScorer
from media.video_frame import VideoFrame

Picture = NDArray[np.uint8]
# What codecs take on the machine this is developed on, 640x480; counted in the statistics, not waited for.
ENCODE_SECONDS, DECODE_SECONDS = 0.004, 0.002


@dataclass(frozen=True, slots=True)
class SimulatedVideo:
    """What an end films and how.

    `picture(number)`: I420 of the camera's `number`th moment (from 0), or None: it gives none then. The number should
    be written in the picture (quality/frame_number.py) for the score. `screen(frame, now)` is told of every
    picture shown. The codecs may be replaced, to measure the rest without them.
    """

    picture: Callable[[int], Picture | None] = lambda number: None
    fps: float = 15.0
    screen: Callable[[VideoFrame, float], None] | None = None
    encoder: Callable[[str], VideoEncoder] = make_encoder
    decoder: Callable[[str], VideoDecoder] = make_decoder


class VideoEnd:
    """Between an engine and its SimulatedVideo. `reference`: the other end's pictures, to score what is shown."""

    def __init__(
        self,
        video: SimulatedVideo,
        engine: MediaEngine,
        reference: Callable[[int], Picture | None],
    ) -> None:
        self._video, self._engine = video, engine
        self._encoders: dict[str, VideoEncoder] = {}
        self._decoders: dict[str, VideoDecoder] = {}
        self._scorer = VideoScorer(reference, ssim_every=0)
        self._number = 0
        self.captured: dict[int, float] = {}

    @property
    def period(self) -> float:
        """Seconds between pictures."""
        return 1 / self._video.fps

    def capture(self, now: float) -> None:
        """The camera's next moment."""
        picture = self._video.picture(self._number)
        if picture is not None:
            self.captured[self._number] = now
            self._engine.push_video(VideoFrame(picture, now), now)
        self._number += 1

    def work(self, now: float) -> None:
        """The codecs' work, and the pictures whose time has come."""
        sender, receiver = self._engine.video_sender, self._engine.video_receiver
        assert sender is not None and receiver is not None
        while (encode := self._engine.next_encode_request()) is not None:
            encoder = self._encoders.get(encode.codec) or self._video.encoder(encode.codec)
            self._encoders[encode.codec] = encoder
            try:
                frame = encoder.encode(
                    encode.frame.data,
                    time=encode.time,
                    key_frame=encode.key_frame,
                    bitrate_bps=encode.bitrate_bps,
                )
            except CodecError:
                frame = None
            data, key = (None, False) if frame is None else (frame.data, frame.key_frame)
            sender.receive_encoded(encode, data, key, ENCODE_SECONDS, now)
        while (decode := self._engine.next_decode_request()) is not None:
            decoder = self._decoders.get(decode.codec) or self._video.decoder(decode.codec)
            self._decoders[decode.codec] = decoder
            try:
                pictures: list[Picture] | None = decoder.decode(decode.frame.data)
            except CodecError:
                pictures = None
            receiver.receive_decoded(decode, pictures, DECODE_SECONDS, now)
        for shown in self._engine.pictures_to_show(now):
            self._scorer.add(shown, now)
            if self._video.screen is not None:
                self._video.screen(shown, now)

    def score(self, captured: dict[int, float], end: float) -> VideoScore | None:
        """What was seen of the other end's pictures; None when it took none."""
        return self._scorer.score(captured, end) if captured else None

    def close(self) -> None:
        for encoder in self._encoders.values():
            encoder.close()
        for decoder in self._decoders.values():
            decoder.close()
