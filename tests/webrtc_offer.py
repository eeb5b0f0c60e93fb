"""What a browser offers, in short."""

from __future__ import annotations

TRANSPORT = """a=ice-ufrag:Rliy
a=ice-pwd:ihvoRVSlnMjgGml7MnHI0gXD
a=fingerprint:sha-256 C9:24:7F:27:25:76:95:6A:2E:D0:03:9E:14:C3:46:D7:B4:B5:A6:97:9D:2A:64:9D:1B:05:8D:33:E0:64:67:20
a=setup:actpass
"""


def offer(way: str) -> str:
    """What a browser offers, in short: H.264 and Opus, which go `way`."""
    video = f"""m=video 9 UDP/TLS/RTP/SAVPF 102
c=IN IP4 0.0.0.0
{TRANSPORT}a=mid:0
a={way}
a=rtcp-mux
a=rtpmap:102 H264/90000
a=fmtp:102 packetization-mode=1;profile-level-id=42e01f
"""
    audio = f"""m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
{TRANSPORT}a=mid:1
a={way}
a=rtcp-mux
a=rtpmap:111 opus/48000/2
"""
    return f"v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE 0 1\n{video}{audio}"
