"""A stream on its way to another server."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

from arcly import contract
from arcly._bridge import native_stream
from arcly._inbox import InboxReader
from arcly._loop import Signal, woken
from arcly._native import Push, StreamKey
from arcly._native import StreamHandle as NativeStream
from arcly.contract import IngestContext
from arcly.link import IDLE, Link, LinkState, LinkStatus, remote, status_of

log = logging.getLogger("arcly")


class PushTarget(Link):
    """Publishes a stream of this engine to another RTMP or RTSP server, or sends it as a transport stream over UDP. An
    `InboundProtocol`: an engine starts and stops it.

        arcly.Engine(arcly.RtmpHandler(), arcly.PushTarget("rtmps://a.example/live2/KEY", "live/cam"))

    It waits until the stream is published, follows it to its end, and waits again. A lost connection is tried again. A
    remote that is too slow skips to the newest key frame, and slows nobody else down.

    Args:
        url: `rtmp://` or `rtmps://[USER:PASSWORD@]HOST[:PORT]/APP[/STREAM][?QUERY]`; `rtsp://`, `rtsps://` or, for
            media by UDP, `rtspu://[USER:PASSWORD@]HOST[:PORT]/PATH[?QUERY]`; or `udp://` or
            `rtp://HOST:PORT[?QUERY]`, a host or a multicast group, with `iface=` (the network interface for a group, by
            name or IPv4 address), `ttl=` (default 1: the local network), `bitrate=` (bits a second of a constant rate,
            filled up with null packets; it begins at the newest key picture and stays as far behind), `pkt_size=`
            (bytes in a datagram, default 1316) and `loop=0` (not to receivers on this machine); or
            `srt://HOST[:PORT]?streamid=…`, as `PullSource`.
        stream: its key, or the stream itself, which is followed to its end and not waited for.
        behind_max_s: seconds that the remote may be behind before it skips, default 5.
        enhanced: send codecs and tracks that need Enhanced RTMP; default None: those that the remote says it takes.
            What cannot be sent is left out, with one line in the log.
        backoff_s, retries_max, ca_file, verify: as `PullSource`.

    Raises:
        MisuseError: `url` is none of these, or `ca_file` has no certificate.
        OSError: `ca_file` cannot be read.
    """

    name = "push"

    def __init__(
        self,
        url: str,
        stream: StreamKey | str | contract.StreamHandle,
        *,
        behind_max_s: float = 5.0,
        enhanced: bool | None = None,
        backoff_s: tuple[float, float] = (0.5, 30.0),
        retries_max: int | None = None,
        ca_file: str | Path | None = None,
        verify: bool = True,
    ) -> None:
        super().__init__()
        self._remote = remote(url, backoff_s=backoff_s, retries_max=retries_max, ca_file=ca_file, verify=verify)
        self._stream: contract.StreamHandle | None = None
        if isinstance(stream, str):
            stream = StreamKey.parse(stream)
        if isinstance(stream, StreamKey):
            self._key = stream
        else:
            self._key, self._stream = stream.key, stream
        self._behind_max_s = behind_max_s
        self._enhanced = enhanced
        self._push: Push | None = None
        self._before = IDLE
        self._task: asyncio.Task[None] | None = None

    def __str__(self) -> str:
        """Return the URL, without what is secret in it."""
        return str(self._remote)

    @property
    def status(self) -> LinkStatus:
        """How it is now. The counts go on from one publish of the stream to the next."""
        if self._push is None:
            return self._before
        now, before = status_of(self._push.status()), self._before
        return replace(
            now,
            last_error=now.last_error or before.last_error,
            retries=now.retries + before.retries,
            frames=now.frames + before.frames,
            bytes=now.bytes + before.bytes,
            skipped=now.skipped + before.skipped,
        )

    async def start(self, context: IngestContext) -> None:
        """Begin to wait for the stream; returns at once."""
        self._task = asyncio.create_task(self._run(context))

    async def stop(self) -> None:
        """Take leave of the remote. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._enter(LinkState.FAILED if self.state is LinkState.FAILED else LinkState.STOPPED)

    async def _run(self, context: IngestContext) -> None:
        inbox = InboxReader(self.name)
        events = context.events()
        try:
            while True:
                stream = self._stream or context.get_stream(self._key)
                if stream is not None and not stream.closed:
                    await self._follow(context, stream, inbox)
                    if self.state is LinkState.FAILED:
                        return
                if self._stream is not None:
                    return
                await self._enter(LinkState.WAITING)
                await anext(events)
        except Exception:
            log.exception("[push] pushing %s failed", self._key)
            await self._enter(LinkState.FAILED)
        finally:
            await events.aclose()
            await inbox.close()

    async def _follow(self, context: IngestContext, stream: contract.StreamHandle, inbox: InboxReader) -> None:
        """Push until the stream has ended, or it has failed."""
        readable, lease = native_stream(stream)
        with lease:
            await self._push_from(context, readable, inbox)

    async def _push_from(self, context: IngestContext, stream: NativeStream, inbox: InboxReader) -> None:
        changed = Signal()
        push = self._push = Push(
            context.native,
            self._remote,
            stream,
            inbox.inbox,
            changed.token,
            behind_max_s=self._behind_max_s,
            enhanced=self._enhanced,
        )
        seen = None
        try:
            while (state := self.state) not in (LinkState.STOPPED, LinkState.FAILED):
                if state is LinkState.RUNNING and seen is not state:
                    log.info("[push] %s goes out to %s", self._key, self.status.remote)
                seen = state
                await self._tell()
                await changed.wait()
        finally:
            changed.close()
            await self._end(push)

    async def _end(self, push: Push) -> None:
        await woken(push.stop)
        self._before, self._push = self.status, None
        await self._tell()

    async def _enter(self, state: LinkState) -> None:
        if self._push is None and self._before.state is not state:
            self._before = replace(self._before, state=state)
            await self._tell()
