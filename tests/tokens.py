"""An authenticator that goes by a token."""

from __future__ import annotations

import arcly


class Tokens:
    """Everybody may publish, and those play who bring the token `good`, or for the first time `once`.

    `asked` has the protocols of those who wanted to play.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._is_spent = False

    async def authorize_publish(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        return True

    async def authorize_play(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        self.asked.append(credentials.protocol)
        token = credentials.params.get("token")
        is_first = token == "once" and not self._is_spent
        self._is_spent |= is_first
        return is_first or token == "good"
