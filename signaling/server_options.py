"""The command line of `ringline serve`."""

import argparse
import os
from pathlib import Path

DESCRIPTION = """\
The signaling server: registers phone numbers by SMS code, finds contacts, routes calls.
Its first line on stdout is: Ringline signaling server: URL (domain ..., data ..., SMS to ...).
"""


def add_serve_options(parser: argparse.ArgumentParser) -> None:
    """The names are those of ServerConfig, but for the log's."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    add("--port", type=_port, default=8480, help="port, 0 for any free one (default 8480)")
    add("--data", type=Path, default=Path("data"), help="folder for database and keys (default ./data)")
    add("--domain", default="calls.localhost", help="domain of the accounts (default calls.localhost)")
    add("--region", default="US", type=str.upper, help="country of numbers without +NN (default US)")
    gateways = "console (default), file:PATH, webhook:URL, or env:NAME: one of these, from the environment"
    add("--sms", default="console", type=_secret, metavar="GATEWAY", help=gateways)
    add("--tls-cert", type=Path, help="certificate chain, PEM; read again at SIGHUP")
    add("--tls-key", type=Path, help="its private key, PEM")
    add(
        "--lan",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="serve the local network: listen on this machine's address there, with a certificate of its own; "
        "prints what to type on the other machines",
    )
    add("--behind-proxy", action="store_true", help="a reverse proxy does TLS and sets X-Forwarded-*")
    add("--allow-console-sms", action="store_true", help="allow --sms console on an outside address")
    countries = "serve numbers of these countries (default: that of --region), or all"
    add("--countries", default=frozenset(), type=_countries, metavar="US,CA", help=countries)
    database = "postgresql+asyncpg://... instead of SQLite in --data; or env:NAME"
    add("--database", default="", type=_secret, metavar="URL", help=database)
    add(
        "--metrics-port",
        type=_port,
        metavar="PORT",
        help="serve /metrics on this port of loopback (default: no)",
    )
    add(
        "--limits",
        type=Path,
        metavar="FILE.toml",
        help="limits that are not the default: see docs/operations.md",
    )
    turn = "STUN and TURN servers that clients are told of: turn:HOST:PORT?transport=udp|tcp, turns:HOST, stun:HOST"
    add("--turn", default=(), type=_urls, metavar="URL,URL", help=turn)
    secret = "what the TURN servers share with this one (coturn: static-auth-secret); or env:NAME"
    add("--turn-secret", default="", type=_secret, metavar="SECRET", help=secret)
    origins = "web pages of these origins may use the server, beside those that it serves itself"
    add("--origins", default=frozenset(), type=_origins, metavar="https://APP.EXAMPLE,...", help=origins)
    levels = ("debug", "info", "warning", "error")
    add("--log-level", choices=levels, default="warning", help="what goes to stderr (default warning)")
    add("--log-format", choices=("text", "json"), default="text", help="a line an event (default text)")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, a number from 0 to 65535")
    return int(text)


def _countries(text: str) -> frozenset[str]:
    return frozenset(country.strip().upper() for country in text.split(",") if country.strip())


def _origins(text: str) -> frozenset[str]:
    return frozenset(origin.strip().lower() for origin in text.split(",") if origin.strip())


def _urls(text: str) -> tuple[str, ...]:
    return tuple(url.strip() for url in text.split(",") if url.strip())


def _secret(text: str) -> str:
    """Everybody on the host can read a command line, and these may hold passwords."""
    if not text.startswith("env:"):
        return text
    value = os.environ.get(text.removeprefix("env:"))
    if not value:
        raise argparse.ArgumentTypeError(f"there is no {text.removeprefix('env:')} in the environment")
    return value
