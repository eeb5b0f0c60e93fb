"""All errors of arcly: one base, and a stable `code` in each class."""

from arcly._native import (
    AlreadyPublishingError,
    ClosedError,
    LimitExceededError,
    ListenError,
    MalformedError,
    MisuseError,
    NotFoundError,
    StreamError,
    UnsupportedError,
)

__all__ = [
    "AlreadyPublishingError",
    "ClosedError",
    "LimitExceededError",
    "ListenError",
    "MalformedError",
    "MisuseError",
    "NotFoundError",
    "StreamError",
    "UnauthorizedError",
    "UnsupportedError",
    "catalogue",
]


class UnauthorizedError(StreamError):
    """The credentials do not suffice for what was asked."""

    code = "unauthorized"


def catalogue() -> dict[str, type[StreamError]]:
    """Return every error class by its code."""
    classes: list[type[StreamError]] = [StreamError, *StreamError.__subclasses__()]
    return {cls.code: cls for cls in classes}
