"""Plays a stream with GStreamer's rtspsrc and speaks to it over the back channel of ONVIF: `talk.py URL PROTOCOL LAW`.

Run by the system's Python, whose bindings know GStreamer (on Debian: python3-gi, gir1.2-gstreamer-1.0).
"""

import ctypes
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

LIBRARY = ctypes.CDLL("libgstreamer-1.0.so.0")
LIBRARY.gst_mini_object_ref.argtypes = [ctypes.c_void_p]


def main(url: str, protocol: str, law: str) -> None:
    """Play and speak until somebody ends us."""
    Gst.init(None)
    player = Gst.parse_launch(
        f"rtspsrc name=s backchannel=onvif location={url} protocols={protocol} latency=100"
        " s. ! rtph264depay ! fakesink sync=false s. ! rtpmp4gdepay ! fakesink sync=false"
    )
    voice = Gst.parse_launch(
        "audiotestsrc is-live=true ! audio/x-raw,rate=8000,channels=1 ! "
        f"{law}lawenc ! rtppcm{law[0].replace('m', 'u')}pay ! appsink name=out emit-signals=true sync=false"
    )
    source, place = player.get_by_name("s"), []

    def select(_source, number, caps):
        # What is marked so is heard by the camera.
        if caps.get_structure(0).has_field("a-sendonly"):
            place.append(number)
        return True

    def say(sink):
        sample = sink.emit("pull-sample")
        # The action takes the sample away, which the bindings do not know: they would, too.
        LIBRARY.gst_mini_object_ref(hash(sample))
        return source.emit("push-backchannel-sample", place[0], sample)

    def begin(*_):
        voice.set_state(Gst.State.PLAYING)

    source.connect("select-stream", select)
    source.connect("pad-added", begin)
    voice.get_by_name("out").connect("new-sample", say)
    player.set_state(Gst.State.PLAYING)
    GLib.MainLoop().run()


main(*sys.argv[1:])
