"""ONVIF: cameras of the local network, and where their streams and pictures are.

for found in await arcly.onvif.discover():
    camera = arcly.onvif.OnvifCamera(found.addresses[0], "user", "secret")
    for profile in await camera.profiles():
        print(profile.name, await camera.stream_uri(profile))
"""

from arcly.onvif.camera import OnvifCamera, Profile
from arcly.onvif.discovery import Found, discover

__all__ = ["Found", "OnvifCamera", "Profile", "discover"]
