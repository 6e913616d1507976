"""`python -m signaling serve`."""

import argparse
import asyncio
import contextlib
import dataclasses
import logging
import signal
import sys
from pathlib import Path

from signaling.server_config import ServerConfig

DESCRIPTION = """\
The signaling server: registers phone numbers by SMS code, finds contacts, routes calls.
Its first line on stdout is: Ringline signaling server: URL (domain ..., data ..., SMS to ...).
"""


def add_arguments(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `serve`; its `run` takes the parsed arguments and returns the exit code."""
    parser = subparsers.add_parser("serve", help="start the signaling server", description=DESCRIPTION)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    add("--port", type=int, default=8480, help="port, 0 for any free one (default 8480)")
    add("--data", type=Path, default=Path("data"), help="folder for database and keys (default ./data)")
    add("--domain", default="calls.localhost", help="domain of the accounts (default calls.localhost)")
    add("--region", default="US", type=str.upper, help="country of numbers without +NN (default US)")
    add("--sms", default="console", metavar="GATEWAY", help="console (default), file:PATH or webhook:URL")
    add("--tls-cert", type=Path, help="certificate chain, PEM")
    add("--tls-key", type=Path, help="its private key, PEM")
    add("--behind-proxy", action="store_true", help="a reverse proxy does TLS and sets X-Forwarded-*")
    add("--allow-console-sms", action="store_true", help="allow --sms console on an outside address")
    add("--countries", default=frozenset(), type=_countries, metavar="US,CA", help="serve only these")
    add("--database", default="", metavar="URL", help="postgresql+asyncpg://... instead of SQLite in --data")
    parser.set_defaults(run=run)


def _countries(text: str) -> frozenset[str]:
    return frozenset(country.strip().upper() for country in text.split(",") if country.strip())


def run(arguments: argparse.Namespace) -> int:
    """Serves until SIGTERM or SIGINT, then drains. Raises ServerStartError."""
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    names = (field.name for field in dataclasses.fields(ServerConfig))
    config = ServerConfig(**{name: getattr(arguments, name) for name in names})
    asyncio.run(_serve(config))
    return 0


async def _serve(config: ServerConfig) -> None:
    # Imported here: the other commands start without the server's libraries.
    from signaling.server.app import Server

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stopping.set)
    server = await Server.start(config)
    details = f"domain {config.domain}, data {config.data}, {server.sms.description}"
    sys.stdout.write(f"Ringline signaling server: {server.url} ({details})\n")
    sys.stdout.flush()
    try:
        await stopping.wait()
    finally:
        await server.stop()
