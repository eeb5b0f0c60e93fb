"""ONVIF: cameras of the local network, and where their streams and pictures are.

    found = await arcly.onvif.discover()
    camera = arcly.onvif.OnvifCamera(found[0].addresses[0], "user", "secret")
    for profile in await camera.profiles():
        print(profile.name, await camera.stream_uri(profile))

What a camera does not answer, or answers with no, is a `SoapError`.
"""

from arcly.onvif.camera import OnvifCamera, Profile
from arcly.onvif.discovery import Found, discover
from arcly.onvif.soap import SoapError

__all__ = ["Found", "OnvifCamera", "Profile", "SoapError", "discover"]
