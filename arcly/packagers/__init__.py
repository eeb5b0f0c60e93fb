"""Packagers: streams as files for HTTP."""
