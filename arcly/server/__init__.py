"""The command `arcly serve`: the engine with a page. Control plane only; needs the extra `arcly[server]`."""
