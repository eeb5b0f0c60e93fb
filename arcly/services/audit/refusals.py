"""Refusals, which no stream tells of: there is none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from arcly._native import StreamKey
from arcly.contract import Credentials, StreamAuthenticator
from arcly.services.audit.pipeline import AuditPipeline
from arcly.services.audit.record import AuditAction


class Audited:
    """A `StreamAuthenticator` that asks another one, and has refusals recorded, each once.

    Args:
        authenticator: who decides.
        pipeline: where a refusal is recorded, with the peer and whether it was refused, failed, or took too long.
    """

    def __init__(self, authenticator: StreamAuthenticator, pipeline: AuditPipeline) -> None:
        self._authenticator = authenticator
        self._pipeline = pipeline

    async def authorize_publish(self, key: StreamKey, credentials: Credentials) -> bool:
        """Return what the other says."""
        with self._recording(AuditAction.PUBLISH_REFUSED, key, credentials) as answer:
            answer.allowed = await self._authenticator.authorize_publish(key, credentials)
        return answer.allowed

    async def authorize_play(self, key: StreamKey, credentials: Credentials) -> bool:
        """Return what the other says."""
        with self._recording(AuditAction.PLAY_REFUSED, key, credentials) as answer:
            answer.allowed = await self._authenticator.authorize_play(key, credentials)
        return answer.allowed

    @contextlib.contextmanager
    def _recording(self, action: AuditAction, key: StreamKey, credentials: Credentials) -> Iterator[_Answer]:
        answer = _Answer()
        why = "not allowed"
        try:
            yield answer
        except asyncio.CancelledError:
            why = "not decided in time"
            raise
        except Exception as error:
            why = f"the authenticator failed: {type(error).__name__}"
            raise
        finally:
            if not answer.allowed:
                self._pipeline.record(action, key, peer=credentials.peer, reason=why)


@dataclass(slots=True)
class _Answer:
    """What an authenticator said."""

    allowed: bool = False
