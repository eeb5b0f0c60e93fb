"""Who may publish: the decisions of every way in."""

from __future__ import annotations

import asyncio
import logging

from arcly._bridge import native_session
from arcly._native import PlayRequest, PublishRequest, StreamKey
from arcly.contract import Credentials, IngestContext, PublishSession
from arcly.contract.access import is_first_ask, may_bring_better
from arcly.errors import AlreadyPublishingError, MalformedError, StreamError, UnauthorizedError

log = logging.getLogger("arcly")

NAME_SHOWN = 40
"""Characters of a refused name that are shown."""


class PublishDesk:
    """Answers the requests to publish that come into an inbox, each in a task of its own.

    Give `decide` to the `InboxReader` of whatever takes publishers.

    Args:
        context: where streams are published.
        deadline_s: seconds that authenticator and registry may take together; then the publish is refused.
    """

    def __init__(self, context: IngestContext, *, deadline_s: float) -> None:
        self._context = context
        self._deadline_s = deadline_s
        self._deciding: set[asyncio.Task[None]] = set()

    def decide(self, request: PublishRequest) -> None:
        """Begin to decide on a request."""
        task = asyncio.create_task(self._decide(request))
        self._deciding.add(task)
        task.add_done_callback(self._deciding.discard)

    async def _decide(self, request: PublishRequest) -> None:
        credentials = Credentials()
        try:
            key = StreamKey(request.app, request.stream)
            credentials = credentials_of(request)
            async with asyncio.timeout(self._deadline_s):
                if request.wants_leave:
                    await self._context.authorize_publish(key, credentials)
                    request.grant()
                    return
                session = await self._open(request, key, credentials)
            request.accept(native_session(session))
        except (AlreadyPublishingError, MalformedError) as error:
            refuse(request, "bad_name", f"{error} (asked for {shorten(request.app)}/{shorten(request.stream)})")
        except UnauthorizedError as error:
            refusal = "unauthenticated" if may_bring_better(credentials) else "unauthorized"
            # Not left out: a camera that was given no password asks this way, again and again.
            refuse(request, refusal, str(error), logging.INFO if is_first_ask(credentials) else logging.WARNING)
        except (StreamError, TimeoutError) as error:
            refuse(request, "failed", str(error) or "no decision was made in time")
        except Exception:
            log.exception("[%s] deciding on a publish failed", request.protocol)
            refuse(request, "failed", "an error of the server")

    async def _open(self, request: PublishRequest, key: StreamKey, credentials: Credentials) -> PublishSession:
        if not request.has_leave:
            return await self._context.open_publish(key, credentials, protocol=request.protocol)
        # A token that is good for once must not be asked for twice.
        peer, agent = credentials.peer, credentials.agent or None
        return await self._context.start_publish(key, protocol=request.protocol, peer=peer, agent=agent)

    def close(self) -> None:
        """Decide nothing more; who still waits is refused."""
        for task in self._deciding:
            task.cancel()


def credentials_of(request: PublishRequest | PlayRequest) -> Credentials:
    """Return what a peer brings.

    Raises:
        MalformedError: its query has too many fields.
    """
    return Credentials(
        peer=request.peer,
        agent=request.agent,
        query=request.query,
        protocol=request.protocol,
        authorization=request.authorization,
    )


def refuse(request: PublishRequest, refusal: str, text: str, level: int = logging.WARNING) -> None:
    """Turn a publisher away, with a line in the log."""
    # A peer that has gone, or waited too long, was told of already.
    if request.refuse(refusal, text):
        log.log(level, "[%s] %s was refused as publisher: %s", request.protocol, request.peer, text)


def shorten(name: str) -> str:
    """Return a name of a stranger as it may stand in a log: escaped, and not too long."""
    text = ascii(name)[1:-1]
    return text if len(text) <= NAME_SHOWN else text[:NAME_SHOWN] + "…"
