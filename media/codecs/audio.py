"""The audio codec that was agreed on, encoder and decoder."""

from media.codecs import waveform
from media.codecs.base import AudioDecoder, AudioEncoder
from media.codecs.opus import SAMPLE_RATE, OpusDecoder, OpusEncoder
from media.parameters import AudioParameters


def create_encoder(parameters: AudioParameters) -> AudioEncoder:
    """It takes frames of `parameters.packet_ms`."""
    if parameters.codec == "opus":
        return OpusEncoder(bitrate_bps=parameters.bitrate_bps, dtx=parameters.use_dtx)
    return waveform.WaveformEncoder(parameters.codec, parameters.packet_ms * SAMPLE_RATE // 1000)


def create_decoder(codec: str) -> AudioDecoder:
    """`codec`: one of AUDIO_CODECS."""
    return OpusDecoder() if codec == "opus" else waveform.WaveformDecoder(codec)
