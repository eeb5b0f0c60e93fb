"""RTSP against those who do not mean well, or are broken: by plain sockets, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from conftest import eventually

import arcly

SDP = (
    "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    "a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0LADNoFB+xEAAADAAQAAAMAyDxQqoA=,aM4PyA==\r\n"
    "a=control:streamid=0\r\n"
    "m=audio 0 RTP/AVP 0\r\na=control:streamid=1\r\n"
)
"""Pictures of 320x240, and G.711."""

TCP = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"


class Talk:
    """A connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.sequence = 0
        self.session = ""

    async def ask(self, start: str, headers: str = "", body: str = "") -> tuple[int, str]:
        """Send a request; returns status and text of its answer, over packets that come between."""
        self.sequence += 1
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        session = f"Session: {self.session}\r\n" if self.session else ""
        text = f"{start} RTSP/1.0\r\nCSeq: {self.sequence}\r\n{headers}{session}{length}\r\n{body}"
        self.writer.write(text.encode())
        return await self.answer()

    async def answer(self) -> tuple[int, str]:
        """The next answer."""
        async with asyncio.timeout(20):
            while (first := await self.reader.readexactly(1)) == b"$":
                head = await self.reader.readexactly(3)
                await self.reader.readexactly(int.from_bytes(head[1:], "big"))
            text = (first + await self.reader.readuntil(b"\r\n\r\n")).decode()
            if found := re.search(r"Content-Length: (\d+)", text):
                text += (await self.reader.readexactly(int(found[1]))).decode()
        if found := re.search(r"Session: (\w+)", text):
            self.session = found[1]
        return int(text.split(" ")[1]), text

    async def packet(self) -> tuple[int, bytes]:
        """The next packet: channel and content."""
        async with asyncio.timeout(20):
            magic, channel, *length = await self.reader.readexactly(4)
            assert magic == 0x24
            return channel, await self.reader.readexactly(int.from_bytes(length, "big"))

    async def is_closed(self) -> bool:
        """Wait until the server has closed it."""
        try:
            async with asyncio.timeout(20):
                while await self.reader.read(4096):
                    pass
        except ConnectionError:
            pass
        return True

    async def publish(self, name: str, transport: str = TCP) -> None:
        """Begin to publish."""
        announced = await self.ask(f"ANNOUNCE rtsp://h/{name}", "Content-Type: application/sdp\r\n", SDP)
        assert announced[0] == 200, announced
        status, text = await self.ask(f"SETUP rtsp://h/{name}/streamid=0", transport)
        assert status == 200, text
        assert (await self.ask(f"RECORD rtsp://h/{name}"))[0] == 200

    def send_pictures(self, count: int, first: int = 0) -> None:
        """Send key pictures of one packet each, 25 a second by their times."""
        for number in range(first, first + count):
            self.writer.write(interleaved(0, picture(number)))


def picture(number: int) -> bytes:
    """A key picture in one packet; what is in it nobody looks at."""
    head = bytes([0x80, 0xE0]) + number.to_bytes(2, "big") + (number * 3600).to_bytes(4, "big") + b"ssrc"
    return head + b"\x65" + bytes(100)


def interleaved(channel: int, packet: bytes) -> bytes:
    """A packet as it goes over the connection."""
    return b"$" + bytes([channel]) + len(packet).to_bytes(2, "big") + packet


@asynccontextmanager
async def talking(rtsp: arcly.RtspHandler) -> AsyncIterator[Talk]:
    """Connect."""
    assert rtsp.address is not None
    talk = Talk(*await asyncio.open_connection(*rtsp.address))
    try:
        yield talk
    finally:
        talk.writer.transport.abort()


@asynccontextmanager
async def serving(**options: object) -> AsyncIterator[tuple[arcly.Engine, arcly.RtspHandler]]:
    """Run a server on free ports."""
    rtsp = arcly.RtspHandler("127.0.0.1:0", udp_port=0, **options)  # type: ignore[arg-type]
    async with arcly.Engine(rtsp) as engine:
        yield engine, rtsp


def stream(engine: arcly.Engine, name: str = "live/cam") -> arcly.StreamHandle | None:
    """The stream with that name."""
    return engine.get_stream(arcly.StreamKey.parse(name))


async def test_more_connections_than_allowed_are_turned_away(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(connections_max=2) as (_, rtsp), talking(rtsp) as first, talking(rtsp) as second:
        assert [(await talk.ask("OPTIONS *"))[0] for talk in (first, second)] == [200, 200]
        async with talking(rtsp) as surplus:
            assert await surplus.is_closed()
        await eventually(lambda: "turned away: all 2 connections are in use" in caplog.text)
        first.writer.transport.abort()

        async def is_let_in() -> bool:
            async with talking(rtsp) as talk:
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    return (await talk.ask("OPTIONS *"))[0] == 200
            return False

        await eventually(is_let_in, what="a place is free again")


class Nobody:
    """Lets everybody publish and nobody play."""

    async def authorize_publish(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        return True

    async def authorize_play(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        return False


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", "", 401),
        ("?t=1", "", 401),
        ("", "Authorization: Basic bWU6d3Jvbmc=\r\n", 401),
        ("", "Authorization: Bearer wrong\r\n", 403),
    ],
)
async def test_who_may_not_play_does_not_learn_what_there_is(query: str, headers: str, status: int) -> None:
    rtsp = arcly.RtspHandler("127.0.0.1:0", udp_port=0)
    async with arcly.Engine(rtsp, authenticator=Nobody()), talking(rtsp) as publisher:
        await publisher.publish("live/cam")
        for name in ("cam", "nothing"):
            async with talking(rtsp) as talk:
                assert (await talk.ask(f"DESCRIBE rtsp://h/live/{name}{query}", headers))[0] == status


async def test_a_stream_that_is_ended_here_sends_its_publisher_away() -> None:
    async with serving() as (engine, rtsp), talking(rtsp) as talk:
        await talk.publish("live/cam")
        assert engine.end_stream(engine.list_streams()[0], "kicked")
        assert await talk.is_closed()


async def test_half_a_session_is_a_whole_stream_of_one_track() -> None:
    async with serving() as (engine, rtsp), talking(rtsp) as talk:
        await talk.publish("live/cam")
        talk.send_pictures(30)
        found = await eventually(lambda: (it := stream(engine)) and it.tracks and it)
        assert [track.codec for track in found.tracks] == ["H264"]
        async with talking(rtsp) as viewer:
            status, text = await viewer.ask("DESCRIBE rtsp://h/live/cam")
            assert (status, text.count("m=")) == (200, 1)


async def test_a_publisher_that_stops_sending_is_reaped() -> None:
    async with serving(media_timeout_s=0.5) as (engine, rtsp), talking(rtsp) as talk:
        await talk.publish("live/cam")
        talk.send_pictures(10)
        await eventually(lambda: (it := stream(engine)) and it.tracks)
        assert await talk.is_closed()
        await eventually(lambda: stream(engine) is None)
        async with talking(rtsp) as successor:
            await successor.publish("live/cam")


async def test_packets_of_a_type_that_was_not_described_are_no_media(caplog: pytest.LogCaptureFixture) -> None:
    """They kept a stream alive of which nothing came, without a word."""
    async with serving(media_timeout_s=0.5) as (_, rtsp), talking(rtsp) as talk:
        await talk.publish("live/cam")

        async def go_on() -> None:
            for number in itertools.count():
                packet = picture(number % 65_536)
                talk.writer.write(interleaved(0, packet[:1] + b"\xe1" + packet[2:]))
                await asyncio.sleep(0.05)

        sending = asyncio.create_task(go_on())
        assert await talk.is_closed()
        sending.cancel()
        assert "packets of a type that was not described are left out" in caplog.text


async def test_who_announces_and_does_nothing_more_keeps_no_name() -> None:
    async with serving() as (engine, rtsp):
        async with talking(rtsp) as talk:
            assert (await talk.ask("ANNOUNCE rtsp://h/live/cam", "", SDP))[0] == 200
            assert stream(engine) is not None
            assert (await talk.ask("TEARDOWN rtsp://h/live/cam"))[0] == 200
            await eventually(lambda: stream(engine) is None)
            assert (await talk.ask("ANNOUNCE rtsp://h/live/cam", "", SDP))[0] == 200
        await eventually(lambda: stream(engine) is None, what="gone with its connection")


async def test_a_viewer_leaves_in_the_middle_and_comes_again_on_the_same_connection() -> None:
    async with serving() as (engine, rtsp), talking(rtsp) as publisher:
        await publisher.publish("live/cam")
        publisher.send_pictures(30)
        await eventually(lambda: (it := stream(engine)) and it.tracks)
        async with talking(rtsp) as talk:
            for number in range(3):
                assert (await talk.ask("DESCRIBE rtsp://h/live/cam"))[0] == 200
                assert (await talk.ask("SETUP rtsp://h/live/cam/trackID=0", TCP))[0] == 200
                status, text = await talk.ask("PLAY rtsp://h/live/cam/")
                assert status == 200
                assert "RTP-Info: url=rtsp://h/live/cam/trackID=0;seq=" in text
                channels = [(await talk.packet())[0] for _ in range(2)]
                assert channels == [1, 0], "a report, and the picture"
                assert (await talk.ask("GET_PARAMETER rtsp://h/live/cam"))[0] == 200
                assert (await talk.ask("TEARDOWN rtsp://h/live/cam"))[0] == 200
                talk.session = ""
                publisher.send_pictures(3, 30 + 3 * number)
                await eventually(lambda: rtsp.list_viewers() == [])


@pytest.mark.parametrize("by", ["tcp", "udp"])
async def test_who_leaves_and_comes_again_at_once_is_played_what_comes(by: str) -> None:
    """A play that had not ended yet was taken for a paused one: it went on, answered by 200, and was gone then."""
    rtsp = arcly.RtspHandler("127.0.0.1:0", udp_port=0, egress=arcly.EgressOptions(viewers_max=1))
    with datagram_socket() as ours:
        async with arcly.Engine(rtsp) as engine, talking(rtsp) as publisher, talking(rtsp) as talk:
            port = ours.getsockname()[1]
            way = TCP if by == "tcp" else f"Transport: RTP/AVP;client_port={port}-{port + 1}\r\n"
            await publisher.publish("live/cam")
            publisher.send_pictures(30)
            await eventually(lambda: (it := stream(engine)) and it.stats.video_frames >= 29)
            # Nothing comes meanwhile: nobody has reason to look at those who leave.
            for _ in range(3):
                assert (await talk.ask("DESCRIBE rtsp://h/live/cam"))[0] == 200
                assert (await talk.ask("SETUP rtsp://h/live/cam/trackID=0", way))[0] == 200
                status, text = await talk.ask("PLAY rtsp://h/live/cam/")
                assert (status, "RTP-Info: url=rtsp://h/live/cam/trackID=0;seq=" in text) == (200, True), text
                assert (await talk.ask("TEARDOWN rtsp://h/live/cam"))[0] == 200
                talk.session = ""
            await eventually(lambda: rtsp.list_viewers() == [])


async def test_a_viewer_by_udp_goes_on_by_tcp_as_ffmpeg_does_where_no_datagrams_come() -> None:
    """It was refused: 455."""
    with datagram_socket() as ours:
        async with serving() as (engine, rtsp), talking(rtsp) as publisher, talking(rtsp) as talk:
            port = ours.getsockname()[1]
            await publisher.publish("live/cam")
            publisher.send_pictures(30)
            await eventually(lambda: (it := stream(engine)) and it.stats.video_frames >= 29)
            await talk.ask("DESCRIBE rtsp://h/live/cam")
            way = f"Transport: RTP/AVP;client_port={port}-{port + 1}\r\n"
            assert (await talk.ask("SETUP rtsp://h/live/cam/trackID=0", way))[0] == 200
            assert (await talk.ask("PLAY rtsp://h/live/cam/"))[0] == 200
            assert (await talk.ask("PAUSE rtsp://h/live/cam/"))[0] == 200
            before, talk.session = talk.session, ""
            assert (await talk.ask("SETUP rtsp://h/live/cam/trackID=0", TCP))[0] == 200
            assert talk.session != before
            status, text = await talk.ask("PLAY rtsp://h/live/cam/")
            assert (status, "RTP-Info: url=" in text) == (200, True), text
            assert [(await talk.packet())[0] for _ in range(2)] == [1, 0], "a report, and the picture"
            await eventually(lambda: [viewer.protocol for viewer in rtsp.list_viewers()] == ["rtsp"])


async def test_pause_holds_the_packets_back_and_play_goes_on() -> None:
    async with serving() as (engine, rtsp), talking(rtsp) as publisher:
        await publisher.publish("live/cam")
        publisher.send_pictures(30)
        await eventually(lambda: (it := stream(engine)) and it.tracks)
        async with talking(rtsp) as talk:
            await talk.ask("DESCRIBE rtsp://h/live/cam")
            await talk.ask("SETUP rtsp://h/live/cam/trackID=0", "Transport: RTP/AVP/TCP;interleaved=6-7\r\n")
            assert (await talk.ask("PLAY rtsp://h/live/cam/"))[0] == 200
            assert [(await talk.packet())[0] for _ in range(2)] == [7, 6], "the channels that were asked for"
            assert (await talk.ask("PAUSE rtsp://h/live/cam/"))[0] == 200
            publisher.send_pictures(5, 30)
            assert (await talk.ask("OPTIONS *"))[0] == 200
            assert (await talk.ask("PLAY rtsp://h/live/cam/"))[0] == 200
            publisher.send_pictures(5, 35)
            assert (await talk.packet())[0] in (6, 7)


async def test_a_thousand_describes_without_a_setup_cost_one_connection() -> None:
    async with serving() as (engine, rtsp), talking(rtsp) as publisher:
        await publisher.publish("live/cam")
        publisher.send_pictures(10)
        await eventually(lambda: (it := stream(engine)) and it.tracks)
        async with talking(rtsp) as talk:
            for _ in range(1000):
                assert (await talk.ask("DESCRIBE rtsp://h/live/cam"))[0] == 200
        assert rtsp.list_viewers() == []


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("ANNOUNCE rtsp://h/live/cam RTSP/1.0\r\nContent-Length: 4294967296\r\n\r\n", 413),
        ("OPTIONS * RTSP/1.0\r\n" + "A: b\r\n" * 10_000 + "\r\n", 413),
        ("OPTIONS * RTSP/1.0\r\nA: " + "b" * 100_000, 413),
        ("GET / HTTP/1.9\r\n\r\n", 400),
        ("OPTIONS * RTSP/7.0\r\n\r\n", 505),
    ],
)
async def test_what_is_too_much_or_nothing_is_told_and_ended(text: str, status: int) -> None:
    async with serving() as (_, rtsp), talking(rtsp) as talk:
        talk.writer.write(text.encode())
        assert (await talk.answer())[0] == status
        assert await talk.is_closed()


async def test_garbage_between_packets_costs_no_more_than_itself() -> None:
    async with serving() as (engine, rtsp), talking(rtsp) as talk:
        await talk.publish("live/cam")
        for number in range(40):
            talk.writer.write(interleaved(0, picture(number)))
            talk.writer.write(bytes([0, number, 0xFF, 0x24, 0x99, 0, 4, 1]))
        found = await eventually(lambda: (it := stream(engine)) and it.tracks and it)
        await eventually(lambda: found.stats.video_frames >= 35)
        assert (await talk.ask("GET_PARAMETER *"))[0] == 200


async def test_packets_are_heard_however_they_are_cut() -> None:
    async with serving() as (engine, rtsp), talking(rtsp) as talk:
        await talk.publish("live/cam")
        data = b"".join(interleaved(0, picture(number)) for number in range(12))
        for begin in range(0, len(data), 7):
            talk.writer.write(data[begin : begin + 7])
            await talk.writer.drain()
        found = await eventually(lambda: (it := stream(engine)) and it.tracks and it)
        await eventually(lambda: found.stats.video_frames >= 11)


async def test_a_session_of_another_connection_opens_nothing() -> None:
    async with serving() as (engine, rtsp), talking(rtsp) as publisher:
        await publisher.publish("live/cam")
        publisher.send_pictures(10)
        await eventually(lambda: (it := stream(engine)) and it.tracks)
        async with talking(rtsp) as thief:
            thief.session = publisher.session
            for method in ("PLAY", "RECORD", "PAUSE", "TEARDOWN", "GET_PARAMETER"):
                assert (await thief.ask(f"{method} rtsp://h/live/cam"))[0] == 454
        assert stream(engine) is not None


def datagram_socket() -> socket.socket:
    """A socket for datagrams, on a port of its own."""
    ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ours.bind(("127.0.0.1", 0))
    ours.setblocking(False)
    return ours


async def test_datagrams_are_heard_from_the_agreed_port_alone() -> None:
    with datagram_socket() as agreed, datagram_socket() as stranger:
        async with serving() as (engine, rtsp), talking(rtsp) as talk:
            assert rtsp.udp_ports is not None
            port = agreed.getsockname()[1]
            await talk.publish("live/cam", f"Transport: RTP/AVP;unicast;client_port={port}-{port + 1};mode=record\r\n")
            target = ("127.0.0.1", rtsp.udp_ports[0])
            for number in range(50):
                stranger.sendto(picture(1000 + number), target)
            for number in range(30):
                agreed.sendto(picture(number), target)
            found = await eventually(lambda: (it := stream(engine)) and it.tracks and it)
            await eventually(lambda: found.stats.video_frames >= 29)
            assert found.stats.video_frames <= 30


async def test_nothing_goes_by_udp_before_play_and_never_to_whom_a_client_names() -> None:
    with datagram_socket() as ours, datagram_socket() as victim:
        async with serving() as (engine, rtsp), talking(rtsp) as publisher:
            await publisher.publish("live/cam")
            publisher.send_pictures(30)
            await eventually(lambda: (it := stream(engine)) and it.tracks)
            async with talking(rtsp) as talk:
                port, other = ours.getsockname()[1], victim.getsockname()[1]
                await talk.ask("DESCRIBE rtsp://h/live/cam")
                wish = f"Transport: RTP/AVP;unicast;destination=127.0.0.1:{other};client_port={port}-{port + 1}\r\n"
                status, text = await talk.ask("SETUP rtsp://h/live/cam/trackID=0", wish)
                assert (status, "destination" in text) == (200, False)
                assert (await talk.ask("OPTIONS *"))[0] == 200
                with pytest.raises(BlockingIOError):
                    ours.recv(2000)
                assert (await talk.ask("PLAY rtsp://h/live/cam/"))[0] == 200
                loop = asyncio.get_running_loop()
                async with asyncio.timeout(10):
                    assert (await loop.sock_recv(ours, 2000))[0] == 0x80
                with pytest.raises(BlockingIOError):
                    victim.recv(2000)


def group_socket(group: str, port: int) -> socket.socket:
    """A socket that hears a group on the loopback interface."""
    ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ours.bind((group, port))
    ours.setsockopt(
        socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + socket.inet_aton("127.0.0.1")
    )
    ours.setblocking(False)
    return ours


async def test_many_hear_one_sender_to_a_group_until_the_last_has_left() -> None:
    loop, transport = asyncio.get_running_loop(), "Transport: RTP/AVP;multicast\r\n"
    with datagram_socket() as free:
        port = free.getsockname()[1] & 0xFFFE
    async with serving(multicast="239.255.7.0/24", multicast_port=port) as (engine, rtsp), talking(rtsp) as publisher:
        await publisher.publish("live/cam")
        publisher.send_pictures(30)
        await eventually(lambda: (it := stream(engine)) and it.stats.video_frames >= 29)
        with group_socket("239.255.7.1", port) as group, group_socket("239.255.7.1", port + 1) as reports:

            async def numbers_to(last: int) -> list[int]:
                numbers: list[int] = []
                async with asyncio.timeout(60):
                    while last not in numbers[-1:]:
                        packet = await loop.sock_recv(group, 2000)
                        assert packet[0] == 0x80
                        numbers.append(int.from_bytes(packet[4:8], "big"))
                return [number - numbers[0] for number in numbers]

            async with talking(rtsp) as first, talking(rtsp) as second:
                for talk in (first, second):
                    assert (await talk.ask("DESCRIBE rtsp://h/live/cam"))[0] == 200
                    status, text = await talk.ask("SETUP rtsp://h/live/cam/trackID=0", transport)
                    assert (status, f"destination=239.255.7.1;port={port}-{port + 1};ttl=16" in text) == (200, True)
                assert (await first.ask("PLAY rtsp://h/live/cam/"))[0] == 200
                async with asyncio.timeout(60):
                    begin = int.from_bytes((await loop.sock_recv(group, 2000))[4:8], "big")
                    assert kinds(await loop.sock_recv(reports, 2000)) == [200, 202]
                assert (await second.ask("PLAY rtsp://h/live/cam/"))[0] == 200
                assert [viewer.protocol for viewer in rtsp.list_viewers()] == ["rtsp-multicast"] * 2
                publisher.send_pictures(5, 30)
                times = await numbers_to((begin + 5 * 3600) % 2**32)
                assert times == [number * 3600 for number in range(5)], "once each, for both"
                assert (await first.ask("TEARDOWN rtsp://h/live/cam"))[0] == 200
                await eventually(lambda: len(rtsp.list_viewers()) == 1)
                publisher.send_pictures(5, 35)
                assert len(await numbers_to((begin + 10 * 3600) % 2**32)) == 5, "the second still hears it"
                assert (await second.ask("TEARDOWN rtsp://h/live/cam"))[0] == 200
                await eventually(lambda: rtsp.list_viewers() == [])
                publisher.send_pictures(5, 40)
                await eventually(lambda: (it := stream(engine)) and it.stats.video_frames >= 44)
                with pytest.raises(BlockingIOError):
                    group.recv(2000)


async def test_a_group_is_not_given_where_there_is_none() -> None:
    async with serving(multicast=None) as (engine, rtsp), talking(rtsp) as publisher:
        await publisher.publish("live/cam")
        publisher.send_pictures(10)
        await eventually(lambda: (it := stream(engine)) and it.tracks)
        async with talking(rtsp) as talk:
            status, _ = await talk.ask("SETUP rtsp://h/live/cam/trackID=0", "Transport: RTP/AVP;multicast\r\n")
            assert status == 461
    with pytest.raises(arcly.MisuseError):
        arcly.RtspHandler("127.0.0.1:0", multicast="10.0.0.0/8")


GOODBYE = 203


def kinds(compound: bytes) -> list[int]:
    """The types of the packets in a compound of RTCP."""
    found = []
    while compound:
        found.append(compound[1])
        compound = compound[4 + 4 * int.from_bytes(compound[2:4], "big") :]
    return found


async def test_the_end_of_a_stream_is_said_by_a_bye_behind_the_last_packet() -> None:
    with datagram_socket() as rtcp:
        async with serving() as (engine, rtsp), talking(rtsp) as publisher:
            await publisher.publish("live/cam")
            publisher.send_pictures(30)
            await eventually(lambda: (it := stream(engine)) and it.stats.video_frames >= 29)
            async with talking(rtsp) as by_tcp, talking(rtsp) as by_udp:
                port = rtcp.getsockname()[1]
                ways = [(by_tcp, TCP), (by_udp, f"Transport: RTP/AVP;client_port={port - 1}-{port}\r\n")]
                for talk, transport in ways:
                    await talk.ask("DESCRIBE rtsp://h/live/cam")
                    assert (await talk.ask("SETUP rtsp://h/live/cam/trackID=0", transport))[0] == 200
                    assert (await talk.ask("PLAY rtsp://h/live/cam/"))[0] == 200
                publisher.send_pictures(5, 30)
                assert (await publisher.ask("TEARDOWN rtsp://h/live/cam"))[0] == 200
                packets = [await by_tcp.packet()]
                while packets[-1][0] == 0 or GOODBYE not in kinds(packets[-1][1]):
                    packets.append(await by_tcp.packet())
                assert any(channel == 0 for channel, _ in packets)
                assert kinds(packets[-1][1]) == [200, 202, GOODBYE], "a report, a name, a goodbye (RFC 3550 §6.1)"
                assert await by_tcp.is_closed()
                async with asyncio.timeout(20):
                    while GOODBYE not in kinds(await asyncio.get_running_loop().sock_recv(rtcp, 2000)):
                        pass


AAC, OPUS = arcly.Track(1, "AAC", bytes([0x11, 0x90])), arcly.Track(1, "Opus", b"OpusHead\x01\x02" + bytes(9))
AAC_MONO = arcly.Track(1, "AAC", bytes([0x11, 0x88]))
PICTURES = arcly.Track(
    0, "H264", bytes.fromhex("0164001fffe1001a6764001facd9405005bb011000000300100000030320f183196001000668ebe3cb22c0")
)


@pytest.mark.parametrize("other", [[OPUS], [AAC_MONO], [PICTURES, AAC]], ids=["codec", "configuration", "tracks"])
async def test_another_description_in_mid_stream_ends_the_plays_by_a_bye(
    other: list[arcly.Track], caplog: pytest.LogCaptureFixture
) -> None:
    with datagram_socket() as rtcp:
        async with serving() as (engine, rtsp), talking(rtsp) as by_tcp, talking(rtsp) as by_udp, talking(rtsp) as late:
            session = await engine.start_publish(arcly.StreamKey("live", "cam"), protocol="test", peer="192.0.2.1:1")
            session.set_tracks([AAC])
            session.publish(bytes(100), track=1, pts=0)
            port = rtcp.getsockname()[1]
            ways = [(by_tcp, TCP), (by_udp, f"Transport: RTP/AVP;client_port={port - 1}-{port}\r\n"), (late, TCP)]
            for talk, transport in ways:
                assert (await talk.ask("DESCRIBE rtsp://h/live/cam"))[0] == 200
                assert (await talk.ask("SETUP rtsp://h/live/cam/trackID=0", transport))[0] == 200
            for talk in (by_tcp, by_udp):
                assert (await talk.ask("PLAY rtsp://h/live/cam/"))[0] == 200
            await eventually(lambda: len(rtsp.list_viewers()) == 2)
            session.set_tracks(other)
            session.publish(b"\x65" + bytes(100), track=other[0].id, pts=90_000, key=True)
            while GOODBYE not in kinds((await by_tcp.packet())[1]):
                pass
            async with asyncio.timeout(60):
                while GOODBYE not in kinds(await asyncio.get_running_loop().sock_recv(rtcp, 2000)):
                    pass
            assert await by_tcp.is_closed()
            assert await by_udp.is_closed()
            status, text = await late.ask("PLAY rtsp://h/live/cam/")
            assert (status, "changed since they were described" in text) == (503, True)
            async with talking(rtsp) as again:
                _, text = await again.ask("DESCRIBE rtsp://h/live/cam")
                assert text.count("m=") == len(other)
            assert caplog.text.count("the tracks of the stream have changed") == 2
            caplog.clear()


async def test_a_publisher_that_says_bye_ends_its_stream_and_may_still_tear_it_down() -> None:
    async with serving() as (engine, rtsp), talking(rtsp) as talk:
        await talk.publish("live/cam")
        talk.send_pictures(10)
        found = await eventually(lambda: (it := stream(engine)) and it.tracks and it)
        talk.writer.write(interleaved(1, b"\x81" + bytes([GOODBYE, 0, 1]) + b"else"))
        talk.send_pictures(1, 10)
        await eventually(lambda: found.stats.video_frames >= 10, what="the BYE of another source ends nothing")
        talk.writer.write(interleaved(1, b"\x81" + bytes([GOODBYE, 0, 1]) + b"ssrc"))
        talk.send_pictures(10, 11)
        await eventually(lambda: stream(engine) is None)
        assert found.stats.video_frames >= 20, "what the BYE has overtaken is heard"
        assert (await talk.ask("TEARDOWN rtsp://h/live/cam"))[0] == 200


async def test_a_viewer_by_udp_that_says_nothing_more_is_let_go() -> None:
    with datagram_socket() as ours:
        async with serving(session_timeout_s=0.5) as (engine, rtsp), talking(rtsp) as publisher:
            await publisher.publish("live/cam")
            publisher.send_pictures(30)
            await eventually(lambda: (it := stream(engine)) and it.tracks)
            async with talking(rtsp) as talk:
                port = ours.getsockname()[1]
                await talk.ask("DESCRIBE rtsp://h/live/cam")
                await talk.ask(
                    "SETUP rtsp://h/live/cam/trackID=0", f"Transport: RTP/AVP;client_port={port}-{port + 1}\r\n"
                )
                assert (await talk.ask("PLAY rtsp://h/live/cam/"))[0] == 200
                assert await talk.is_closed()
                await eventually(lambda: rtsp.list_viewers() == [])


async def test_times_of_the_sender_may_wrap_and_its_source_may_change() -> None:
    async with serving() as (engine, rtsp), talking(rtsp) as talk:
        await talk.publish("live/cam")
        for number in range(60):
            sequence, time = (65_530 + number) % 65_536, (2**32 - 36_000 + number * 3600) % 2**32
            source = b"ssrc" if number < 40 else b"SSRC"
            head = bytes([0x80, 0xE0]) + sequence.to_bytes(2, "big") + time.to_bytes(4, "big") + source
            talk.writer.write(interleaved(0, head + b"\x65" + bytes(100)))
        found = await eventually(lambda: (it := stream(engine)) and it.tracks and it)
        await eventually(lambda: found.stats.video_frames >= 55)
        assert not found.closed


@pytest.mark.parametrize("ports", ["70000-70001", "0-0", "-", "a-b", "65535"])
async def test_ports_that_cannot_be_are_refused(ports: str) -> None:
    async with serving() as (_, rtsp), talking(rtsp) as talk:
        await talk.ask("ANNOUNCE rtsp://h/live/cam", "", SDP)
        status, _ = await talk.ask("SETUP rtsp://h/live/cam/streamid=0", f"Transport: RTP/AVP;client_port={ports}\r\n")
        assert status == 461


async def test_a_viewer_that_does_not_read_is_ended_and_holds_up_nobody() -> None:
    egress = arcly.EgressOptions(stall_max_s=1)
    async with serving(egress=egress) as (engine, rtsp), talking(rtsp) as publisher:
        await publisher.publish("live/cam")
        publisher.send_pictures(30)
        await eventually(lambda: (it := stream(engine)) and it.tracks)
        async with talking(rtsp) as talk:
            talk.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await talk.ask("DESCRIBE rtsp://h/live/cam")
            await talk.ask("SETUP rtsp://h/live/cam/trackID=0", TCP)
            assert (await talk.ask("PLAY rtsp://h/live/cam/"))[0] == 200
            talk.reader._transport.pause_reading()  # type: ignore[attr-defined]

            numbers = itertools.count(30, 500)

            def is_let_go() -> bool:
                publisher.send_pictures(500, next(numbers) % 60_000)
                return rtsp.list_viewers() == []

            await eventually(is_let_go, deadline_s=30)


def sender_report(ssrc: bytes, milliseconds: int) -> bytes:
    """Say that the RTP time 0 is so late by a wall clock."""
    ntp = ((3_900_000_000 << 32) + (milliseconds << 32) // 1000).to_bytes(8, "big")
    return b"\x80" + bytes([200, 0, 6]) + ssrc + ntp + bytes(12)


async def request(reader: asyncio.StreamReader) -> str:
    """The next request; nothing when there is none."""
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except (asyncio.IncompleteReadError, ConnectionError):
        return ""


async def camera(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Play pictures, and sound that is 100 ms later; its reports come in front of all packets."""
    while (text := await request(reader)).strip():
        number = re.search(r"CSeq: (\d+)", text)
        assert number is not None
        head, body = f"RTSP/1.0 200 OK\r\nCSeq: {number[1]}\r\nSession: 1\r\n", ""
        if found := re.search(r"Transport: .*\r\n", text):
            head += found[0]
        if text.startswith("DESCRIBE"):
            head, body = head + f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n", SDP
        writer.write(f"{head}\r\n{body}".encode())
        if text.startswith("PLAY"):
            writer.write(interleaved(1, sender_report(b"ssrc", 0)) + interleaved(3, sender_report(b"SSRC", 100)))
            # What opens a firewall (RFC 6263 §4.3). A bug it had: such a packet used up the reports.
            writer.write(interleaved(0, b"\x80\x14" + bytes(10)) + interleaved(2, b"\x80\x14" + bytes(10)))
            for at in range(1, 60):
                picture = b"\x80\xe0" + at.to_bytes(2, "big") + (at * 3600).to_bytes(4, "big") + b"ssrc\x65\x88"
                writer.write(interleaved(0, picture + bytes([at] * 50)))
                sound = b"\x80\x80" + at.to_bytes(2, "big") + (at * 320).to_bytes(4, "big") + b"SSRC"
                writer.write(interleaved(2, sound + bytes([at] * 320)))
    writer.close()


async def test_reports_in_front_of_the_first_packet_of_a_pull_hold() -> None:
    async with await asyncio.start_server(camera, "127.0.0.1", 0) as origin:
        url = f"rtsp://127.0.0.1:{origin.sockets[0].getsockname()[1]}/live/cam"
        async with arcly.Engine(arcly.PullSource(url, "live/copy")) as engine:
            found = await eventually(lambda: stream(engine, "live/copy"))
            offsets: dict[int, float] = {}
            async with asyncio.timeout(60):
                async for frame in found.subscribe():
                    content = bytes(memoryview(frame))
                    rate_hz, at = (90_000, content[6]) if frame.track == 0 else (8000, content[0])
                    offsets.setdefault(frame.track, frame.pts / rate_hz - at * 0.04)
                    if len(offsets) == 2:
                        break
            assert abs(offsets[1] - offsets[0] - 0.1) < 0.002
