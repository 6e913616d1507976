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
from media.io.camera import Camera
from media.io.data_channel import DataChannel
from media.io.devices import Microphone, Speaker, list_devices
from media.io.files import AudioFile, AudioRecorder, load_speech
from media.io.ice_syntax import IceServer
from media.io.peer_connection import PeerConnection
from media.io.realtime import avoid_pauses
from media.io.sources import AudioSink, AudioSource, Discard, GeneratedVoice, PullSink, Silence, Tone
from media.io.tracks import AudioOutputTrack, TrackAudioSource, TrackVideoSource, VideoOutputTrack
from media.io.video_files import VideoFile
from media.io.video_recorder import VideoRecorder
from media.io.video_sinks import DiscardVideo, NumpyScreen, TerminalPreview
from media.io.video_sources import TestPattern, VideoSink, VideoSource
from media.quality.report import QualityReport
from media.simulation.profiles import get_profile
from media.video_frame import VideoFrame

__all__ = [
    "AudioFile",
    "AudioOutputTrack",
    "AudioProcessingSettings",
    "AudioRecorder",
    "AudioSink",
    "AudioSource",
    "Camera",
    "CodecError",
    "ConnectionClosed",
    "DataChannel",
    "Discard",
    "DiscardVideo",
    "GeneratedVoice",
    "IceServer",
    "MediaError",
    "Microphone",
    "NegotiationError",
    "NumpyScreen",
    "PacketError",
    "PeerConnection",
    "PullSink",
    "QualityReport",
    "SdpError",
    "Silence",
    "SourceError",
    "Speaker",
    "TerminalPreview",
    "TestPattern",
    "Tone",
    "TrackAudioSource",
    "TrackVideoSource",
    "VideoFile",
    "VideoFrame",
    "VideoOutputTrack",
    "VideoRecorder",
    "VideoSink",
    "VideoSource",
    "avoid_pauses",
    "get_profile",
    "list_devices",
    "load_speech",
]
