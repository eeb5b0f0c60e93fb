"""RTSP where another program has the usual ports of its datagrams."""

from __future__ import annotations

import logging

from arcly._native import Inbox, RtspListener
from arcly.contract import IngestContext
from arcly.errors import ListenError
from arcly.protocols.rtsp import RtspHandler

log = logging.getLogger("arcly")


class SparingRtspHandler(RtspHandler):
    """The same, over the connection alone where nobody asked for its ports of datagrams and one of them is taken."""

    def listen(self, context: IngestContext, inbox: Inbox, address: str) -> RtspListener:
        """Return a listener at `address`."""
        try:
            return super().listen(context, inbox, address)
        except ListenError as error:
            self._udp_port = None
            listener = super().listen(context, inbox, address)
            log.warning("[%s] over TCP alone: %s (--rtsp-udp PORT listens elsewhere)", self.name, error)
            return listener
