"""RTMP."""

from __future__ import annotations

import asyncio
import logging

from arcly._address import resolve, show
from arcly._bridge import native_session
from arcly._gate import PlayGate
from arcly._inbox import InboxReader
from arcly._loop import Signal
from arcly._native import PublishRequest, RtmpListener, StreamKey
from arcly.contract import Credentials, IngestContext
from arcly.errors import AlreadyPublishingError, MalformedError, StreamError, UnauthorizedError
from arcly.tls import Tls
from arcly.viewer import EgressOptions, Viewer

log = logging.getLogger("arcly")

NAME_SHOWN = 40
"""Characters of a refused name that are shown."""


class RtmpHandler:
    """RTMP: publishing by OBS, ffmpeg and every other encoder, and playing. An `InboundProtocol`.

    The key of a stream is `app/stream` of the URL: `rtmp://host/live/cam` publishes or plays `live/cam`, whatever the
    application is called. What stands behind `?` reaches the authenticator as `Credentials.query`.

    Args:
        bind: `HOST:PORT` to listen on; an empty host stands for all addresses, port 0 for any free one. Default
            `:1935`.
        connections_max: connections at a time, default 4096; each costs some 40 KiB while it publishes. More are
            closed at once.
        decision_deadline_s: seconds that authenticator and registry may take together, default 10; then the publish
            is refused.
        handshake_timeout_s: seconds that a peer may take for the handshake, and again until it asks for something,
            default 10.
        idle_timeout_s: seconds without a byte after which a connection is ended, default 30.
        tls: speak RTMPS, under this certificate.
        egress: how streams leave to players.
    """

    name = "rtmp"

    def __init__(
        self,
        bind: str = ":1935",
        *,
        connections_max: int = 4096,
        decision_deadline_s: float = 10.0,
        handshake_timeout_s: float = 10.0,
        idle_timeout_s: float = 30.0,
        tls: Tls | None = None,
        egress: EgressOptions | None = None,
    ) -> None:
        self._egress = egress or EgressOptions()
        self._gate: PlayGate | None = None
        self._tls = tls
        self._bind = bind
        self._connections_max = connections_max
        self._decision_deadline_s = decision_deadline_s
        self._handshake_timeout_s = handshake_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._listener: RtmpListener | None = None
        self._inbox: InboxReader | None = None
        self._deciding: set[asyncio.Task[None]] = set()
        self._context: IngestContext | None = None

    @property
    def address(self) -> tuple[str, int] | None:
        """IP and port that are listened on; None while it does not run."""
        return self._listener.addr if self._listener else None

    def list_viewers(self) -> list[Viewer]:
        """Return who plays here, by age."""
        return [Viewer(*fields) for fields in self._listener.viewers()] if self._listener else []

    def kick(self, viewer: int) -> bool:
        """End a viewer by its `Viewer.id`, within a second; False when it is not there."""
        return self._listener is not None and self._listener.kick(viewer)

    async def start(self, context: IngestContext) -> None:
        """Listen.

        Raises:
            ListenError: the address cannot be had.
            MisuseError: `bind` is no address.
        """
        address = await resolve(self._bind)
        self._context = context
        self._gate = PlayGate(context)
        self._inbox = InboxReader(self.name, self._on_request, play=self._gate.decide)
        self._listener = RtmpListener(
            context.native,
            self._inbox.inbox,
            address,
            connections_max=self._connections_max,
            decision_deadline_s=self._decision_deadline_s,
            handshake_timeout_s=self._handshake_timeout_s,
            idle_timeout_s=self._idle_timeout_s,
            tls=None if self._tls is None else self._tls.native,
            egress=self._egress.native(),
        )
        log.info("[%s] listening on %s", "rtmps" if self._tls else "rtmp", show(self._listener.addr))

    async def stop(self) -> None:
        """Stop listening and disconnect every publisher."""
        if self._listener is not None:
            stopped = Signal()
            self._listener.stop(stopped.token)
            await stopped.wait()
            stopped.close()
            self._listener = None
        for task in self._deciding:
            task.cancel()
        if self._gate is not None:
            self._gate.close()
            self._gate = None
        if self._inbox is not None:
            await self._inbox.close()
            self._inbox = None

    def _on_request(self, request: PublishRequest) -> None:
        task = asyncio.create_task(self._decide(request))
        self._deciding.add(task)
        task.add_done_callback(self._deciding.discard)

    async def _decide(self, request: PublishRequest) -> None:
        assert self._context is not None
        try:
            key = StreamKey(request.app, request.stream)
            credentials = Credentials(peer=request.peer, agent=request.agent, query=request.query, protocol=self.name)
            async with asyncio.timeout(self._decision_deadline_s):
                session = await self._context.open_publish(key, credentials, protocol=self.name)
            request.accept(native_session(session))
        except (AlreadyPublishingError, MalformedError) as error:
            self._refuse(request, "bad_name", f"{error} (asked for {shorten(request.app)}/{shorten(request.stream)})")
        except UnauthorizedError as error:
            self._refuse(request, "unauthorized", str(error))
        except (StreamError, TimeoutError) as error:
            self._refuse(request, "failed", str(error) or "no decision was made in time")
        except Exception:
            log.exception("[rtmp] deciding on a publish failed")
            self._refuse(request, "failed", "an error of the server")

    def _refuse(self, request: PublishRequest, refusal: str, text: str) -> None:
        # A peer that has gone, or waited too long, was told of already.
        if request.refuse(refusal, text):
            log.warning("[rtmp] %s was refused as publisher: %s", request.peer, text)


def shorten(name: str) -> str:
    """Return a name of a stranger as it may stand in a log: escaped, and not too long."""
    text = ascii(name)[1:-1]
    return text if len(text) <= NAME_SHOWN else text[:NAME_SHOWN] + "…"
