"""The door as a dependency of FastAPI's routes, shown in the API document as a bearer token."""

from typing import Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from api.auth import Permission
from api.worker import Worker

bearer = HTTPBearer(auto_error=False, scheme_name="api_key", description="An API key. None is needed on loopback.")


def permit(worker: Worker, needed: Permission) -> Any:
    """Raises Problem, before anything else of the request is looked at."""

    async def admitted(request: Request, _: object = Security(bearer)) -> str:
        return worker.door.admit(request.scope, dict(request.scope["headers"]), needed)

    return Depends(admitted)
