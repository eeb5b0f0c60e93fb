"""Options that were not given."""


class Default(str):
    """What an address is when nobody has given one: where it cannot be had, the server goes on without."""

    __slots__ = ()
