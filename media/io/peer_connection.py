"""PeerConnection: the public face of the engine. One call with one peer.

Offer and answer are SDP text, candidates are lines: whoever carries them need not know this package. The sound
devices are opened when both descriptions are known, not before.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from random import Random, SystemRandom
from typing import Any

from media import negotiation
from media.engine import MediaEngine
from media.errors import ConnectionClosed, NegotiationError
from media.io.call_sound import CallSound, begin_report
from media.io.data_channel import DataChannel, DataChannels
from media.io.event_queue import Event, EventQueue
from media.io.ice_settings import IceSettings
from media.io.local_parameters import local_parameters
from media.io.negotiator import Negotiator
from media.io.secure_transport import SecureTransport
from media.io.setup_steps import SetupSteps
from media.io.sound_pump import SoundPump, close_quietly
from media.io.sources import AudioSink, PullSink
from media.io.ticker import Ticker
from media.io.tracks import AudioInput, VideoInput, as_camera, as_microphone
from media.io.video_pump import VideoPump
from media.io.video_sources import VideoSink
from media.quality.report import MEDIA_STEPS, QualityReport
from media.simulation.link import Link
from media.transport.srtp import SrtpKeys
from media.webrtc_stats import Stats

SAMPLE_INTERVAL = 1.0


class PeerConnection:
    """A call with one peer: voice, and video where a camera or a screen is given.

    Microphone, speaker, camera and screen are taken over: they are closed with the connection. See also IceSettings.
    """

    def __init__(
        self,
        *,
        microphone: AudioInput | None = None,
        speaker: AudioSink | PullSink | None = None,
        camera: VideoInput | None = None,
        screen: VideoSink | None = None,
        video_codecs: Sequence[str] = ("VP8", "H264"),
        ice_servers: Sequence[Any] = (),
        ice_transport_policy: str = "all",
        addresses: Sequence[str] | None = None,
        network: Link | None = None,
        rng: Random | None = None,
    ) -> None:
        self.microphone = as_microphone(microphone)
        self.speaker = speaker
        self.camera, self.screen = as_camera(camera), screen
        self._video_codecs = video_codecs
        self._ice = IceSettings(addresses=addresses, network=network)
        self._ice.configure(ice_servers, ice_transport_policy)
        self._loop = asyncio.get_running_loop()
        self._rng = rng if rng is not None else SystemRandom()
        self._engine = MediaEngine(rng=self._rng, unix_time_offset=time.time() - self._loop.time())
        # A sound card pulls from a thread of its own; the few calls into the engine take turns (ARCHITECTURE.md).
        self._lock = threading.Lock()
        self._session_id = self._rng.getrandbits(62)
        self._transport: SecureTransport | None = None
        self._steps = SetupSteps(self._loop.time)
        self._negotiator = Negotiator(self._make_transport, self._local, self._apply, self._steps)
        self._events = EventQueue()
        self._timer: asyncio.TimerHandle | None = None
        self._video = VideoPump(self._engine, self._lock, screen, self._drain)
        self._sound = SoundPump(self._engine, self._lock, partial(self._flush, feedback=False))
        self._channels = DataChannels(self._send_data)
        self._report = begin_report()
        self._sampler: Ticker | None = None
        self._camera_on = True
        self.kept_sound: CallSound | None = None
        self._data: negotiation.DataParameters | None = None
        self._connected = self._closed = False
        self.state, self.failure = "new", ""  # why, when the state is failed
        self.created_at = self._loop.time()

    # -- offer and answer

    def configure(self, ice_servers: Sequence[Any], ice_transport_policy: str = "all") -> None:
        """STUN and TURN servers (objects with urls, username, credential) and W3C's policy, for the next gathering."""
        if self._ice.configure(ice_servers, ice_transport_policy) and self._transport is not None:
            self._transport.policy_changed()

    def prepare(self) -> None:
        """Find the candidates now, while it rings say: no description has to wait. Sends nothing to the peer."""
        if not self._closed:
            gathering = self._make_transport().ice.prepare()
            gathering.add_done_callback(lambda _: self._steps.reached("candidates_gathered"))

    async def create_offer(self, *, ice_restart: bool = False) -> str:
        """An SDP offer with the host candidates; those of servers follow as events. A later one renews the description,
        with the cameras and screens of then; with `ice_restart`, under new ICE credentials."""
        return await self._negotiator.create_offer(ice_restart=ice_restart)

    async def create_answer(self, offer: str) -> str:
        """Apply the peer's offer and answer it. Raises SdpError or NegotiationError for one that does not fit.

        It takes the place of an offer of ours that is not answered yet (both ends have offered; who gives way is up to
        the caller).
        """
        return await self._negotiator.create_answer(offer)

    async def set_answer(self, answer: str) -> None:
        """Apply the peer's answer to our offer. Raises SdpError or NegotiationError."""
        agreed = await self._negotiator.set_answer(answer)
        if agreed.data is None and self._channels.used:
            self._channels.refused()

    async def add_ice_candidate(self, mid: str, candidate: str) -> None:
        """A candidate line of the peer, after its description. Raises SdpError for what is none."""
        if self._transport is None or not self._negotiator.begun:
            raise NegotiationError("a candidate came before the description")
        if candidate:
            await self._transport.latest_ice.add_candidate(candidate)

    def events(self) -> AsyncIterator[Event]:
        """("candidate", mid, line), ("candidate-error", url, why), ("peer-closed",), ("state", new, reason); ends after
        "closed"."""
        return self._events.listen()

    # -- during the call

    def set_media_enabled(self, enabled: bool) -> None:
        """False, before the descriptions: connect only. No device is opened, nothing said or heard, until True."""
        self._sound.enabled = enabled
        if enabled and self._transport is not None and self._transport.started:
            self._sound.open(self.microphone, self.speaker)
            self._start_media()

    def mute(self, muted: bool = True) -> None:
        """Silence instead of the microphone; the stream goes on, so that nothing is taken for loss."""
        self._sound.muted = muted
        self._report.happened(self._loop.time(), "muted" if muted else "unmuted")

    def hold(self, held: bool = True) -> None:
        """Send nothing and play silence, or go on. The peer learns of it by signaling."""
        self._sound.held = held
        self._report.happened(self._loop.time(), "held" if held else "resumed")
        self.set_camera_on(self._camera_on)

    def set_camera_on(self, on: bool) -> None:
        """Stop taking pictures, or go on with the same camera."""
        if on != self._camera_on:
            self._report.happened(self._loop.time(), "camera on" if on else "camera off")
        self._camera_on = on
        flows = self._connected and self._sound.flows and self._engine.sending[1] is not None
        if self.camera is not None and on and flows:
            self._video.read(self.camera)
        else:
            self._video.stop_reading()

    def set_camera(self, camera: VideoInput | None) -> None:
        """Another camera, the first one, or none any more. A first one needs a new offer; see create_offer()."""
        source = as_camera(camera)
        self._video.stop_reading()
        if self.camera is not None:
            close_quietly(self.camera)
        self.camera = source
        if camera is not None:
            self._negotiator.offer_again("video")
        self.set_camera_on(True)

    def set_screen(self, screen: VideoSink | None) -> None:
        """As set_camera(), for the pictures of the peer."""
        self.screen = screen
        if screen is not None:
            self._negotiator.offer_again("video")
        self._video.set_screen(screen)

    def open_channel(self, label: str, **options: Any) -> DataChannel:
        """A data channel; before the offer, or during the call after a new one. Options: see DataChannels.open()."""
        self._negotiator.offer_again("application")
        return self._channels.open(label, **options)

    def channels(self) -> AsyncIterator[DataChannel]:
        """The data channels that the peer opens; ends with the connection."""
        return self._channels.incoming()

    def keep_sound(self, sound: CallSound) -> None:
        """From now on `sound` is told of all that is said and heard."""
        self._sound.kept = self.kept_sound = sound

    # -- what is known of the call

    def get_stats(self) -> Stats:
        """W3C webrtc-stats by id; times on the loop's clock."""
        now = self._loop.time()
        with self._lock:
            stats = self._engine.get_stats(now)
        if self._transport is not None:
            self._transport.add_stats(stats, now)
        return stats

    def setup_times(self) -> dict[str, float | None]:
        """When each step of the set-up was reached, on the loop's clock; see media.quality.report.SETUP_STEPS."""
        receiver = self._engine.receiver
        first_sound = receiver.jitter_buffer.first_played if receiver else None
        return dict.fromkeys(MEDIA_STEPS) | self._steps.times | {"first_sound": first_sound}

    def report(self) -> QualityReport:
        """How good the call was up to now, or up to its end. Times of set-up count from the connection's making."""
        steps = self.setup_times()
        video = self._engine.video_receiver
        return self._report.build(
            {k: None if v is None else v - self.created_at for k, v in steps.items()},
            freezes=list(video.display.freezes) if video is not None else (),
        )

    # -- the end

    async def close(self) -> None:
        """Say goodbye and give everything back. Always returns; may be called twice."""
        if self._closed:
            return
        self._closed = True
        self._negotiator.close()
        if self._timer is not None:
            self._timer.cancel()
        await self._channels.close()
        if self._sampler is not None:
            self._sampler.stop()
            self._sample(self._loop.time())
        await self._video.close(self.camera)
        await self._sound.close(self.microphone, self.speaker)
        with self._lock:
            self._engine.close(self._loop.time())
        if self._transport is not None:
            self._flush()
            await self._transport.close()
        self._emit_state("closed", "")

    # -- inside

    def _make_transport(self) -> SecureTransport:
        if self._transport is None:
            self._transport = SecureTransport(
                on_packet=self._receive,
                on_taken=self._drain,
                on_data=self._channels.receive,
                on_keys=self._keys,
                on_state=self._transport_state,
                on_candidate=lambda line: self._events.put(("candidate", self._negotiator.mid, line)),
                steps=self._steps,
                on_ice_error=self._ice_error,
                on_beside=self._engine.sent_beside,
                settings=self._ice,
            )
        return self._transport

    def _local(self, data: bool) -> negotiation.LocalParameters:
        return local_parameters(
            self._make_transport(),
            self._engine,
            session_id=self._session_id,
            microphone=self.microphone is not None,
            camera=self.camera is not None,
            screen=self.screen is not None,
            video_codecs=self._video_codecs,
            data=(data or self._channels.used) and self._channels.state != "closed",
        )

    async def _apply(self, agreed: negotiation.Negotiated) -> None:
        transport = self._transport
        if self._closed or transport is None:
            raise ConnectionClosed("the connection is closed")
        if not transport.started:
            transport.start(agreed.transport)
        elif transport.restarts(agreed.transport):
            transport.restart(agreed.transport)
        if agreed.carrier_stopped:
            transport.renew_dtls()
        with self._lock:
            if agreed.audio is not None:
                self._engine.configure_audio(agreed.audio)
            if agreed.video is not None:
                self._engine.configure_video(agreed.video)
                self._video.start()
        self._sound.set_sending(agreed.audio is not None and agreed.audio.send)
        self._sound.open(self.microphone, self.speaker)
        if self._data is not None and agreed.data is None:
            await self._channels.close()  # the peer stopped them
        self._data = agreed.data
        self._start_channels()
        if self._connected:
            self._start_media()
        await transport.latest_ice.add_candidates(agreed.transport.candidates)

    def _keys(self, keys: SrtpKeys) -> None:
        if self._closed:
            return
        with self._lock:
            self._engine.set_keys(keys, self._loop.time())
        self._connected = True
        self._start_media()

    def _start_media(self) -> None:
        """Once there are keys, and sound and pictures may flow."""
        if self._connected and self._sound.enabled and not self._closed:
            self._sampler = self._sampler or Ticker(self._sample, interval=SAMPLE_INTERVAL)
            self._sound.start(self.microphone, self.speaker)
            self.set_camera_on(self._camera_on)
            self._start_channels()
        self._drain()

    def _sample(self, now: float) -> None:
        if self._sampler is not None:
            self._sound.loop_was_late(self._sampler.late, now)
        self._report.sample(self.get_stats(), now)

    def _ice_error(self, url: str, why: str) -> None:
        self._events.put(("candidate-error", url, why))
        self._report.happened(self._loop.time(), "candidate-error", f"{url}: {why}")

    def _transport_state(self, state: str, reason: str) -> None:
        if state == "connected":
            self._start_channels()
        self._emit_state(state, reason)

    def _start_channels(self) -> None:
        """Once both are there: a section for data in the descriptions, and DTLS."""
        transport, data = self._transport, self._data
        stands = transport is not None and transport.dtls_state == "connected" and self._sound.enabled
        if data is not None and transport is not None and stands:
            self._channels.start(
                client=transport.dtls_client, port=data.port, max_message=data.max_message_bytes
            )

    def _send_data(self, data: bytes) -> None:
        if self._transport is None:
            raise ConnectionError("there is no connection yet")
        self._transport.send_data(data)

    def _receive(self, data: bytes, arrived: float) -> None:
        if not self._sound.enabled:
            return  # what is said before is for nobody's ears
        with self._lock:
            self._engine.receive_packet(data, self._loop.time(), arrived=arrived)

    def _drain(self) -> None:
        """After any input, of packets after all that came: send what is due, set the timer anew."""
        if self._closed:
            return
        if self._engine.transport.packets_received:
            self._steps.reached("first_packet_received")
            self._sound.received(self.speaker)
        self._video.turn(self._loop.time())
        self._flush()
        due = self._engine.get_timer()
        if self._timer is not None and self._timer.when() != due:
            self._timer.cancel()
            self._timer = None
        if self._timer is None and due is not None:
            self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._transport is not None and self._transport.ice.round_trip_time is not None:
            self._engine.set_path_round_trip_time(self._transport.ice.round_trip_time)
        with self._lock:
            self._engine.handle_timer(self._loop.time())
        self._drain()

    def _flush(self, *, feedback: bool = True) -> None:
        """Send what is due; behind the microphone's without feedback: what waits in the socket is not missing."""
        assert self._transport is not None
        with self._lock:
            packets = self._engine.packets_to_send(self._loop.time(), feedback=feedback)
        for packet in packets:
            if self._transport.send(packet):
                self._steps.reached("first_packet_sent")

    def _emit_state(self, state: str, reason: str) -> None:
        if self.state in (state, "closed") or (self.state, state) == ("failed", "disconnected"):
            return
        if state == "closed" and not self._closed:
            self._events.put(("peer-closed",))
            state = "disconnected"  # the peer left; the connection is ours to close
        self.state = state
        self._report.happened(self._loop.time(), state, reason)
        if state == "failed":
            self.failure = reason
        self._events.put(("state", state, reason))
