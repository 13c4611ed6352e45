"""API: HTTP in front of the engine. `/next-action` is bare ASGI, as it is the hot path; FastAPI serves the rest."""
