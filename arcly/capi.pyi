"""First client of the C API (`arcly/include/arcly.h`): publish and read frames without the GIL."""

from typing_extensions import Buffer

from arcly._native import Cursor, PublishSession
from arcly.subscription import Subscription

def publish(
    session: PublishSession, data: Buffer, *, track: int, pts: int, dts: int | None = None, key: bool = False
) -> int:
    """Publish one frame with the GIL released; returns 0, or a negative ARCLY_ code of arcly.h."""

def read(subscription: Subscription | Cursor) -> tuple[int, int, int, int, bytes] | None:
    """Read one frame with the GIL released: (track, pts, dts, flags, bytes), None when there is none.

    Raises:
        StopIteration: the stream has ended and everything was read.
    """

def drain_bytes(subscription: Subscription | Cursor) -> tuple[int, int]:
    """Read all that is waiting in one loop without the GIL; returns (frames, payload bytes)."""
