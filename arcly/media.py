"""Containers and codecs, without a stream or a server: demux, mux, inspect.

    demuxer = Demuxer("ts")
    for piece in pieces:
        for frame in demuxer.feed(piece):
            print(frame.codec, frame.pts_s, len(frame))

Everything takes any object with the buffer protocol and does its work with the GIL released.
"""

from arcly._native import CodecInfo, Demuxer, MediaReader, Muxer, config_from_frame, inspect, sniff

__all__ = ["CodecInfo", "Demuxer", "MediaReader", "Muxer", "config_from_frame", "inspect", "sniff"]
