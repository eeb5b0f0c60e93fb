"""What all authenticators share, and how several become one."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from enum import StrEnum

from arcly._deadline import within
from arcly._limits import require_between
from arcly._native import StreamKey
from arcly.contract import Credentials, StreamAuthenticator
from arcly.errors import MalformedError, MisuseError

log = logging.getLogger("arcly")


class Action(StrEnum):
    """What somebody asks to do. The values are the words of MediaMTX, so that its authorisers and tokens work here."""

    PUBLISH = "publish"
    """Send a stream."""

    PLAY = "read"
    """Receive a stream."""


class Authenticator(ABC):
    """A `StreamAuthenticator` with one method for both questions. Derive from it to write your own."""

    @abstractmethod
    async def authorize(self, action: Action, key: StreamKey, credentials: Credentials) -> bool:
        """Return whether the peer may do `action` on `key`. Raising refuses."""

    async def authorize_publish(self, key: StreamKey, credentials: Credentials) -> bool:
        """Return whether the peer may publish to `key`."""
        return await self.authorize(Action.PUBLISH, key, credentials)

    async def authorize_play(self, key: StreamKey, credentials: Credentials) -> bool:
        """Return whether the peer may play `key`."""
        return await self.authorize(Action.PLAY, key, credentials)


class PermitAll(Authenticator):
    """Everybody may do everything: what an engine without authenticator does, said aloud."""

    async def authorize(self, action: Action, key: StreamKey, credentials: Credentials) -> bool:
        """Return True."""
        return True


class AllOf(Authenticator):
    """Allows what all members allow. They are asked in order, up to the first that refuses or raises.

    Args:
        *members: at least one, so that an empty list cannot let everybody in.

    Raises:
        MisuseError: there is no member.
    """

    def __init__(self, *members: StreamAuthenticator) -> None:
        _require_members(members)
        self._members = members

    async def authorize(self, action: Action, key: StreamKey, credentials: Credentials) -> bool:
        """Return whether every member allows it."""
        for member in self._members:
            if not await _ask(member, action, key, credentials):
                return False
        return True


class AnyOf(Authenticator):
    """Allows what one member allows.

    They are asked in order, up to the first that allows: put the quick ones first, and `Users` last, which lets a
    wrong password wait. A member that raises or overruns its deadline has refused, is logged, and does not keep the
    next from being asked. A `MalformedError` is raised at the end, if nobody allows it.

    Args:
        *members: at least one.
        member_deadline_s: seconds for each member, default 2; 0.001 to 60. All of them together should fit into the
            `auth_deadline_s` of the engine, which is 5.

    Raises:
        MisuseError: there is no member, or the deadline is out of range.
    """

    def __init__(self, *members: StreamAuthenticator, member_deadline_s: float = 2.0) -> None:
        _require_members(members)
        require_between("member_deadline_s", member_deadline_s, 0.001, 60)
        self._members = members
        self._member_deadline_s = member_deadline_s

    async def authorize(self, action: Action, key: StreamKey, credentials: Credentials) -> bool:
        """Return whether one of the members allows it."""
        wrong: MalformedError | None = None
        for member in self._members:
            try:
                if await self._allows(member, action, key, credentials):
                    return True
            except MalformedError as error:
                wrong = error
        if wrong is not None:
            raise wrong
        return False

    async def _allows(
        self, member: StreamAuthenticator, action: Action, key: StreamKey, credentials: Credentials
    ) -> bool:
        try:
            return await within(self._member_deadline_s, _ask(member, action, key, credentials))
        except MalformedError:
            raise
        except TimeoutError:
            log.warning("%s was not decided in time by %s", key, type(member).__name__)
        except Exception:
            log.exception("%s could not decide on %s", type(member).__name__, key)
        return False


async def _ask(member: StreamAuthenticator, action: Action, key: StreamKey, credentials: Credentials) -> bool:
    if action is Action.PUBLISH:
        return await member.authorize_publish(key, credentials)
    return await member.authorize_play(key, credentials)


def _require_members(members: tuple[StreamAuthenticator, ...]) -> None:
    if not members:
        raise MisuseError("at least one authenticator is needed")
