"""The short form of `make fuzz`: nothing that is sent to a server process breaks it, or keeps others waiting."""

import asyncio
import importlib.util
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(
    500
)  # a minute and a half; a busy machine takes longer, and nothing here may fail for that
def test_nothing_breaks_the_server(tmp_path: Path) -> None:
    command = [sys.executable, "tests/fuzz/fuzz_signaling.py", "--minutes", "0.25", "--out", str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes) as process:
        try:
            said, _ = process.communicate(timeout=480)
        finally:  # if it hangs, with its server and its attackers
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["problems"] == [] and summary["healthy rounds"] > 0
    # All three were at it, and got past the login.
    assert all(summary["inputs"][kind] > 100 for kind in ("http request", "websocket frame", "xml"))
    assert summary["answers"]["login online"] > 10 and summary["answers"]["iq error"] > 10


async def test_what_the_server_said_before_it_hung_up_is_read_by_who_writes_on() -> None:
    """Else a stream that ended in order counts as one that ended without a word, where the machine is busy."""
    spec = importlib.util.spec_from_file_location("fuzz_wire", ROOT / "tests" / "fuzz" / "wire.py")
    assert spec is not None and spec.loader is not None
    sys.modules[spec.name] = wire_module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(wire_module)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = wire_module.Target(listener.getsockname()[1])
        async with target.connect(random.Random(1), wire_module.Record()) as wire:
            server, _ = listener.accept()
            server.sendall(b"\x81\x01a" + b"\x81\x01b")
            assert await wire.frame() == (1, b"a")
            server.sendall(b"\x81\x01c")
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            server.close()  # with RST
            while await wire.push(b"x"):
                pass
            assert await wire.frame() == (1, b"b")
            assert await wire.frame() == (1, b"c")
            try:
                await asyncio.wait_for(wire.frame(), 5)
            except EOFError:
                return
            raise AssertionError("there is no end")
