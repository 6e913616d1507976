"""Microphone and loudspeaker of a call: their options, and a line that shows how loud both are."""

import argparse
from collections.abc import Iterator
from typing import Any

from media import AudioProcessingSettings, MediaError, Microphone, PeerConnection, Speaker
from media.io.loopback import LoopbackSystem
from media.io.sound_system import MiniaudioSystem, SoundSystem

DEFAULT = ""  # the option without a name


def add_sound_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("microphone and speaker").add_argument
    device: dict[str, Any] = {"nargs": "?", "const": DEFAULT, "metavar": "NAME"}
    add(
        "--microphone",
        **device,
        help="talk: the default microphone, or one that `ringline sound-devices` lists",
    )
    add("--speaker", **device, help="listen: the default loudspeaker, or one of the list")
    add("--devices", action="store_true", help="both defaults")
    add(
        "--sound-system",
        metavar="NAME",
        help="pulseaudio, alsa, jack, null ...; or loopback: a room that does not exist, in which what is played "
        "comes back to the microphone",
    )
    for name in ("echo-cancellation", "noise-suppression", "auto-gain-control"):
        add(f"--{name}", action=argparse.BooleanOptionalAction, default=True)


def make_devices(options: argparse.Namespace) -> tuple[Microphone | None, Speaker | None]:
    """Those that were asked for. Raises MediaError."""
    if options.devices:
        options.microphone, options.speaker = options.microphone or DEFAULT, options.speaker or DEFAULT
    if options.microphone is not None and (options.play or getattr(options, "echo", False)):
        raise MediaError("--microphone goes neither with --play nor with --echo")
    if options.speaker is not None and (options.record or getattr(options, "echo", False)):
        raise MediaError("--speaker goes neither with --record nor with --echo")
    if options.microphone is None and options.speaker is None:
        return None, None
    name = options.sound_system
    system: SoundSystem = LoopbackSystem() if name == "loopback" else MiniaudioSystem(name)
    speaker = None if options.speaker is None else Speaker(options.speaker or None, system=system)
    if options.microphone is None:
        return None, speaker
    processing = AudioProcessingSettings(
        echo_cancellation=options.echo_cancellation,
        noise_suppression=options.noise_suppression,
        auto_gain_control=options.auto_gain_control,
    )
    microphone = Microphone(options.microphone or None, speaker=speaker, processing=processing, system=system)
    return microphone, speaker


def make_ringer(options: argparse.Namespace) -> Speaker | None:
    """The loudspeaker that was asked for, to ring with before the call has it. Raises MediaError."""
    if not options.devices and options.speaker is None:
        return None
    if options.sound_system == "loopback":
        return None  # a room without people
    return Speaker(options.speaker or None, system=MiniaudioSystem(options.sound_system))


def levels(connection: PeerConnection) -> list[str]:
    """How loud each device is at this moment."""
    devices = (connection.microphone, connection.speaker)
    return [level_line(device) for device in devices if isinstance(device, Microphone | Speaker)]


def device_events(connection: PeerConnection, connected: float | None) -> Iterator[dict[str, object]]:
    """What happened to the devices, on the report's clock, which begins when the connection stood."""
    for device in (connection.microphone, connection.speaker):
        for event in getattr(device, "events", ()):
            if connected is not None:
                time = event.at - connection.created_at - connected
                yield {"time": max(0.0, time), "kind": f"{event.direction} {event.kind}", "text": event.text}


def level_line(device: Microphone | Speaker) -> str:
    """`microphone [#####|    ] -23 dBFS`: RMS as a bar, the peak as a mark; -60 dBFS at the left."""
    name = "microphone" if isinstance(device, Microphone) else "speaker"
    if not device.is_open:
        return f"{name} [ no device  ]"
    filled = _column(device.level.rms_dbfs)
    bar = list("#" * filled + " " * (12 - filled))
    peak = _column(device.level.peak_dbfs)
    if peak:
        bar[peak - 1] = "|"
    return f"{name} [{''.join(bar)}] {device.level.rms_dbfs:4.0f} dBFS"


def _column(dbfs: float) -> int:
    return min(12, max(0, round((dbfs + 60) / 5)))
