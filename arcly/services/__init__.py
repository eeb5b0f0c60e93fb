"""Services that a host injects: who may do what, what is observed, counted, recorded, and whether all is well.

None is on by default. Each module is imported on its own: `from arcly.services.health import HealthRegistry`.
"""
