"""What both ends of a call share: their options, the engine that these make, and what is told when it is over."""

import argparse
import asyncio
import json
import signal
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from media import (
    AudioFile,
    AudioRecorder,
    AudioSink,
    AudioSource,
    Discard,
    GeneratedVoice,
    MediaError,
    PeerConnection,
    avoid_pauses,
    get_profile,
)
from media.io.call_sound import CallSound
from media.io.files import check_recording, open_recorder
from media.io.outputs import check_output, write_text
from media.io.video_recorder import AudioSide, VideoRecorder
from media.quality.html import render_html
from media.quality.html_sounds import MAX_EMBEDDED
from media.quality.report import document
from ringline import terminal
from ringline.arguments import local_address, network, profile, seed, sound_file
from ringline.sound import add_sound_options, device_events, make_devices
from ringline.video import add_video_options, make_camera, make_screen, pictures
from signaling import Call, CallError, Client, ServerUnreachable, SignalingError

EXIT_FAILED, EXIT_CALL_FAILED, EXIT_INTERRUPTED = 1, 3, 130
SLOW = 1.5
# A server that is just being started listens after a second or two.
PATIENCE = 8.0
RETELL_CHECK, RETELL_INTERVAL = 0.1, 15.0


def add_call_options(parser: argparse.ArgumentParser) -> None:
    """Options that caller and callee have in common."""
    add = parser.add_argument
    add("--profile", required=True, type=profile, metavar="FILE", help="made by `ringline register`")
    add(
        "--play",
        type=sound_file,
        metavar="FILE",
        help="sound to send: anything that PyAV opens (default: a generated voice)",
    )
    add(
        "--record",
        type=Path,
        metavar="FILE",
        help="write what is heard (.wav), or heard and seen (.mp4, .webm)",
    )
    add_sound_options(parser)
    add_video_options(parser)
    add("--report", type=Path, metavar="FILE.json", help="write the quality report")
    add("--html", type=Path, metavar="FILE.html", help="write it as a page, with what was said and heard")
    add(
        "--network",
        type=network,
        default="none",
        metavar="NAME",
        help="emulate a network towards the other end, e.g. wifi: `ringline networks` lists them",
    )
    add("--seed", type=seed, default=1, help="of the emulated network (default 1)")
    add("--preconnect", action="store_true", help="connect while it rings, if the other end wants it as well")
    add("--quiet", action="store_true", help="do not print the report's table")
    here = "use only this local address (may be repeated)"
    add("--address", type=local_address, action="append", metavar="IP", help=here)


def check_outputs(options: argparse.Namespace) -> None:
    """Before the call: can what it will write be written? Raises MediaError."""
    if options.record:
        check_recording(options.record)
    if options.report:
        check_output(options.report)
    if options.html:
        check_output(options.html)


def check_devices(options: argparse.Namespace) -> None:
    """Before the call: do the devices that it will use exist? Raises MediaError."""
    for device in make_devices(options):
        if device is not None:
            device.close()


async def come_online(client: Client, patience: float | None = None) -> None:
    """Wait for the server, and say what it is that one waits for.

    Raises:
        ServerUnreachable: after `patience` seconds; None: never.
    """
    clock = asyncio.get_running_loop().time
    began = told_at = clock()
    told = ""
    while True:
        try:
            await client.wait_online(RETELL_CHECK)
            break
        except ServerUnreachable:
            if patience is not None and clock() - began >= patience:
                raise
            trouble = client.trouble
            if trouble is None and clock() - began < SLOW:
                continue  # it is on its way
            trouble = trouble or "the server does not answer yet"
            if trouble != told or clock() - told_at >= RETELL_INTERVAL:
                waited = f" (for {clock() - began:.0f} s)" if told else ""
                terminal.say(f"{trouble}; trying again{waited} ...")
                told, told_at = trouble, clock()
    if told:
        terminal.say("the server is there")


def tell_about_picture(options: argparse.Namespace) -> None:
    """Where the other side's picture goes; said once the call stands."""
    if options.video != "none" and not (options.preview or options.record) and terminal.is_there():
        terminal.say(
            "this program has no window for the other side's picture: --preview draws it in the terminal, "
            "--record call.mp4 keeps it"
        )


class Echo:
    """A microphone that gives what its speaker plays, 20 ms at a time."""

    def __init__(self, speaker: AudioSink) -> None:
        self.inner = speaker
        self._heard: deque[np.ndarray] = deque(maxlen=6)  # an echo that falls behind skips, and stays short
        self._more = asyncio.Event()

    def write(self, samples: np.ndarray) -> None:
        self.inner.write(samples)
        self._heard.append(samples)
        self._more.set()

    async def read(self) -> np.ndarray:
        while len(self._heard) < 2:
            self._more.clear()
            await self._more.wait()
        return np.concatenate((self._heard.popleft(), self._heard.popleft()))

    def close(self) -> None:
        self.inner.close()


def make_connection(options: argparse.Namespace, *, caller: bool) -> PeerConnection:
    """The media engine for one call, with sound from and to files or devices."""
    device_microphone, device_speaker = make_devices(options)
    a_to_b, b_to_a = get_profile(options.network).links(options.seed)
    recorder = open_recorder(options.record) if options.record else None
    film = recorder if isinstance(recorder, VideoRecorder) else None
    speaker: AudioSink = Discard()
    if recorder is not None:
        speaker = recorder.audio if isinstance(recorder, VideoRecorder) else recorder
    if recorder is not None and recorder.path != options.record:
        print(f"{options.record} exists: what is heard goes to {recorder.path}", flush=True)
    microphone: AudioSource
    if getattr(options, "echo", False):
        speaker = microphone = Echo(speaker)
    else:
        microphone = AudioFile(options.play) if options.play else GeneratedVoice()
    camera = make_camera(options)
    connection = PeerConnection(
        microphone=device_microphone or microphone,
        speaker=device_speaker or speaker,
        camera=camera,
        screen=make_screen(options, film.video if film else None) if camera else None,
        addresses=options.address,
        network=(a_to_b if caller else b_to_a) if options.network != "none" else None,
    )
    if options.html:
        connection.keep_sound(CallSound(MAX_EMBEDDED))
    return connection


def finish(
    call: Call,
    connection: PeerConnection,
    options: argparse.Namespace,
    *,
    end: str,
    number: str,
    asked: float,
) -> None:
    """Join what signaling and media measured; print it, write it.

    `number` is this end's; `asked`: the loop's time when the call began. Raises MediaError for a file that could not be
    written, when the others are.
    """
    report = connection.report().with_signaling(
        call.timings,
        str(call.end_reason),
        trust=str(call.trust),
        end=end,
        offset=asked - connection.created_at,
        ended=call.end_sentence,
        number=number,
        peer=str(call.number),
    )
    told = _told(call, report.setup["dtls_connected"])
    devices = device_events(connection, report.setup["dtls_connected"])
    report = replace(report, events=(*report.events, *told, *devices))
    if not options.quiet:
        print(report)
    speaker = connection.speaker.inner if isinstance(connection.speaker, Echo) else connection.speaker
    if isinstance(speaker, AudioRecorder | AudioSide) and speaker.error:
        print(f"the recording ended early, {speaker.path}: {speaker.error}", flush=True)
    network = None if options.network == "none" else options.network
    with ExitStack() as files:  # each is tried, whatever becomes of the others
        if options.html:
            files.callback(_write_page, options.html, connection, document(report, network=network), end)
        if options.report:
            files.callback(_write_report, options.report, connection, document(report, network=network))


def _write_report(path: Path, connection: PeerConnection, text: str) -> None:
    content = json.loads(text)
    if connection.camera is not None:
        content["pictures"] = pictures(connection)
    content["clock"] = {
        "microphone_started": getattr(connection.microphone, "started_at", None),
        "speaker_started": getattr(connection.speaker, "started_at", None),
    }
    print(f"wrote {write_text(path, json.dumps(content, indent=1) + chr(10))}", flush=True)


def _write_page(path: Path, connection: PeerConnection, text: str, end: str) -> None:
    if connection.kept_sound is not None:
        said, heard = connection.kept_sound.both()
        page = render_html(json.loads(text), sounds={f"{end} said": said, f"{end} heard": heard})
        print(f"wrote {write_text(path, page)}: open it in a browser, offline if you like", flush=True)


def _told(call: Call, connected: float | None) -> Iterator[dict[str, object]]:
    """What the peer did in the call, on the report's clock, which begins with the connection."""
    for event in call.history:
        if event.by_peer and connected is not None and event.at > connected:
            text = "by the peer" + (f": {', '.join(event.media)}" if event.media else "")
            yield {"time": event.at - connected, "kind": event.name, "text": text}


def run_until_told(
    main: Callable[[argparse.Namespace], Coroutine[Any, Any, int]], options: argparse.Namespace
) -> int:
    """Run until done or told to stop (Ctrl-C, SIGTERM); the exit code. Errors are one line each."""
    avoid_pauses()
    try:
        check_outputs(options)
        check_devices(options)
        return asyncio.run(_until_told(main(options)))
    except (SignalingError, MediaError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_CALL_FAILED if isinstance(error, CallError) else EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


async def _until_told(work: Coroutine[Any, Any, int]) -> int:
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return EXIT_INTERRUPTED
