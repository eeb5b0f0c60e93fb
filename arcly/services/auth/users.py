"""Names and passwords, for a server with a handful of users. Many of them belong behind an `HttpAuthenticator`."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from arcly._limits import require_between
from arcly._native import StreamKey
from arcly._pattern import is_match, require_pattern
from arcly.contract import Credentials
from arcly.errors import MisuseError
from arcly.services.auth.combine import Action, Authenticator

USERS_MAX = 1000
"""Each costs two comparisons per question, and questions come from anybody."""

FAILURE_PAUSE_S = 1.0
"""How long a wrong password waits for its answer: guessing is not to be quick."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a password."""

    name: str
    """Not empty."""

    password: str = field(repr=False)
    """In the clear, not empty."""

    actions: Collection[Action] = frozenset(Action)
    """What they may do, default everything."""

    streams: str = "*"
    """Where: a pattern for `app/stream` such as `live/*`, in which `*` also matches slashes; default everywhere."""

    def __post_init__(self) -> None:
        """Check.

        Raises:
            MisuseError: no stream can match `streams`.
        """
        require_pattern(self.streams)


class Users(Authenticator):
    """Allows who brings the name and password of a user that may do it.

    They come as `user` and `pass` in the query, in HTTP Basic, in RTSP Basic, or in the stream id of SRT
    (`publish:live/cam:NAME:PASSWORD`). RTMP, RTSP and HTTP carry them in the clear: offer RTMPS, RTSPS and HTTPS.

    Args:
        users: who there are, 1 to 1000; a name may stand there several times, for different streams.
        gate_play: whether players need a password too, default True.
        failure_pause_s: seconds that a wrong password waits for its answer, default 1; 0 to 4, within the
            `auth_deadline_s` of the engine.

    Raises:
        MisuseError: there is no user, too many, one without name or password, or the pause is out of range.
    """

    def __init__(
        self, users: Sequence[User], *, gate_play: bool = True, failure_pause_s: float = FAILURE_PAUSE_S
    ) -> None:
        require_between("the number of users", len(users), 1, USERS_MAX)
        require_between("failure_pause_s", failure_pause_s, 0, 4)
        if not all(user.name and user.password for user in users):
            raise MisuseError("a user needs a name and a password")
        self._users = tuple(users)
        self._gate_play = gate_play
        self._failure_pause_s = failure_pause_s

    async def authorize(self, action: Action, key: StreamKey, credentials: Credentials) -> bool:
        """Return whether the name and password are those of somebody who may do it."""
        if action is Action.PLAY and not self._gate_play:
            return True
        name, password = credentials.params.get("user", ""), credentials.params.get("pass", "")
        known = self._known(name, password)
        if any(action in user.actions and is_match(key, user.streams) for user in known):
            return True
        if not known and (name or password):
            await asyncio.sleep(self._failure_pause_s)
        return False

    def _known(self, name: str, password: str) -> list[User]:
        # All are compared, and in constant time: how long it takes does not tell which names there are.
        return [user for user in self._users if _same(user.name, name) & _same(user.password, password)]


def _same(ours: str, theirs: str) -> bool:
    return hmac.compare_digest(ours.encode(), theirs.encode("utf-8", "surrogateescape"))
