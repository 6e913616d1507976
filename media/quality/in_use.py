"""What a call went by: the pair of ICE candidates and the codecs, as the statistics tell them."""

from dataclasses import dataclass
from typing import Any

from media.quality import plain
from media.quality.stats import Stats, entries


@dataclass(frozen=True, slots=True)
class Path:
    """The pair of candidates in use: their types (host, srflx, prflx, relay), their protocol, and how this end's relay
    is reached, if it has one (udp, tcp or tls). Words of webrtc-stats; no addresses."""

    local: str
    remote: str
    protocol: str = "udp"
    relay_protocol: str | None = None

    @classmethod
    def of(cls, stats: Stats) -> "Path | None":
        """As the statistics tell it; None while there is none."""
        pair = next((e for _, e in entries(stats, "candidate-pair")), None)
        if pair is None or not pair.get("localCandidateType"):
            return None
        local, remote = pair["localCandidateType"], pair.get("remoteCandidateType") or "?"
        return cls(local, remote, pair.get("protocol") or "udp", pair.get("relayProtocol"))

    @classmethod
    def from_dict(cls, content: Any) -> "Path | None":
        """From JSON. Raises ValueError."""
        if content is None:
            return None
        data = plain.mapping(content, "path")
        words = [plain.text(data.get(name), name) for name in ("local", "remote", "protocol")]
        local, remote, protocol = (word or "?" for word in words)
        return cls(local, remote, protocol, plain.text(data.get("relay_protocol"), "relay_protocol"))

    def __str__(self) -> str:
        ours = f"{self.local} ({self.relay_protocol})" if self.relay_protocol else self.local
        return f"{ours} - {self.remote}"


@dataclass(frozen=True, slots=True)
class CodecInUse:
    """What a stream was coded with: `kind` audio or video, `direction` sent or received; `parameters` as in SDP.

    `helpers`: red (copies of frames), rtx (packets sent again).
    """

    kind: str
    direction: str
    name: str
    clock_rate: int
    channels: int | None = None
    parameters: str | None = None
    helpers: tuple[str, ...] = ()

    @classmethod
    def of(cls, stats: Stats) -> tuple["CodecInUse", ...]:
        """Those of the streams that have begun, as the statistics (W3C, codec) tell them."""
        found = []
        for type_, direction, count in (
            ("outbound-rtp", "sent", "packetsSent"),
            ("inbound-rtp", "received", "packetsReceived"),
        ):
            for _, stream in entries(stats, type_):
                codec = stats.get(stream.get("codecId", ""))
                if codec is None or not stream.get(count):
                    continue
                kind, _, name = codec["mimeType"].partition("/")
                beside = [
                    stats[id_]["mimeType"].partition("/")[2] for id_ in stream.get("helperCodecIds", ())
                ]
                found.append(
                    cls(
                        kind,
                        direction,
                        name,
                        codec["clockRate"],
                        codec.get("channels"),
                        codec.get("sdpFmtpLine"),
                        tuple(beside),
                    )
                )
        return tuple(found)

    @classmethod
    def from_dict(cls, content: Any) -> "CodecInUse":
        """From JSON. Raises ValueError."""
        data = plain.mapping(content, "a codec")
        kind, direction, name, parameters = (
            plain.text(data.get(member), member) for member in ("kind", "direction", "name", "parameters")
        )
        channels, helpers = plain.number(data.get("channels"), "channels"), data.get("helpers", [])
        if not isinstance(helpers, list):
            raise ValueError("helpers is a list")
        return cls(
            kind or "?",
            direction or "?",
            name or "?",
            int(plain.number(data.get("clock_rate"), "clock_rate") or 0),
            None if channels is None else int(channels),
            parameters,
            tuple(str(helper) for helper in helpers),
        )

    def __str__(self) -> str:
        names = {
            "opus": "Opus",
            "H264": "H.264",
            "G722": "G.722",
            "PCMU": "G.711 µ-law",
            "PCMA": "G.711 A-law",
        }
        helpers = ", ".join(helper.upper() for helper in self.helpers)
        fec = ", FEC" if "useinbandfec=1" in (self.parameters or "") else ""
        return f"{names.get(self.name, self.name)}{fec}{f', {helpers}' if helpers else ''}"
