"""The one-time code of a registration: how it is kept, how often it is sent and tried. Sans-IO.

Numbers: NIST SP 800-63B 5.1.3.2 (10 minutes, used once), Signal's registration service (the delays). Five tries
give a guesser 5e-6 for each registration.
"""

import hashlib
import hmac
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class CodeRules:
    """Seconds. `check_delays`: the waits after the first, second, ... wrong code. `send_delays`: the waits after
    the first, second, ... SMS; there is one SMS more than waits."""

    life: float = 600
    tries: int = 5
    check_delays: tuple[float, ...] = (0, 0, 60, 120)
    send_delays: tuple[float, ...] = (60, 120, 300, 600)


@dataclass(frozen=True, slots=True)
class Registration:
    """One attempt to register a number. Times are Unix seconds; the code is kept as an HMAC only."""

    id: str
    number: str
    code_hash: str = field(repr=False)
    expires: float
    sent: int
    next_send: float
    tries_left: int
    next_try: float

    @classmethod
    def begin(cls, id_: str, number: str, rules: CodeRules, now: float) -> "Registration":
        """A registration that has sent no code yet."""
        return cls(id_, number, "", now, 0, now, rules.tries, now)

    def _hash(self, code: str, pepper: bytes) -> str:
        return hmac.new(pepper, f"{self.id}|{self.number}|{code}".encode(), hashlib.sha256).hexdigest()

    def matches(self, code: str, pepper: bytes) -> bool:
        """In constant time."""
        return hmac.compare_digest(self._hash(code, pepper), self.code_hash)

    def is_over(self, now: float) -> bool:
        return self.expires <= now or self.tries_left <= 0

    def sends_left(self, rules: CodeRules) -> int:
        return len(rules.send_delays) + 1 - self.sent

    def after_sending(self, code: str, pepper: bytes, rules: CodeRules, now: float) -> "Registration":
        """The new code replaces the old one and lives its full life; the tries are not renewed."""
        wait = rules.send_delays[self.sent] if self.sent < len(rules.send_delays) else rules.life
        return replace(
            self,
            code_hash=self._hash(code, pepper),
            expires=now + rules.life,
            sent=self.sent + 1,
            next_send=now + wait,
        )

    def answer(self, now: float) -> dict[str, str | int]:
        """What the caller is told when a code was sent (protocol.md section 1)."""
        return {
            "registration": self.id,
            "number": self.number,
            "expires_in_s": round(self.expires - now),
            "resend_in_s": round(self.next_send - now),
            "tries_left": self.tries_left,
        }

    def after_wrong_code(self, rules: CodeRules, now: float) -> "Registration":
        """One try less, and the wait before the next one."""
        wrong = rules.tries - self.tries_left
        delay = rules.check_delays[wrong] if wrong < len(rules.check_delays) else 0.0
        return replace(self, tries_left=self.tries_left - 1, next_try=now + delay)
