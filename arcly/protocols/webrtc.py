"""WebRTC: publishing by WHIP (RFC 9725), watching by WHEP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable, Sequence
from typing import Literal

from arcly._address import resolve, show, split
from arcly._bridge import Lease, native_session, native_stream
from arcly._inbox import InboxReader
from arcly._limits import require_between
from arcly._loop import woken
from arcly._native import PublishSession as NativeSession
from arcly._native import StreamHandle as NativeStream
from arcly._native import StreamKey, WakeToken, WebRtcReply, WebRtcTransport
from arcly.contract import Credentials, IngestContext, StreamHandle
from arcly.errors import ClosedError, MisuseError, NotFoundError
from arcly.events import StreamEventKind
from arcly.protocols import _made, _reach
from arcly.protocols._listener import CONNECTIONS_MAX
from arcly.protocols._makers import Makers
from arcly.protocols._whip import IceServer, Session, WhipApp, links
from arcly.viewer import Viewer

log = logging.getLogger("arcly")

TRACKS_WAIT_S = 5.0
"""How long a viewer waits for a stream that has just begun to say what it consists of."""

TRACKS_LOOK_S = 0.05

FIRST_RENDITION_WAIT_S = 1.5
"""How long of these for the stream itself, when another rendition of it has begun: of simulcast the best may never."""

ENCODINGS_MAX = 4
"""Of one publisher."""

RENDITIONS_MAX = 7
"""Of one stream, beside the one that was asked for: each is cut into packets while somebody may be sent it."""

STUN_SERVERS_MAX = 4

PLAYOUT_DELAY_MAX_S = 40.96
"""Twelve bits of 10 ms (the extension playout-delay of WebRTC)."""

BFrames = Literal["drop", "pass", "transcode"]
"""What the viewers of a stream are sent of pictures that are not in the order in which they are shown."""


class WebRtcHandler:
    """WebRTC: browsers, OBS, GStreamer and FFmpeg publish by WHIP and watch by WHEP. An `InboundProtocol`.

    Media come over one UDP port, and the same number on TCP for those whose network lets nothing else through.
    Signalling is HTTP: mount `asgi()` in your application, or let `arcly serve` do it. A stream is published at
    `/<app>/<stream>/whip` and watched at `/<app>/<stream>/whep`. Who publishes several encodings (simulcast) makes
    several streams: the first one has the name that was asked for, the others its name and theirs, `live/cam~low`.

    Sound that browsers do not take over WebRTC (AAC above all) is made into Opus, once for all viewers of a stream,
    where PyAV is installed: `pip install arcly[av]`. Otherwise such a stream is watched without sound, and the answer
    says so.

    Args:
        bind: `HOST:PORT` of the media; an empty host stands for all addresses, port 0 for any free one. Default
            `:8189`.
        hosts: addresses or names of this machine that peers are told to connect to: the public ones, where it is
            behind a NAT. Default: those by which it reaches others, and loopback.
        sessions_max: sessions at a time, default 10 000.
        connect_timeout_s: seconds from the offer until the peer must have connected, default 20.
        silence_timeout_s: seconds after which a peer that is not heard is gone, default 30.
        tcp: take TCP connections too, default True.
        playout_delay_s: how long viewers should keep pictures back, at least and at most (the playout-delay extension
            of Chromium): `(0.0, 0.3)`. Default: as they see fit.
        stun_servers: `HOST:PORT` or `stun:HOST[:PORT]`, up to four, that are asked under which address the port is seen
            from outside; peers are told that one too. For a machine behind a NAT whose public address is not known
            beforehand, or changes. Default none.
        b_frames: what viewers are sent of pictures that are not in the order in which they are shown, which browsers do
            not take: `"drop"` (default) leaves them out; `"transcode"` makes H.264 without them, once a stream, where
            PyAV is installed (it costs what an encoder costs); `"pass"` sends them as they are, for receivers that put
            them into order. Or a function that says it of each stream.
        ice_servers: servers that peers are told to use besides: the URL of a STUN server (`stun:stun.example.org`), or
            of a TURN server its URL, a user name and the credential, which all who may publish or watch are told:
            `("turn:turn.example.org?transport=udp", "user", "secret")`. Default none, since a server with a public
            address needs none.

    Raises:
        MisuseError: a number is out of range, or a server is named by none of its forms.
    """

    name = "webrtc"

    def __init__(
        self,
        bind: str = ":8189",
        *,
        hosts: list[str] | None = None,
        sessions_max: int = 10_000,
        connect_timeout_s: float = 20.0,
        silence_timeout_s: float = 30.0,
        tcp: bool = True,
        playout_delay_s: tuple[float, float] | None = None,
        stun_servers: list[str] | None = None,
        b_frames: BFrames | Callable[[StreamKey], BFrames] = "drop",
        ice_servers: Sequence[IceServer] | None = None,
    ) -> None:
        require_between("sessions_max", sessions_max, 0, CONNECTIONS_MAX)
        require_between("the number of STUN servers", len(stun_servers or []), 0, STUN_SERVERS_MAX)
        if playout_delay_s is not None and not 0 <= playout_delay_s[0] <= playout_delay_s[1] < PLAYOUT_DELAY_MAX_S:
            raise MisuseError(f"playout_delay_s is {playout_delay_s!r}: the least and the most, below 41 s")
        links(ice_servers or [])  # What is none is said now, not to whoever comes.
        self.ice_servers: list[IceServer] = list(ice_servers or [])
        self._bind = bind
        self._b_frames: Callable[[StreamKey], BFrames] = b_frames if callable(b_frames) else lambda _: b_frames
        self._stun_servers = [_reach.stun_server(server) for server in stun_servers or []]
        self._hosts = hosts
        self._sessions_max = sessions_max
        self._connect_timeout_s = connect_timeout_s
        self._silence_timeout_s = silence_timeout_s
        self._tcp = tcp
        self._playout_delay_s = playout_delay_s
        self._transport: WebRtcTransport | None = None
        self._inbox: InboxReader | None = None
        self._context: IngestContext | None = None
        self._carried: dict[StreamKey, tuple[int, NativeStream, Lease]] = {}
        self._makers = Makers(self._watched, self._tell)
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def address(self) -> tuple[str, int] | None:
        """IP and port of the media; None while it does not run."""
        return self._transport.addr if self._transport else None

    @property
    def discovered(self) -> list[tuple[str, int]]:
        """IPs and ports under which the STUN servers see the port, as far as they have answered."""
        return self._transport.discovered if self._transport else []

    @property
    def makes_opus(self) -> bool:
        """Whether sound that WebRTC does not carry is made into Opus: whether PyAV is installed."""
        return _made.is_available()

    @property
    def sessions(self) -> int:
        """Sessions now, those that are not connected yet among them."""
        return self._transport.sessions if self._transport else 0

    def b_frames(self, key: StreamKey) -> BFrames:
        """Return what viewers of a stream are sent of pictures that are not in order: what can be done."""
        policy = self._b_frames(key)
        return "drop" if policy == "transcode" and not _made.is_available() else policy

    def list_viewers(self) -> list[Viewer]:
        """Return who watches here, by age."""
        return [Viewer(*fields) for fields in self._transport.viewers()] if self._transport else []

    def kick(self, viewer: int) -> bool:
        """End a viewer by its `Viewer.id`, within a second; False when it is not there."""
        return self._transport is not None and self._transport.kick(viewer)

    def asgi(self) -> WhipApp:
        """Return the signalling as an ASGI application: `POST`, `OPTIONS`, `PATCH` and `DELETE` of RFC 9725.

        What stands in front of `/<app>/<stream>/whip` in the path (a mount) is left alone, and what the application
        in front has authorised is asked no more: only the engine's authenticator is.
        """
        return WhipApp(self)

    async def start(self, context: IngestContext) -> None:
        """Open the port.

        Raises:
            ListenError: the address cannot be had.
            MisuseError: `bind` or one of `hosts` is no address.
        """
        address = await resolve(self._bind)
        if self._hosts is not None:
            hosts = await _reach.addresses(self._hosts)
        else:
            hosts = _reach.local_addresses() if _reach.is_any(address) else [split(address)[0]]
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._inbox = InboxReader(self.name)
        self._transport = WebRtcTransport(
            context.native,
            self._inbox.inbox,
            address,
            hosts=hosts,
            stun_servers=await _reach.reachable(self._stun_servers, address),
            sessions_max=self._sessions_max,
            connect_timeout_s=self._connect_timeout_s,
            silence_timeout_s=self._silence_timeout_s,
            tcp=self._tcp,
            playout_delay_s=self._playout_delay_s,
        )
        log.info("[webrtc] media on %s, to be reached at %s", show(self._transport.addr), ", ".join(hosts))

    async def stop(self) -> None:
        """Say goodbye to every peer and close the port."""
        if self._transport is not None:
            await woken(self._transport.stop)
            self._transport = None
        self._makers.stop()
        for *_, lease in self._carried.values():
            lease.close()
        self._carried.clear()
        if self._inbox is not None:
            await self._inbox.close()
            self._inbox = None

    async def publish(self, key: StreamKey, offer: str, credentials: Credentials) -> Session:
        """Answer the offer of somebody who wants to publish, if they may.

        Raises:
            UnauthorizedError, AlreadyPublishingError: they may not.
            MalformedError, UnsupportedError: the offer cannot be answered.
            LimitExceededError: as many sessions are open as may be.
        """
        context, transport = self._running()
        session = native_session(await context.open_publish(key, credentials, protocol=self.name))
        others: list[tuple[str, NativeSession]] = []
        who = (credentials.peer or "::", credentials.agent or "")
        try:
            for name in encodings(offer)[1:]:
                rung = StreamKey(key.app, f"{key.stream}~{name}")
                opened = await context.start_publish(rung, protocol=self.name, peer=credentials.peer)
                others.append((name, native_session(opened)))
            return Session(*transport.publish(session, offer, *who, others=others))
        except BaseException as error:
            for refused in (session, *(other for _, other in others)):
                refused.end(f"the offer was refused: {error}")
            raise

    async def play(self, key: StreamKey, offer: str, credentials: Credentials) -> Session:
        """Answer the offer of somebody who wants to watch, if they may.

        Raises:
            UnauthorizedError: they may not.
            NotFoundError: nobody publishes that.
            MalformedError, UnsupportedError: the offer cannot be answered, or the stream has nothing for WebRTC.
            LimitExceededError: as many sessions are open as may be.
        """
        context, transport = self._running()
        await context.authorize_play(key, credentials)
        stream = await context.offers.summon(context, key)
        if stream is None:
            raise NotFoundError(f"nobody publishes {key}")
        native = self._native(stream)
        await until_known(native, self._renditions(key))
        b_frames = self._b_frames(key)
        sound = self._makers.opus_of(stream.session, native)
        pictures = self._makers.in_order_of(stream.session, native) if b_frames == "transcode" else None
        if pictures:
            await until_known(pictures.handle)
            # Where none can be made it is as with "drop".
            pictures = pictures if pictures.handle.tracks else None
        # Of pictures that are made there is one rendition; the sound is still the stream's, and so are the messages.
        others = [] if pictures else [self._native(rung) for rung in self._renditions(key)]
        opened = transport.play(
            pictures.handle if pictures else native,
            offer,
            credentials.peer or "::",
            credentials.agent or "",
            sound=sound.handle if sound else native if pictures else None,
            messages=native if pictures else None,
            renditions=others,
            passes_b_frames=b_frames == "pass",
        )
        return Session(*opened, has_layers=bool(others))

    async def trickle(self, session: str, fragment: str, ice: str | None = None) -> tuple[str, str] | None:
        """Take more candidates of a peer; return a fragment and its entity tag where ICE was restarted.

        Args:
            session: its name.
            fragment: the text.
            ice: the ICE session that is meant; None: whichever there is.

        Raises:
            NotFoundError: there is no such session.
            MisuseError: `ice` is over.
            MalformedError, LimitExceededError: the fragment.
        """
        _, transport = self._running()
        return await told(lambda done: transport.trickle(session, fragment, ice, done))

    async def layer(self, session: str) -> tuple[str, int]:
        """Return which rendition a viewer is sent, and the bits per second that its path carries; 0: nobody measures.

        Raises:
            NotFoundError: there is no such viewer, or it is not connected yet.
        """
        _, transport = self._running()
        name, estimate_bps = await told(lambda done: transport.layer(session, done)) or ("", "0")
        return name, int(estimate_bps)

    async def close(self, session: str) -> None:
        """End a session.

        Raises:
            NotFoundError: there is no such session.
        """
        _, transport = self._running()
        await told(lambda done: transport.close(session, done))

    def _running(self) -> tuple[IngestContext, WebRtcTransport]:
        if self._context is None or self._transport is None:
            raise ClosedError("WebRTC does not run")
        return self._context, self._transport

    def _watched(self) -> set[StreamKey]:
        return {viewer.key for viewer in self.list_viewers()}

    def _tell(self, kind: StreamEventKind, key: StreamKey, reason: str) -> None:
        """Tell the registry of the host, which need not stand any more, if it can be told. From any thread."""
        emit = getattr(self._context, "emit", None)
        if emit is not None and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # The loop is closed: nobody listens.
                self._loop.call_soon_threadsafe(emit, kind, key, reason)

    def _renditions(self, key: StreamKey) -> list[StreamHandle]:
        """Return the other renditions of a stream, `cam~720p` of `cam`; nothing for who asks for one of those."""
        context, _ = self._running()
        if "~" in key.stream:
            return []
        rungs = [stream for stream in context.list_streams() if is_rendition(stream.key, key)]
        return sorted(rungs, key=lambda rung: rung.key.stream)[:RENDITIONS_MAX]

    def _native(self, stream: StreamHandle) -> NativeStream:
        """Return what the transport can read; frames of a foreign registry are carried there once for all."""
        known = self._carried.get(stream.key)
        if known is None or known[0] != stream.session:
            # What has ended would keep its frames.
            self._carried = {key: carried for key, carried in self._carried.items() if not carried[1].closed}
            if known is not None:
                known[2].close()
            known = self._carried[stream.key] = (stream.session, *native_stream(stream))
        return known[1]


def is_rendition(rung: StreamKey, key: StreamKey) -> bool:
    """Tell whether `rung` is a rendition of `key`."""
    return rung.app == key.app and rung.stream.startswith(f"{key.stream}~")


def encodings(offer: str) -> list[str]:
    """Return the names of the encodings that a publisher offers to send (simulcast, RFC 8853 §5.1), the best one first.

    As the native half knows them: 8 letters and digits.
    """
    found = re.search(r"^a=simulcast:\s*send ([^ \r\n]+)", offer, re.MULTILINE)
    names = [layer.split(",")[0].removeprefix("~") for layer in found[1].split(";")] if found else []
    return [re.sub(r"[^A-Za-z0-9]", "_", name)[:8] for name in names[:ENCODINGS_MAX] if name]


async def told(ask: Callable[[WakeToken], WebRtcReply]) -> tuple[str, str] | None:
    """Ask a session, and wait for what it says."""
    return (await woken(ask)).take()


async def until_known(stream: NativeStream, renditions: Sequence[StreamHandle] = ()) -> None:
    """Wait until the stream says what it consists of, or for its renditions' sake no longer."""
    waited = 0.0
    while not stream.tracks and waited < TRACKS_WAIT_S and not stream.closed:
        if waited >= FIRST_RENDITION_WAIT_S and any(rendition.tracks for rendition in renditions):
            return
        await asyncio.sleep(TRACKS_LOOK_S)
        waited += TRACKS_LOOK_S
