"""arcly's origin as a program that uses it as a library, with HTTPS or without: `origin.py RTMP HTTP [CERT KEY]`."""

import asyncio
import sys

import arcly


async def main(rtmp: str, http: str, *files: str) -> None:
    """Serve until the parent ends it."""
    tls = arcly.Tls(*files) if files else None
    packager = arcly.HlsPackager(window_s=600)
    origin = arcly.HttpOrigin(http, packager=packager, tls=tls)
    async with arcly.Engine(arcly.RtmpHandler(rtmp), origin):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
