"""Bursts and gaps in what was played (RFC 3611 section 4.7.2), frame by frame in the order of the media time.

A burst begins and ends with a frame that is missing and has no GMIN frames in a row in between; a missing frame
that stands alone is of the gap. Whatever a copy or a retransmission brought in time is not missing.
"""

from dataclasses import dataclass

GMIN = 16  # what RFC 3611 section 4.7.2 recommends


@dataclass(frozen=True, slots=True)
class Bursts:
    """Since the beginning. Densities are shares of frames (0 to 1), durations means in seconds; 0: there is none."""

    burst_density: float = 0.0
    gap_density: float = 0.0
    burst_duration: float = 0.0
    gap_duration: float = 0.0


class BurstMeter:
    """Tell it of every frame whose turn has come."""

    def __init__(self) -> None:
        self.frames = 0
        self.missing = 0
        self._samples = 0
        self._part = 0  # samples of a frame of which the first part is concealed
        # bursts that are over
        self._bursts = self._burst_frames = self._burst_missing = self._burst_samples = 0
        self._first_at: int | None = None  # frames before the first
        # What may become one: from a missing frame to the last one, and the frames played since.
        self._open_at = self._open_frames = self._open_missing = self._open_samples = 0
        self._good = self._good_samples = 0

    def play(self, samples: int) -> None:
        """A frame was there in time."""
        self.frames += 1
        self._samples += samples
        self._part = 0
        self._good += 1
        self._good_samples += samples
        if self._good == GMIN:
            self._close()

    def miss(self, samples: int, frame: int) -> None:
        """So many samples of frames of that length had to be concealed."""
        self._part += samples
        while self._part >= frame:
            self._part -= frame
            self._miss(frame)

    def _miss(self, samples: int) -> None:
        if not self._open_missing:
            self._open_at = self.frames
            self._good = self._good_samples = 0
        self.frames += 1
        self.missing += 1
        self._samples += samples
        self._open_frames += self._good + 1
        self._open_missing += 1
        self._open_samples += self._good_samples + samples
        self._good = self._good_samples = 0

    def _close(self) -> None:
        if self._open_missing > 1:
            if self._first_at is None:
                self._first_at = self._open_at
            self._bursts += 1
            self._burst_frames += self._open_frames
            self._burst_missing += self._open_missing
            self._burst_samples += self._open_samples
        self._open_frames = self._open_missing = self._open_samples = 0

    def measure(self, sample_rate: int) -> Bursts:
        """Up to now; a burst that is not over yet is in it."""
        running = self._open_missing > 1
        bursts = self._bursts + running
        frames = self._burst_frames + running * self._open_frames
        missing = self._burst_missing + running * self._open_missing
        samples = self._burst_samples + running * self._open_samples
        first_at = self._open_at if running and self._first_at is None else self._first_at
        gaps = bursts + 1 - (first_at == 0) - running  # before, between and after them
        gap_frames = self.frames - frames
        return Bursts(
            missing / frames if frames else 0.0,
            (self.missing - missing) / gap_frames if gap_frames else 0.0,
            samples / sample_rate / bursts if bursts else 0.0,
            (self._samples - samples) / sample_rate / gaps if gaps else 0.0,
        )
