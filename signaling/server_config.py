"""The options of the server, and which of them go together."""

from dataclasses import dataclass, field
from pathlib import Path

from signaling.errors import InvalidJid, ServerStartError
from signaling.external_services import MAX_SERVICES, parse_url
from signaling.http_edge import is_origin
from signaling.jid import Jid
from signaling.network_address import is_loopback
from signaling.phone_number import is_region

DEFAULT_PORT = 8480
ALL = "ALL"


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The options of `ringline serve`. `countries` empty: that of `region`; `ALL` in it: every one.
    `database` empty: SQLite in `data`. `metrics_port` None: no metrics. `limits`: a file (limits_file.py).
    `turn`: URLs of STUN and TURN servers; those of TURN need `turn_secret` (external_services.py). `origins`: of web
    pages that may use this server beside its own (http_edge.py)."""

    data: Path
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    domain: str = "calls.localhost"
    region: str = "US"
    sms: str = "console"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    allow_console_sms: bool = False
    countries: frozenset[str] = frozenset()
    database: str = field(default="", repr=False)
    metrics_port: int | None = None
    limits: Path | None = None
    turn: tuple[str, ...] = ()
    turn_secret: str = field(default="", repr=False)
    origins: frozenset[str] = frozenset()

    @property
    def served_countries(self) -> frozenset[str]:
        """Empty: every country."""
        return frozenset() if ALL in self.countries else self.countries or frozenset({self.region})

    def check(self) -> None:
        """Raises ServerStartError: nothing leaves this host without TLS, no code appears where nobody looks."""
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ServerStartError("--tls-cert and --tls-key go together")
        if not is_loopback(self.host):
            if self.tls_cert is None and not self.behind_proxy:
                raise ServerStartError(
                    f"--host {self.host} is reachable from outside: give --tls-cert and --tls-key, "
                    "or --behind-proxy if a proxy does TLS"
                )
            if self.sms == "console" and not self.allow_console_sms:
                raise ServerStartError(
                    "codes would only appear on this console: give --sms, or --allow-console-sms"
                )
        try:
            plain = Jid.parse(self.domain) == Jid("", self.domain)
        except InvalidJid:
            plain = False
        if not plain or ":" in self.domain:
            raise ServerStartError(f"--domain {self.domain!r} is not a lower-case domain name")
        for region in (self.region, *(self.countries - {ALL})):
            if not is_region(region):
                raise ServerStartError(f"{region!r} is not an ISO 3166 country code such as US")
        for origin in sorted(self.origins):
            if not is_origin(origin):
                raise ServerStartError(f"--origins: {origin!r} is not like https://app.example")
        try:
            services = [parse_url(url) for url in self.turn]
        except ValueError as error:
            raise ServerStartError(f"--turn: {error}") from None
        if any(service.is_relay for service in services) != bool(self.turn_secret):
            raise ServerStartError("--turn with a turn: or turns: URL and --turn-secret go together")
        if len(services) > MAX_SERVICES:
            raise ServerStartError(f"--turn: a client takes {MAX_SERVICES} servers, not {len(services)}")
        for name, port in (("--port", self.port), ("--metrics-port", self.metrics_port or 0)):
            if not 0 <= port <= 65535:
                raise ServerStartError(f"{name} {port} is not between 0 and 65535")
