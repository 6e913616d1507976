"""What the server counts for its operator: plain integers, so that counting costs nothing worth measuring."""

import logging
from collections import Counter

# name -> (help, name of the label or "")
COUNTERS = {
    "sms_codes": (
        "Codes handed to the SMS gateway, by result: sent, unconfirmed, failed, entered, wrong.",
        "result",
    ),
    "sms_refused": ("Codes that were asked for and not sent, by the limit that said no.", "limit"),
    "registrations": ("Devices registered by SMS code.", ""),
    "links": ("Devices linked by another device.", ""),
    "tokens": ("Access tokens made.", ""),
    "lookups": ("Numbers asked for, by result: found, absent, refused.", "result"),
    "stanzas": ("Stanzas from clients, by kind.", "kind"),
    "stanzas_refused": ("Stanzas that were answered with an error of the server, by reason.", "reason"),
    "streams": ("WebSockets that were opened.", ""),
    "logins_refused": ("Logins to a stream that failed.", ""),
    "store_failures": ("Times that the database failed.", ""),
    "http_requests": ("HTTP requests, by status; WebSockets are not among them.", "status"),
}


logger = logging.getLogger(__name__)


class Counters:
    """By name and label; a name that is not in COUNTERS is a bug."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def count(self, name: str, label: str = "", amount: int = 1) -> None:
        assert name in COUNTERS and bool(label) == bool(COUNTERS[name][1]), name
        self._counts[name, label] += amount

    def store_failed(self, error: Exception) -> None:
        """To be called for every failure of the database, whoever it hit."""
        self.count("store_failures")
        logger.error("the store failed: %s", type(error).__name__)

    def of(self, name: str) -> dict[str, int]:
        """Label -> count."""
        return {label: count for (counted, label), count in self._counts.items() if counted == name}
