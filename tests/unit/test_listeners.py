"""What `arcly serve` does where an address is taken."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from conftest import eventually

import arcly

FREE = ["--rtsp", "off", "--rtsp-udp", "off", "--srt", "off", "--webrtc", "off", "--rtmp", "off"]


@contextlib.contextmanager
def taken(kind: socket.SocketKind, port: int) -> Iterator[int]:
    """Take a port; somebody else may have it already."""
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    with socket.socket(family, kind) as one:
        # Two tests that run beside each other both hold it, until both are over; no server shares it so.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with contextlib.suppress(OSError):
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            one.bind(("", port))
            if kind == socket.SOCK_STREAM:
                one.listen()
        yield one.getsockname()[1] or port


@contextlib.asynccontextmanager
async def serving(*options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[str]]]:
    """A server, and the lines that it says."""
    command = [sys.executable, "-m", "arcly", "serve", *options]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    lines: list[str] = []

    async def listen() -> None:
        assert process.stderr
        async for line in process.stderr:
            lines.append(line.decode())

    listening = asyncio.create_task(listen())
    try:
        yield process, lines
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await listening


@pytest.mark.parametrize(
    ("flag", "kind", "port"),
    [
        ("rtmp", socket.SOCK_STREAM, 1935),
        ("rtsp", socket.SOCK_STREAM, 8554),
        ("srt", socket.SOCK_DGRAM, 8890),
        ("webrtc", socket.SOCK_DGRAM, 8189),
    ],
)
async def test_a_listener_that_nobody_asked_for_is_left_out(flag: str, kind: socket.SocketKind, port: int) -> None:
    options = [*FREE, "--http", "127.0.0.1:0"]
    at = options.index(f"--{flag}")
    del options[at : at + 2]
    with taken(kind, port):
        async with serving(*options) as (process, lines):
            await eventually(lambda: any("in a browser" in line for line in lines) or process.returncode, deadline_s=60)
            said = [line for line in lines if "left out" in line]
            assert len(said) == 1, lines
            assert f"[{flag}] left out" in said[0]
            assert f"--{flag} HOST:PORT" in said[0]
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 60) == 0
    assert not [line for line in lines if "Traceback" in line or " ERR " in line], lines


async def test_a_page_whose_port_is_taken_is_left_out() -> None:
    options = [*FREE[:-2], "--rtmp", "127.0.0.1:0"]
    with taken(socket.SOCK_STREAM, 8888):
        async with serving(*options) as (process, lines):
            await eventually(lambda: any("[http] left out" in line for line in lines), deadline_s=60)
            await eventually(lambda: any("[rtmp] listening" in line for line in lines), deadline_s=60)
            assert process.returncode is None
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 60) == 0


@pytest.mark.parametrize("flag", ["rtmp", "rtsp", "srt", "http"])
async def test_an_address_that_was_asked_for_and_is_taken_ends_the_server(flag: str) -> None:
    kind = socket.SOCK_DGRAM if flag == "srt" else socket.SOCK_STREAM
    options = [*FREE, "--http", "127.0.0.1:0"]
    with taken(kind, 0) as port:
        options[options.index(f"--{flag}") + 1] = f":{port}"
        async with serving(*options) as (process, lines):
            assert await asyncio.wait_for(process.wait(), 60) == 1
    said = [line for line in lines if " ERR " in line]
    assert len(said) == 1, lines
    assert str(port) in said[0]
    assert f"(--{flag} HOST:PORT listens elsewhere)" in said[0]


async def test_a_taken_port_of_datagrams_that_nobody_asked_for_leaves_rtsp_to_tcp() -> None:
    """It was blamed on --rtsp, as another port than the one that is taken, and ended the server."""
    options = [*FREE[4:], "--http", "127.0.0.1:0", "--rtsp", "127.0.0.1:0"]
    with taken(socket.SOCK_DGRAM, 8001):
        async with serving(*options) as (process, lines):
            await eventually(lambda: any("in a browser" in line for line in lines) or process.returncode, deadline_s=60)
            said = [line for line in lines if "over TCP alone" in line]
            assert len(said) == 1, lines
            assert re.search(r":800[01]: Address already in use .*\(--rtsp-udp PORT listens elsewhere\)", said[0])
            assert any("[rtsp] listening" in line for line in lines), lines
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 60) == 0
    assert not [line for line in lines if "Traceback" in line or " ERR " in line], lines


async def test_a_taken_port_of_datagrams_that_was_asked_for_ends_the_server_under_its_number() -> None:
    with taken(socket.SOCK_DGRAM, 0) as port:
        options = [*FREE[4:], "--http", "127.0.0.1:0", "--rtsp", "127.0.0.1:0", "--rtsp-udp", str(port - 1)]
        async with serving(*options) as (process, lines):
            assert await asyncio.wait_for(process.wait(), 60) == 1
    said = [line for line in lines if " ERR " in line]
    assert len(said) == 1, lines
    assert f"127.0.0.1:{port}: Address already in use" in said[0]
    assert "(--rtsp HOST:PORT or --rtsp-udp PORT listens elsewhere)" in said[0]


async def test_a_server_without_a_single_address_ends() -> None:
    with taken(socket.SOCK_STREAM, 8888):
        async with serving(*FREE) as (process, lines):
            assert await asyncio.wait_for(process.wait(), 60) == 1
    assert any("nothing can be listened on" in line for line in lines), lines


@pytest.mark.parametrize("heard", ["listening", "live/demo", "in a browser"])
async def test_a_signal_while_it_starts_ends_it_in_order(heard: str) -> None:
    """Found by the check of the wheel: until everything listened, SIGTERM killed it."""
    options = [*FREE[:-2], "--rtmp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--demo"]
    async with serving(*options) as (process, lines):
        await eventually(lambda: any(heard in line for line in lines) or process.returncode, deadline_s=60)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0, lines
    assert not [line for line in lines if "Traceback" in line or " ERR " in line], lines


async def test_a_server_that_stops_sends_who_can_to_another(clip: Callable[..., Path]) -> None:
    key, free = arcly.StreamKey("live", "cam"), [*FREE, "--http", "127.0.0.1:0"]
    del free[free.index("--rtmp") : free.index("--rtmp") + 2]
    rtmp = arcly.RtmpHandler("127.0.0.1:0")
    async with arcly.Engine(rtmp) as other:
        assert rtmp.address
        options = ["--rtmp-reconnect", f"rtmp://127.0.0.1:{rtmp.address[1]}", "--drain", "60"]
        async with serving("--rtmp", "127.0.0.1:0", *free, *options) as (process, lines):
            said = await eventually(lambda: [line for line in lines if "[rtmp] listening on" in line])
            push = arcly.PushTarget(f"rtmp://{said[0].split()[-1]}/live/cam", key, backoff_s=(0.05, 0.2))
            async with arcly.Engine(push, arcly.FileSource(clip(), key, loop=True)):
                await eventually(lambda: push.state is arcly.LinkState.RUNNING)
                process.send_signal(signal.SIGTERM)
                await eventually(lambda: other.get_stream(key))
                assert await asyncio.wait_for(process.wait(), 60) == 0
    assert any("connect again at rtmp://127.0.0.1:" in line for line in lines), lines
    assert not [line for line in lines if "Traceback" in line or " ERR " in line or "ending what is" in line], lines


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rtmp-reconnect", "same"], "--rtmp-reconnect needs --drain SECONDS"),
        (["--rtmp-reconnect", "rtmp://host/live", "--drain", "5"], "peers reconnect to a server of the form"),
    ],
)
async def test_what_is_wrong_with_a_request_to_reconnect_is_said(options: list[str], said: str) -> None:
    async with serving(*options) as (process, lines):
        assert await asyncio.wait_for(process.wait(), 60) != 0
    assert said in "".join(lines)
