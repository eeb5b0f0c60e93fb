"""Pictures of streams, over HTTP: `/<app>/<stream>/thumbnail.jpg`."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from arcly._native import StreamKey
from arcly.engine import Engine
from arcly.errors import LimitExceededError, MalformedError, NotFoundError, UnsupportedError
from arcly.server.admission import Admission
from arcly.thumbnail import Thumbnails

PROTOCOL = "thumbnail"
"""What an authenticator is told as `Credentials.protocol`."""


def thumbnail_routes(thumbnails: Thumbnails, engine: Engine) -> list[BaseRoute]:
    """Return the routes, for an application of Starlette. Who may play a stream may see its picture."""
    admission = Admission(engine)
    # What not everybody may see no cache in front may give to others.
    whose = "private" if admission.asks else "public"
    headers = {"cache-control": f"{whose}, max-age=2", "access-control-allow-origin": "*"}

    async def thumbnail(request: Request) -> Response:
        """Answer with the newest picture of a stream."""
        try:
            key = StreamKey.parse(request.path_params["key"])
            await admission.play(request, key, PROTOCOL)
            jpeg = await thumbnails.jpeg(key)
        except (MalformedError, NotFoundError):
            raise HTTPException(404) from None
        except UnsupportedError as error:
            return JSONResponse({"error": str(error)}, status_code=501)
        except (LimitExceededError, TimeoutError) as error:
            text = str(error) or "no picture came in time"
            return JSONResponse({"error": text}, status_code=503, headers={"retry-after": "5"})
        return Response(jpeg, media_type="image/jpeg", headers=headers)

    return [Route("/{key:path}/thumbnail.jpg", thumbnail)]
