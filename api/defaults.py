"""What a worker does where nothing else is set. Apart from the worker, as settings are read before one is loaded."""

SECONDS = 1.0
BODY_LIMIT = 262_144
BODY_SECONDS = 20.0
MOST_WAITING = 2_000
