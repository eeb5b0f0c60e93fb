"""Protocols: one module each, with the same name as its rooms in the native core."""
