"""A registry of a host whose database is away for a while."""

from __future__ import annotations

import arcly
from arcly.testing import MemoryRegistry, MemoryStream


class FailingRegistry(MemoryRegistry):
    """Raises until it is told that it no longer fails."""

    fails = True

    def get_stream(self, key: arcly.StreamKey) -> MemoryStream | None:
        """Raise, or return what is live under `key`."""
        if self.fails:
            raise OSError("the database is away")
        return super().get_stream(key)
