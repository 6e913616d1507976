"""The sender's video rate: what the receiver allows (REMB), less what it says it loses, and what the voice leaves.

Voice and video go the same way. Where the peer tells when the packets of the voice arrive (RFC 8888) a queue on the
path shows there first, and it is the video that has to go: below the voice's own rate to nothing, if that is what the
path asks for. A rate at which no picture is worth looking at is no video either: it is paused, and tried again after
a time that doubles with each try in vain.
"""

import math
from collections import deque

from media.congestion.path_report import PathReport

MIN_BPS, MAX_BPS, START_BPS = 30_000, 2_000_000, 200_000
LOSS_HIGH, LOSS_LOW = 0.10, 0.02  # GCC's loss-based thresholds: below 2 % loss is no sign of congestion
# For loss without a queue, which is the path's own, for silence, and for an estimate below it without either:
# libwebrtc's follows what came (0.85 to 1.5 times as much), and a picture that stands still needs next to nothing.
FLOOR_BPS = 150_000
INCREASE_PER_S = 0.20
FOLLOW_PER_S = 0.6  # towards an estimate of the receiver's, who has tried the path
REMB_LIFE = 5.0  # seconds; an estimate that is not renewed is forgotten
RTT_GROWTH = 0.100  # a round trip this much over the least one is a queue, for peers that send no REMB
RTTS = 3  # in a row: a queue, and no jitter; else a REMB that small is not believed
RTT_DECREASE = 0.85
SILENCE = 1.5  # seconds without a report, three of the usual intervals: the way back is down or full
SILENCE_DECREASE = 0.7  # a second
# A queue that the voice's arrivals show (the thresholds of congestion/audio_rate, where they come from).
QUEUE_HIGH, UNEVEN, QUEUE_LOW = 0.045, 3.0, 0.020
BACK_OFF, BACK_OFF_MOST, DRAIN_TIME = 0.85, 0.4, 0.4
DRAIN = 0.5  # seconds that a decrease is given to drain the queue
COLLAPSED = 0.5  # of what is sent arrives: the path has become another, and nothing is known of its room
FELL = 0.9  # a queue that fell below this share is draining
VOICE_SMOOTHING = 0.3  # its bitrate follows what is said
BESIDE_VOICE = 0.88  # of a link whose speed is known, for voice and video
NEAR_CAPACITY, NEAR_PER_S, CAPACITY_LIFE = 0.85, 0.04, 30.0
IN_VAIN, LONGER = 3, 1.25  # decreases that no queue followed: it is not ours, unless it grows by as much
# Where arrivals are told at once, it begins with little and grows with each report that shows no queue.
CAREFUL_BPS, CAREFUL_GROWTH, CAREFUL_UNTIL_BPS = 60_000, 2.0, 300_000
CAREFUL_REPORTS = 4  # receiver reports, 2 s
WIDE_BPS = 600_000  # a link that shows to carry so much needs no care
USED = 0.7  # of the target: who sends less proves nothing about the path
RESUME_BPS = 45_000
PACKET_TIME = 0.025  # seconds that a packet may keep a thin path from the voice
MIN_PACKET_BYTES, CAREFUL_PACKET_BYTES, MAX_PACKET_BYTES = 300, 300, 1150
PAUSE, PAUSE_MAX = 6.0, 60.0  # seconds
RESUMED_WELL = 15.0  # seconds after which a try has not been in vain


class VideoRate:
    """`target_bps` on the wire, with all headers, 0 while it is paused: REMB is taken as that."""

    def __init__(self, *, beside_voice: bool = False) -> None:
        """`beside_voice`: receive_path() will be called."""
        self.target_bps = CAREFUL_BPS if beside_voice else START_BPS
        self.pauses = 0
        self._beside_voice = self._careful = beside_voice
        self._reports = 0
        self._remb: tuple[float, int] | None = None
        self._updated: float | None = None
        self._heard: float | None = None
        self._least_rtt: float | None = None
        self._rtts: deque[float] = deque(maxlen=RTTS)
        self._full = False  # by the last receiver report: a queue, or much loss
        self._checked = -1e9
        self._capacity: tuple[float, float] | None = None  # (when, bits a second of voice and video)
        self._voice_bps = 0.0
        self._link: float | None = None  # as the voice's packets show it
        self._queue = 0.0
        self._decreased, self._queue_then, self._in_vain = -1e9, 0.0, 0
        self._drains = False  # the queue of the last decrease will go: the path has room for both
        self._before = self.target_bps  # the first decrease of a row
        self._foreign = 0.0  # a queue that is somebody else's: there is nothing to win by sending less
        self._paused_until: float | None = None
        self._pause = PAUSE
        self._resumed = -1e9

    @property
    def paused(self) -> bool:
        """Whether no video is sent, for want of a path that carries it beside the voice."""
        return self._paused_until is not None

    @property
    def room_bps(self) -> float:
        """What the voice leaves of the path, as far as its limit is known."""
        return math.inf if self._capacity is None else max(0.0, self._capacity[1] - self._voice_bps)

    @property
    def packet_bytes(self) -> int:
        """How large a packet may be: what is behind it has to wait."""
        if self._capacity is None:
            return CAREFUL_PACKET_BYTES if self._careful else MAX_PACKET_BYTES
        return max(MIN_PACKET_BYTES, min(MAX_PACKET_BYTES, int(PACKET_TIME * self._capacity[1] / 8)))

    def receive_remb(self, bitrate_bps: int, now: float) -> None:
        self._remb = (now, bitrate_bps)
        self._heard = now
        self._set(self.target_bps, now)

    def receive_report(self, fraction_lost: float, round_trip_time: float | None, now: float) -> None:
        """A receiver report of the video stream."""
        elapsed = 0.0 if self._updated is None else min(2.0, now - self._updated)
        self._updated = self._heard = now
        target = float(self.target_bps)
        queued = lasts = False
        if round_trip_time is not None:
            self._least_rtt = min(round_trip_time, self._least_rtt or round_trip_time)
            self._rtts.append(round_trip_time)
            queued = round_trip_time - self._least_rtt > RTT_GROWTH
            lasts = min(self._rtts) - self._least_rtt > RTT_GROWTH
        self._full = lasts or fraction_lost > LOSS_HIGH
        if self._careful:
            self._reports += 1
            self._careful = self._reports < CAREFUL_REPORTS  # the voice tells nothing: it is silent, or held
        if fraction_lost > LOSS_HIGH:
            floor = MIN_BPS if queued or self._queue > QUEUE_LOW else FLOOR_BPS
            target = max(min(target, floor), target * (1 - 0.5 * fraction_lost))
        elif self._remb is not None:
            target *= 1 + min(FOLLOW_PER_S, self._most_per_s(now)) * elapsed
        elif queued:
            target *= RTT_DECREASE
        elif fraction_lost < LOSS_LOW:
            target *= 1 + min(INCREASE_PER_S, self._most_per_s(now)) * elapsed
        self._set(target, now)

    def receive_path(self, path: PathReport, sent_bps: float, now: float) -> None:
        """What the voice's arrivals tell; `sent_bps`: of video in the last moments."""
        self._queue, self._link, self._reports = path.queue, path.link_bps, 0
        self._voice_bps += (path.sent_bps - self._voice_bps) * (VOICE_SMOOTHING if self._voice_bps else 1.0)
        if path.queue > QUEUE_HIGH + UNEVEN * path.unevenness:
            self._careful = False
            if not self.paused:
                self._meet_queue(path, sent_bps, now)
        elif path.queue < QUEUE_LOW:
            self._in_vain, self._queue_then, self._foreign = 0, 0.0, 0.0
            if self._careful and path.at_least_bps > WIDE_BPS:
                self._careful = False
                self._set(max(START_BPS, self.target_bps), now)
            elif self._careful and not self.paused and sent_bps > USED * self.target_bps:
                self._careful = self.target_bps < CAREFUL_UNTIL_BPS
                self._set(CAREFUL_GROWTH * self.target_bps, now)
        if path.link_bps is not None:
            self._capacity = now, path.link_bps
            self._set(self.target_bps, now)

    def _meet_queue(self, path: PathReport, sent_bps: float, now: float) -> None:
        since = now - self._decreased
        if since < DRAIN + (
            path.queue if self._drains else 0.0
        ):  # what is told of was sent before, and grew the queue further
            self._queue_then = max(self._queue_then, path.queue)
            return
        falls = path.queue < FELL * self._queue_then
        if (falls and since < 4 * DRAIN) or path.queue < LONGER * self._foreign:
            return
        if not self._queue_then:
            self._before = self.target_bps
        elif not falls and path.carried_share > FELL:
            self._in_vain += 1
            if self._in_vain >= IN_VAIN:
                self._foreign, self._in_vain, self._queue_then = path.queue, 0, 0.0
                self._set(self._before, now)
                return
        carried = (path.sent_bps + sent_bps) * min(1.0, path.carried_share)
        self._capacity = now, carried
        factor = min(BACK_OFF, max(BACK_OFF_MOST, 1 - path.queue / DRAIN_TIME))
        self._decreased, self._queue_then = now, path.queue
        target = min(BACK_OFF * self.target_bps, factor * carried - path.sent_bps)
        self._drains = path.carried_share > COLLAPSED and BACK_OFF * carried - path.sent_bps > MIN_BPS
        if self._drains and self.target_bps > MIN_BPS:
            target = max(MIN_BPS, target)  # what is there has to drain first; then there is room for both
        self._set(target, now)

    def _most_per_s(self, now: float) -> float:
        """By how much it may grow: slowly beyond what the path was seen to carry, not at all into a queue."""
        if self._queue > QUEUE_LOW or self._careful:
            return 0.0
        if self._capacity is None or now - self._capacity[0] > CAPACITY_LIFE:
            return FOLLOW_PER_S
        near = self.target_bps + self._voice_bps > NEAR_CAPACITY * self._capacity[1]
        return NEAR_PER_S if near else FOLLOW_PER_S

    def check(self, now: float) -> None:
        """To be called with every picture: silence of the far end lowers the rate step by step, pauses end."""
        self._heard = now if self._heard is None else self._heard
        if now - self._heard > SILENCE and now - self._checked >= 1.0:
            self._checked = now
            self._set(max(min(self.target_bps, FLOOR_BPS), SILENCE_DECREASE * self.target_bps), now)
        if self._paused_until is not None and self._may_resume(now, self._paused_until):
            self._paused_until = None
            self._resumed = now
            self.target_bps = RESUME_BPS
            self._remb = self._capacity = None  # of before
            self._careful = self._beside_voice

    def _may_resume(self, now: float, due: float) -> bool:
        known = math.inf if self._link is None else BESIDE_VOICE * self._link - self._voice_bps
        return self._queue < QUEUE_LOW and now >= due + (0.0 if known > RESUME_BPS else PAUSE_MAX)

    def _set(self, target: float, now: float) -> None:
        if self.paused:
            return
        if now - self._resumed > RESUMED_WELL:
            self._pause = PAUSE
        if self._remb is not None:
            at, limit = self._remb
            if now - at > REMB_LIFE:
                self._remb = None
            else:
                shown = self._full or self._queue > QUEUE_LOW
                target = min(target, limit if shown else max(limit, FLOOR_BPS))
        if self._link is not None:
            target = min(target, BESIDE_VOICE * self._link - self._voice_bps)
        if target < MIN_BPS:
            self._paused_until = now + self._pause
            self._pause = min(PAUSE_MAX, 2 * self._pause)
            self.pauses += 1
            self.target_bps = 0
        else:
            self.target_bps = round(min(MAX_BPS, target))
