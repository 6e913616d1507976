"""Our PeerConnection as an end in a process of its own, in another network namespace say. The protocol: gst_end.py."""

import asyncio
import json
import sys
from typing import Any

from tests.interop.material import Plan, Side
from tests.interop.peers import Ours

MAX_LINE = 2**24


def say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


async def on_candidate(mid: str, line: str) -> None:
    say({"kind": "candidate", "mid": mid, "line": line})


def begin(plan: dict[str, Any]) -> Ours:
    made = Plan("elsewhere", "ours", plan["codec"], data=plan["data"])
    return Ours(
        made,
        Side(plan["hz"], tuple(plan["rgb"])),
        Side(plan["otherHz"], tuple(plan["otherRgb"])),
        on_candidate,
        addresses=plan["addresses"],
    )


async def sense(end: Ours, what: str) -> None:
    while True:
        await getattr(end, what)()
        say({"kind": what})
        await end.again()


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    end: Ours | None = None
    while line := await reader.readline():
        command = json.loads(line)
        try:
            if command["do"] == "begin":
                end = begin(*command["with"])
                end.spawn(sense(end, "heard"))
                end.spawn(sense(end, "seen"))
                result = None
            else:
                result = await getattr(end, command["do"])(*command["with"])
            say({"id": command["id"], "result": result})
        except Exception as error:
            say({"id": command["id"], "error": f"{type(error).__name__}: {error}"})
    if end is not None:
        await end.close()


if __name__ == "__main__":
    asyncio.run(main())
