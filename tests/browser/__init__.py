"""The page of `arcly serve` in a real Chromium."""
