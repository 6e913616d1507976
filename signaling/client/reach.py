"""How a command comes to its server: with patience for one that is just being started."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import aiohttp
from yarl import URL

from signaling.client.api import cannot_reach_yet, require_safe
from signaling.client.server_trust import open_session

# A server listens a second or two after it was started; the slowest machines take longer.
PATIENCE = 8.0
INTERVAL = 0.2


@contextlib.asynccontextmanager
async def reach(url: str, trust: str = "") -> AsyncIterator[aiohttp.ClientSession]:
    """A session with the server, once it listens. Raises ServerUnreachable for an address that is none."""
    await wait_for_server(require_safe(url))
    async with open_session(trust) as session:
        yield session


async def wait_for_server(url: str, patience: float = PATIENCE) -> None:
    """Until something listens there, or the time is up; says so once. Whatever else is wrong the request will tell."""
    parsed = URL(url)
    loop = asyncio.get_running_loop()
    deadline, told = loop.time() + patience, False
    while True:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(parsed.host, parsed.port), patience)
        except ConnectionRefusedError:
            if loop.time() >= deadline:
                return
            if not told:
                sys.stderr.write(f"{cannot_reach_yet(url)}\n")
                sys.stderr.flush()
                told = True
            await asyncio.sleep(INTERVAL)
        except (OSError, TimeoutError, ValueError):
            return
        else:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return
