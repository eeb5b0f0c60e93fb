"""Where frames go: sinks that the package brings along."""
