"""What an HTTP client can do to the server and everybody on it: nothing, and nobody has to read of it in the log."""

import asyncio
import gzip
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from signaling.server_limits import Limits
from signaling.stream import StreamTimes

HEAD = b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


@pytest.fixture
def limits() -> Limits:
    return Limits(keep_alive=0.2, times=StreamTimes(gone=1.0))


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.INFO)
    yield
    assert "Traceback" not in caplog.text
    assert [r for r in caplog.records if r.levelno > logging.INFO and r.name.startswith("signaling")] == []


@asynccontextmanager
async def connected(server) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    try:
        async with asyncio.timeout(5):
            yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def answer(server, data: bytes) -> bytes:
    """What the server says until it closes the connection."""
    async with connected(server) as (reader, writer):
        writer.write(data)
        return await reader.read()


@pytest.mark.parametrize("path", [b"/v1/tokens", b"/none"])
async def test_compressed_bodies_are_not_unpacked(server, path):
    for body in (b"not gzip at all", gzip.compress(b'{"a":1}'), gzip.compress(b" " * 5_000_000)):
        head = HEAD.replace(b"/v1/tokens", path) + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
        said = await answer(server, head % len(body) + body)
        assert said.startswith(b"HTTP/1.1 404" if path == b"/none" else b"HTTP/1.1 415")


@pytest.mark.parametrize("path", [b"/v1/tokens", b"/none"])
@pytest.mark.parametrize("chunks", [b"zz\r\n{}\r\n", b"-1\r\n{}", b"2\r\n{}x\r\n"])
async def test_broken_chunks(server, path, chunks):
    said = await answer(
        server, HEAD.replace(b"/v1/tokens", path) + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    )
    assert said.startswith(b"HTTP/1.") and said[9:10] == b"4"


async def test_a_body_that_does_not_come_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr("signaling.server.problem.BODY_TIMEOUT", 0.05)
    async with connected(server) as (reader, writer):
        writer.write(HEAD + b"Content-Length: 100\r\n\r\n{")
        said = await reader.readuntil(b"}")
        assert said.startswith(b"HTTP/1.1 400") and b"did not arrive completely" in said


@pytest.mark.parametrize(
    "begun", [b"", b"GET /healthz HTTP/1.1\r\nX: y", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /"]
)
async def test_a_head_that_does_not_end_is_not_waited_for(server, begun):
    said = await answer(server, begun)
    assert said.count(b"HTTP/1.1 200") == begun.count(b"\r\n\r\n")


@pytest.mark.parametrize("name", ["Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Connection"])
async def test_an_upgrade_that_is_not_ascii(server, name):
    headers = {"Host": "a", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    headers |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": "xmpp"}
    for value in ("\xe9", "\ud800", "\U0001f600"):
        lines = "".join(f"{key}: {text}\r\n" for key, text in (headers | {name: value}).items())
        data = f"GET /xmpp HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogatepass")
        assert (await answer(server, data)).startswith(b"HTTP/1.1 400")


async def test_an_expectation_that_is_not_ascii_is_answered(server):
    said = await answer(server, HEAD + b"Expect: \xdd\r\nContent-Length: 2\r\n\r\n{}")
    assert said.startswith(b"HTTP/1.")


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux only")
async def test_who_reads_no_answer_is_cut(server):
    _, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.transport.pause_reading()
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    async with asyncio.timeout(5):
        with pytest.raises(ConnectionError):
            while True:
                writer.write(b"GET /v1/server HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
                await writer.drain()
    writer.close()
