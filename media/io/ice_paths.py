"""Which of the paths that work is used, and when one is dead. Told the time.

Only an answer to a check of ours shows that a path carries both ways, and so that the peer consents to what is sent on
it (RFC 7675 section 5.1): packets that come from elsewhere show nothing of it. The path in use is asked now and then;
one that falls silent is asked at once and often, and so are the others, once it has not answered. It is left when
another one answers and it does not. Where none answers, nothing is gained by a change.
"""

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

CONSENT_INTERVAL = 5.0  # RFC 7675 section 5.1, +-20 %
# Between live peers RTCP comes every 1.5 s at least; a check that is not answered for a second is a sign, too.
SILENCE, NO_ANSWER = 1.6, 1.0
RECHECK_INTERVAL = 0.5  # while it is suspect
# So long without an answer, and it is dead; sooner where nothing is heard on it either. (libwebrtc: 2.5 s)
DEAD, DEAD_AND_SILENT = 2.5, 0.9
CHECKS_AT_ONCE = 4
MARGIN = 0.2  # seconds that an answer on the path in use may take longer than on the other one
MAX_UNANSWERED = 64

NEVER = -1e9

P = TypeVar("P", bound=Hashable)


@dataclass(slots=True)
class _Path:
    heard: float = NEVER
    answered: float = NEVER
    asked: float = NEVER
    consent_due: float = 0.0
    round_trip: float = 0.0
    works_since: float = NEVER  # when the first of the checks was sent that were all answered since
    # When the checks were sent that came after the last one that was answered.
    unanswered: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_UNANSWERED))

    def waited(self, now: float) -> float:
        """How long it has not answered."""
        return now - self.unanswered[0] if self.unanswered else 0.0


class Paths(Generic[P]):
    """Told of every check, answer and packet by path: anything hashable that names a way to the peer and back."""

    def __init__(self) -> None:
        self._paths: dict[P, _Path] = {}

    def heard(self, path: P, now: float) -> None:
        """Something of the peer's came on it."""
        known = self._paths.get(path)
        if known is None:
            known = self._paths[path] = _Path()
        known.heard = now

    def asked(self, path: P, now: float, *, spread: float = 1.0) -> None:
        """A check of ours goes out. `spread`: of the time to the next one, so that ends are not in step."""
        known = self._paths.setdefault(path, _Path())
        known.asked, known.consent_due = now, now + CONSENT_INTERVAL * spread
        known.unanswered.append(now)

    def answered(self, path: P, now: float, *, asked: float | None = None) -> None:
        """The check that was sent at `asked` was answered, or the first one of all."""
        known = self._paths.setdefault(path, _Path())
        known.heard = known.answered = now
        if asked is None:
            known.unanswered.clear()
            known.consent_due = now + CONSENT_INTERVAL
            return
        known.round_trip = now - asked
        missed = bool(known.unanswered) and known.unanswered[0] < asked
        if missed or known.works_since == NEVER:
            known.works_since = asked
        while known.unanswered and known.unanswered[0] <= asked:
            known.unanswered.popleft()

    def forget(self, kept: Iterable[P]) -> None:
        """All but these."""
        keep = set(kept)
        self._paths = {path: known for path, known in self._paths.items() if path in keep}

    def last_answer(self, path: P) -> float:
        """When `path` answered last: the age of the peer's consent."""
        return self._paths.get(path, _Path()).answered

    def is_due(self, path: P, now: float) -> bool:
        """Whether the path in use is to be asked."""
        known = self._paths.setdefault(path, _Path())
        suspect = now - known.heard >= SILENCE or known.waited(now) >= NO_ANSWER
        return now >= known.consent_due or (suspect and now - known.asked >= RECHECK_INTERVAL)

    def fell_silent(self, path: P, now: float) -> bool:
        """Whether nothing was heard on it for a while, and it was not asked why yet."""
        known = self._paths.get(path, _Path())
        return now - known.heard >= SILENCE and not known.unanswered

    def is_failing(self, path: P, now: float) -> bool:
        """Whether it is time to look for another one."""
        known = self._paths.get(path, _Path())
        silent = now - known.heard >= SILENCE
        return known.waited(now) >= (RECHECK_INTERVAL if silent else NO_ANSWER)

    def others_due(self, others: Iterable[P], now: float) -> list[P]:
        """Whom of them to ask, while the path in use is failing: those first that were asked longest ago."""
        asked = {path: self._paths[path].asked if path in self._paths else NEVER for path in others}
        due = [path for path, at in asked.items() if now - at >= RECHECK_INTERVAL]
        return sorted(due, key=asked.__getitem__)[:CHECKS_AT_ONCE]

    def better(self, current: P, others: Iterable[P], now: float) -> P | None:
        """The first of `others` that answers while `current` is dead; None: stay."""
        known = self._paths.get(current, _Path())
        if known.waited(now) < (DEAD_AND_SILENT if now - known.heard >= SILENCE else DEAD):
            return None
        return next((path for path in others if self._outlives(path, known, now)), None)

    def _outlives(self, other: P, current: _Path, now: float) -> bool:
        """Whether it has answered since a check that the path in use has not, though there was time to."""
        known = self._paths.get(other)
        if known is None or known.works_since == NEVER or known.waited(now) >= NO_ANSWER:
            return False
        latest = min(known.answered, now - known.round_trip - MARGIN)
        return any(known.works_since <= asked <= latest for asked in current.unanswered)
