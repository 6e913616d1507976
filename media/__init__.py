"""Ringline's calling engine: WebRTC on the wire, so that a browser, aiortc or libwebrtc is a possible peer."""

from media.audio_processing.settings import AudioProcessingSettings
from media.errors import (
    CodecError,
    ConnectionClosed,
    MediaError,
    NegotiationError,
    PacketError,
    SdpError,
    SourceError,
)
from media.io.data_channel import DataChannel
from media.io.devices import Microphone, Speaker, list_devices
from media.io.files import AudioFile, AudioRecorder, load_speech
from media.io.ice_syntax import IceServer
from media.io.peer_connection import PeerConnection
from media.io.realtime import avoid_pauses
from media.io.sources import AudioSink, AudioSource, Discard, GeneratedVoice, PullSink, Silence, Tone
from media.quality.report import QualityReport
from media.simulation.profiles import get_profile

__all__ = [
    "AudioFile",
    "AudioProcessingSettings",
    "AudioRecorder",
    "AudioSink",
    "AudioSource",
    "CodecError",
    "ConnectionClosed",
    "DataChannel",
    "Discard",
    "GeneratedVoice",
    "IceServer",
    "MediaError",
    "Microphone",
    "NegotiationError",
    "PacketError",
    "PeerConnection",
    "PullSink",
    "QualityReport",
    "SdpError",
    "Silence",
    "SourceError",
    "Speaker",
    "Tone",
    "avoid_pauses",
    "get_profile",
    "list_devices",
    "load_speech",
]
