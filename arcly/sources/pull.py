"""A stream of another server as a publisher."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

from arcly import _offers, contract
from arcly._bridge import native_session
from arcly._inbox import InboxReader
from arcly._loop import Signal, woken
from arcly._native import PublishRequest, Pull, StreamKey
from arcly.contract import EventStream, IngestContext, PublishSession
from arcly.errors import AlreadyPublishingError, MisuseError, StreamError
from arcly.link import IDLE, Link, LinkState, LinkStatus, remote, status_of
from arcly.stream import StreamHandle

log = logging.getLogger("arcly")


class PullSource(Link):
    """Plays a stream of another server, or hears a transport stream over UDP, and publishes it here. An
    `InboundProtocol`.

        arcly.Engine(arcly.PullSource("rtmp://origin/live/cam", "live/cam"), arcly.HttpOrigin())

    A lost connection is tried again, for ever unless `retries_max` says otherwise. Meanwhile the stream stays, and
    with it its viewers; when the remote is back, its times go on, and its first frame is a discontinuity.

    With `udp://` and `rtp://` it listens: the stream begins with the first media, ends after silence, and comes back.
    It is listened to one sender at a time. A key that is taken is asked for again every 5 s.

    Args:
        url: `rtmp://` or `rtmps://[USER:PASSWORD@]HOST[:PORT]/APP[/STREAM][?QUERY]`; `rtsp://` or
            `rtsps://[USER:PASSWORD@]HOST[:PORT]/PATH[?QUERY]`, of a server or a camera, whose media comes over the
            connection, or with `rtspu://` by UDP (`rtspsu://`: encrypted, where the server does that), each time the
            other way where the first cannot be had; or `udp://` or
            `rtp://[ADDRESS]:PORT[?QUERY]`, an address of this machine or a multicast group, with `iface=` (the network
            interface of a group, by name or IPv4 address), `source=` (the only sender that is heard), `program=` (its
            number; default the first with media) and `buffer_size=` (bytes, default 2 MiB); or
            `srt://HOST[:PORT]?streamid=…` with `latency=` (microseconds, as FFmpeg writes it, or `latency_ms=`; default
            120 ms), `passphrase=`, `pbkeylen=` (16, 24 or 32), `maxbw=` (bytes a second; 0: by what is measured), and
            `mode=rendezvous` where both sides call each other, from the same port (`adapter=`: from which address).
        key: where it is published. With `{program}` in it, each program of a transport stream is a stream of its own,
            its number in that place: `live/tv-{program}`.
        grace_s: seconds that the stream waits for the remote before it is ended, default 30. Pulling goes on, and
            publishes anew.
        idle_timeout_s: seconds without media after which the connection counts as lost, default 10.
        backoff_s: seconds before the first retry and before any at most, default 0.5 and 30; each wait is twice the
            one before, less up to half of it by chance. A connection that was well for 10 s begins anew.
        retries_max: retries in a row after which it has failed, default none. Those that the remote asks for (a
            redirection, a reconnect request) do not count, but for more than ten in a row.
        back_channel: with `rtsp://`, ask a camera for its back channel (ONVIF): what `say` is given is heard there.
            Default False.
        on_demand: connect when the first viewer asks for `key`, and disconnect after the last, or when somebody else
            publishes it; default False. The first viewer waits meanwhile, up to 8 s, and so does one who comes while
            the connection is lost. One that has failed is begun anew by the next viewer.
        linger_s: seconds without a viewer after which it disconnects, default 10; only with `on_demand`. A viewer for
            whom it connects is waited for 8 s longer.
        ca_file: PEM file with authorities that are trusted besides those of the system, for RTMPS and
            RTSPS.
        verify: False takes any certificate, so that anybody on the way can listen and lie.

    Raises:
        MisuseError: `url` is none of these, or `ca_file` has no certificate.
        OSError: `ca_file` cannot be read.
    """

    name = "pull"

    def __init__(
        self,
        url: str,
        key: StreamKey | str,
        *,
        grace_s: float = 30.0,
        idle_timeout_s: float = 10.0,
        backoff_s: tuple[float, float] = (0.5, 30.0),
        retries_max: int | None = None,
        back_channel: bool = False,
        on_demand: bool = False,
        linger_s: float = 10.0,
        ca_file: str | Path | None = None,
        verify: bool = True,
    ) -> None:
        super().__init__()
        self._remote = remote(url, backoff_s=backoff_s, retries_max=retries_max, ca_file=ca_file, verify=verify)
        self._key = StreamKey.parse(key) if isinstance(key, str) else key
        self._grace_s = grace_s
        self._idle_timeout_s = idle_timeout_s
        self._back_channel = back_channel
        self._said: StreamHandle | None = None
        self._on_demand = on_demand
        self._linger_s = linger_s
        self._offered = False
        self._expected_until_s = 0.0
        self._context: IngestContext | None = None
        self._pull: Pull | None = None
        self._following: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        # Held while it disconnects: a viewer who comes then begins another one behind it.
        self._ending = asyncio.Lock()
        # Which stream is its own, and while whose: somebody else may resume it (`AppSpec.reconnect_grace_s`). While it
        # is being asked for, nobody knows.
        self._session: int | None = None
        self._sender: tuple[str, str | None] | None = None
        self._publishing = False
        self._last = IDLE
        self._inbox: InboxReader | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __str__(self) -> str:
        """Return the URL, without what is secret in it."""
        return str(self._remote)

    @property
    def status(self) -> LinkStatus:
        """How it is now."""
        return status_of(self._pull.status()) if self._pull else self._last

    def say(self, stream: StreamHandle | None) -> None:
        """Say the sound of `stream` to the camera from now on, in the place of another one; None: nothing.

        It has to be in a codec that the camera takes, mostly G.711 at 8 kHz: nothing is transcoded. One that it does
        not take leaves a line in the log.

        Raises:
            MisuseError: this source has no `back_channel`.
        """
        if not self._back_channel:
            raise MisuseError("say() needs back_channel=True")
        self._said = stream
        if self._pull is not None:
            self._pull.say(None if stream is None else stream.native)

    async def start(self, context: IngestContext) -> None:
        """Begin to connect, or to wait for a viewer; returns at once.

        Raises:
            MisuseError: another source offers `key` on demand.
        """
        self._context = context
        self._inbox = InboxReader(self.name, self._on_request)
        if self._on_demand:
            context.offers.add(self._key, lambda: self._begin(context))
            self._offered = True
        else:
            self._connect(context)

    async def stop(self) -> None:
        """Disconnect and end the stream. Idempotent."""
        if self._on_demand and self._context is not None:
            self._context.offers.remove(self._key)
            self._offered = False
        await self._disconnect()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._inbox is not None:
            await self._inbox.close()
            self._inbox = None
        await self._tell()

    async def _begin(self, context: IngestContext) -> None:
        """Connect for a viewer, and let go of the remote when nobody watches any more."""
        # The viewer waits so long for the stream, and watches from then on.
        self._expected_until_s = time.monotonic() + _offers.BEGIN_DEADLINE_S + self._linger_s
        await self._while(lambda: self._is_kept(context) and not self._has_given_up())
        if context.get_stream(self._key) is not None and not self._is_kept(context):
            return
        if self._pull is not None and self._has_given_up():
            # For those who asked before.
            if self._leaving is not None:
                self._leaving.cancel()
            await self._disconnect()
        async with self._ending:
            if self._pull is None and self._offered:
                self._connect(context)
                self._leaving = self._spawn(self._leave_unwatched(context))
        await self._while(lambda: self._is_kept(context))

    async def _while(self, holds: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: not (self._offered and holds()))

    def _is_kept(self, context: IngestContext) -> bool:
        """Return whether the stream is there without a sender. Who were given it would watch nothing, and two nodes
        that pull from each other send it in circles: each is the sender that the other one waits for.
        """
        there = context.get_stream(self._key) is not None
        return there and self.state is not LinkState.RUNNING and not self._is_taken(context)

    def _has_given_up(self) -> bool:
        return self._pull is None or self.state is LinkState.FAILED

    def _connect(self, context: IngestContext) -> None:
        assert self._inbox is not None
        changed = Signal()
        self._pull = Pull(
            context.native,
            self._remote,
            self._key,
            self._inbox.inbox,
            changed.token,
            grace_s=self._grace_s,
            idle_timeout_s=self._idle_timeout_s,
            back_channel=self._back_channel,
        )
        if self._said is not None:
            self._pull.say(self._said.native)
        self._following = self._spawn(self._follow(changed))

    async def _disconnect(self) -> None:
        async with self._ending:
            pull, self._pull = self._pull, None
            if pull is None:
                return
            if self._following is not None:
                self._following.cancel()
            try:
                await woken(pull.stop)
            finally:
                # Not before: a stream that has not ended yet would be one of somebody else.
                self._session = None
            self._last = status_of(pull.status())
        await self._tell()

    async def _leave_unwatched(self, context: IngestContext) -> None:
        """Disconnect when nobody watches any more, and no viewer is expected, or when somebody else publishes it."""
        while not self._is_taken(context) and (wait_s := self._expected_until_s - time.monotonic()) > 0:
            async with contextlib.aclosing(context.events()) as events:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        while not self._is_watched(context) and not self._is_taken(context):
                            await anext(events)
                if self._is_watched(context):
                    await self._watched(context, events)
        why = "published by somebody else" if self._is_taken(context) else "no longer watched"
        await self._disconnect()
        log.info("[pull] %s is %s", self._key, why)

    async def _watched(self, context: IngestContext, events: EventStream) -> None:
        """Wait until the last viewer has left; another one is expected for `linger_s`."""
        self._expected_until_s = 0.0
        while self._is_watched(context):
            await anext(events)
        # Somebody may have begun it anew behind an end that made them leave.
        self._expected_until_s = max(self._expected_until_s, time.monotonic() + self._linger_s)

    def _is_watched(self, context: IngestContext) -> bool:
        stream = context.get_stream(self._key)
        return stream is not None and self._is_own(stream) and stream.stats.viewers > 0

    def _is_taken(self, context: IngestContext) -> bool:
        stream = context.get_stream(self._key)
        if stream is None or self._publishing or self._is_own(stream):
            return False
        # One that waits for its publisher (`AppSpec.reconnect_grace_s`) is for whoever comes; a registry of a host need
        # not say so.
        return getattr(stream, "state", None) != "idle"

    def _is_own(self, stream: contract.StreamHandle) -> bool:
        return stream.session == self._session and (stream.protocol, stream.peer) == self._sender

    async def _follow(self, changed: Signal) -> None:
        seen = None
        try:
            while True:
                state = self.state
                if state is LinkState.RUNNING and seen is not state:
                    log.info("[pull] %s comes in as %s", self.status.remote, self._key)
                seen = state
                await self._tell()
                await changed.wait()
        finally:
            changed.close()

    def _on_request(self, request: PublishRequest) -> None:
        self._spawn(self._publish(request))

    async def _publish(self, request: PublishRequest) -> None:
        assert self._context is not None
        try:
            key = StreamKey(request.app, request.stream)
            request.accept(native_session(await self._open(self._context, key, request)))
        except AlreadyPublishingError as error:
            request.refuse("failed", str(error))
            if self._on_demand:
                # Whoever has it was there before, and nothing more will be told of that.
                await self._disconnect()
        except StreamError as error:
            request.refuse("failed", str(error))
        except Exception:
            log.exception("[pull] publishing %s failed", self._key)
            request.refuse("failed", "an error of the server")

    async def _open(self, context: IngestContext, key: StreamKey, request: PublishRequest) -> PublishSession:
        self._publishing = True
        try:
            session = await context.start_publish(key, protocol=request.protocol, peer=request.peer)
            stream = context.get_stream(key)
            self._session = None if stream is None else stream.session
            self._sender = None if stream is None else (stream.protocol, stream.peer)
        finally:
            self._publishing = False
        return session

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
