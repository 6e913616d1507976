"""Every number that bounds what one client can do to the server."""

from dataclasses import dataclass, field

from signaling.contact_budget import ContactLimits
from signaling.one_time_code import CodeRules
from signaling.policy.sms import SmsLimits
from signaling.rate_limit import Rate
from signaling.stream import DEFAULT_TIMES, StreamTimes


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds unless the name says otherwise. Sources: protocol.md, and reference/signaling.md section 5."""

    body_bytes: int = 64 * 1024
    # For the head of a request, and TLS before it; between two requests of a connection.
    head: float = 10.0
    keep_alive: float = 75.0
    # Above a stream's own 256 KiB, so that a frame between the two still gets its stream error.
    websocket_message_bytes: int = 1024 * 1024
    queue_stanzas: int = 512
    queue_bytes: int = 1024 * 1024
    times: StreamTimes = DEFAULT_TIMES
    # A client that sends faster is read slower (one unit is a stanza, or each 4 KiB of a larger one).
    stanzas: Rate = field(default=Rate(256, 1 / 64))
    contacts: ContactLimits = field(default=ContactLimits())
    # Of one connection (loopback, and a proxy that is ours, are exempt): who asks faster is answered later.
    requests: Rate = field(default=Rate(200, 1 / 20))
    # Bytes from one connection that is logged in: read slower beyond, whatever they are.
    bytes: Rate = field(default=Rate(2 * 1024 * 1024, 1 / (512 * 1024)))
    # Connections that are not logged in; a share of the open files, if these are fewer (server/admission.py).
    strangers: int = 2000
    strangers_of_address: int = 500
    # Of a WebSocket until the login, which takes five frames and 2 KiB.
    frames_before_login: int = 16
    bytes_before_login: int = 16 * 1024
    lookup_numbers: int = 1000
    # Numbers that one account has read, known or not: to read a thousand takes a tenth of a second.
    numbers_read: Rate = field(default=Rate(10_000, 1 / 20))
    listed_numbers: int = 10_000
    blocked_numbers: int = 1000
    codes: CodeRules = field(default=CodeRules())
    sms: SmsLimits = field(default=SmsLimits())
    device_idle: float = 90 * 86400
    # For how long a stream that broke can be resumed (XEP-0198).
    resumable: float = 300.0
    message_life: float = 7 * 86400
    messages_kept: int = 1000
    # So that nobody alone can fill what is kept for somebody else.
    messages_kept_of_one: int = 250
    # Of those that are logged in.
    connections: int = 10_000
    message_bytes: int = 64 * 1024
    drain: float = 2.0
