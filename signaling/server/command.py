"""`python -m signaling serve`."""

import argparse
import asyncio
import contextlib
import dataclasses
import gc
import logging
import signal
import sys

from signaling.logs import LogFormatter
from signaling.server_config import ServerConfig
from signaling.server_options import DESCRIPTION, add_serve_options


def add_arguments(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `serve`; its `run` takes the parsed arguments and returns the exit code."""
    parser = subparsers.add_parser("serve", help="start the signaling server", description=DESCRIPTION)
    add_serve_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serves until SIGTERM or SIGINT, then drains. Raises ServerStartError."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormatter(as_json=arguments.log_format == "json"))
    logging.basicConfig(level=arguments.log_level.upper(), handlers=[handler])
    names = (field.name for field in dataclasses.fields(ServerConfig))
    config = ServerConfig(**{name: getattr(arguments, name) for name in names})
    asyncio.run(_serve(config))
    return 0


async def _serve(config: ServerConfig) -> None:
    # Imported here: the other commands start without the server's libraries.
    from signaling.server.app import Server

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    server = await Server.start(config)
    with contextlib.suppress(NotImplementedError):
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        loop.add_signal_handler(signal.SIGHUP, server.reload_tls)
    details = f"domain {config.domain}, data {config.data}, {server.sms.description}"
    sys.stdout.write(f"Ringline signaling server: {server.url} ({details})\n")
    sys.stdout.flush()
    # The store's thread needs few turns of the interpreter, all connections wait for them: not 5 ms for each.
    sys.setswitchinterval(0.0005)
    # A full collection stops the server for a second where 10,000 are connected, and finds next to nothing: what is
    # loaded by now is left out, and it comes once for a million new objects, not for each quarter more.
    gc.collect()
    gc.freeze()
    gc.set_threshold(1000, 20, 50)
    try:
        await stopping.wait()
    finally:
        await server.stop()
