"""Pictures of streams, over HTTP: `/<app>/<stream>/thumbnail.jpg`."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from arcly._native import StreamKey
from arcly.errors import LimitExceededError, MalformedError, NotFoundError, UnsupportedError
from arcly.thumbnail import Thumbnails

HEADERS = {"cache-control": "public, max-age=2", "access-control-allow-origin": "*"}


def thumbnail_routes(thumbnails: Thumbnails) -> list[BaseRoute]:
    """Return the routes, for an application of Starlette."""

    async def thumbnail(request: Request) -> Response:
        """Answer with the newest picture of a stream."""
        try:
            jpeg = await thumbnails.jpeg(StreamKey.parse(request.path_params["key"]))
        except (MalformedError, NotFoundError):
            raise HTTPException(404) from None
        except UnsupportedError as error:
            return JSONResponse({"error": str(error)}, status_code=501)
        except (LimitExceededError, TimeoutError) as error:
            text = str(error) or "no picture came in time"
            return JSONResponse({"error": text}, status_code=503, headers={"retry-after": "5"})
        return Response(jpeg, media_type="image/jpeg", headers=HEADERS)

    return [Route("/{key:path}/thumbnail.jpg", thumbnail)]
