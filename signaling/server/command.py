"""`ringline serve`."""

import argparse
import asyncio
import contextlib
import dataclasses
import gc
import logging
import resource
import signal
import sys

from signaling.errors import ServerStartError
from signaling.logs import LogFormatter, RepeatFilter
from signaling.server_config import ServerConfig
from signaling.server_options import DESCRIPTION, add_serve_options

MAX_OPEN_FILES = 65_536


def add_arguments(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `serve`; its `run` takes the parsed arguments and returns the exit code."""
    parser = subparsers.add_parser("serve", help="start the signaling server", description=DESCRIPTION)
    add_serve_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serves until SIGTERM or SIGINT, then drains. Raises ServerStartError."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RepeatFilter())
    handler.setFormatter(LogFormatter(as_json=arguments.log_format == "json"))
    logging.basicConfig(level=arguments.log_level.upper(), handlers=[handler])
    names = (field.name for field in dataclasses.fields(ServerConfig))
    _allow_open_files()
    config = ServerConfig(**{name: getattr(arguments, name) for name in names})
    proof = ""
    if arguments.lan is not None:
        config, proof = for_the_local_network(config, arguments.lan)
    asyncio.run(_serve(config, proof))
    return 0


def _allow_open_files() -> None:
    """As many as the system lets us: the usual 1,024 are meant for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        most = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def for_the_local_network(config: ServerConfig, address: str) -> tuple[ServerConfig, str]:
    """The same server on this machine's address there ("": found out), and the fingerprint of its certificate.

    Raises ServerStartError.
    """
    from signaling.server.certificate import certificate_for, own_address

    if config.tls_cert is not None or config.behind_proxy or config.host != "127.0.0.1":
        raise ServerStartError(
            "--lan chooses address and certificate: it goes with no --host, --tls-cert or --behind-proxy"
        )
    address = address or own_address()
    made = certificate_for(address, config.data / "lan")
    # Whoever starts it so sits before this console, and reads the codes to the others.
    lan = dataclasses.replace(
        config, host=address, tls_cert=made.certificate, tls_key=made.key, allow_console_sms=True
    )
    return lan, made.fingerprint


async def _serve(config: ServerConfig, proof: str) -> None:
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
    if proof:
        sys.stdout.write(
            "On this machine and the others of this network, with a number and a profile for each:\n"
            f"  ringline register +12025550100 --profile alice.profile --server {server.url} --ca {proof}\n"
            "The codes appear here. Then, as docs/two-machines.md says:\n"
            "  ringline answer --profile bob.profile\n"
            "  ringline call +12025550101 --profile alice.profile\n"
        )
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
