"""Sources: what publishes from inside this process."""
