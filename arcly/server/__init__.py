"""The server: the engine with a page, run by the command `arcly serve`. Control plane only; needs the extra `arcly[server]`."""
