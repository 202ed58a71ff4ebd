"""Offer the service over HTTP: routes, errors as problem+json, and the OpenAPI document that says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException

from rag_service import __version__, ask
from rag_service.access import RateLimit
from rag_service.doorman import OPEN, Authority, Doorman, authority_of, security_scheme
from rag_service.intake import HUNG_UP, REQUEST_ID, Intake
from rag_service.models import load_embedder
from rag_service.page import CONTENT_SECURITY_POLICY, PAGE
from rag_service.problems import (
    MEDIA_TYPE,
    InvalidRequest,
    Problem,
    ProblemDetails,
    TookTooLong,
    problem_details,
)
from rag_service.readiness import progress_of
from rag_service.runtime import Loader, Runtime
from rag_service.schemas import Answer, AskRequest, HealthAnswer, LiveAnswer, SearchAnswer, SearchRequest
from rag_service.settings import Settings
from rag_service.streaming import stream

T = TypeVar("T")

_RETRY_AFTER = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds", "required": False}}
_CHALLENGE = {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "RFC 6750", "required": True}}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": ProblemDetails, "description": "The body is not JSON in UTF-8"},
    401: {
        "model": ProblemDetails,
        "description": "No key or token, or one that is not known",
        "headers": _CHALLENGE,
    },
    403: {"model": ProblemDetails, "description": "The token lacks the scope", "headers": _CHALLENGE},
    408: {"model": ProblemDetails, "description": "The body did not come to its end in time"},
    409: {"model": ProblemDetails, "description": "The index is empty: nothing has been ingested yet"},
    413: {"model": ProblemDetails, "description": "The body is too large"},
    422: {"model": ProblemDetails, "description": "The body breaks the schema"},
    429: {
        "model": ProblemDetails,
        "description": "The queue is full, or this client asks too often",
        "headers": _RETRY_AFTER,
    },
    500: {"model": ProblemDetails, "description": "The model could not process this input"},
    503: {
        "model": ProblemDetails,
        "description": "Not ready, or out of memory",
        "headers": _RETRY_AFTER,
    },
    504: {"model": ProblemDetails, "description": "The answer took too long"},
}
# Before OpenAPI 3.2 the schema of this media type describes one event.
_EVENT = {
    "type": "object",
    "properties": {
        "event": {"enum": ["sources", "token", "done", "problem"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}
_ASK_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer with its sources; as events `sources`, `token` …, `done` or `problem`",
        "content": {"text/event-stream": {"schema": _EVENT}},
    },
    **_REFUSALS,
}


def create_app(settings: Settings | None = None, *, loader: Loader = load_embedder) -> FastAPI:
    """Make the application; nothing is loaded before its lifespan begins."""
    settings = settings or Settings()
    authority = authority_of(settings)
    runtime = Runtime(settings, loader=loader)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await runtime.start()
        yield
        await runtime.close()

    app = FastAPI(
        title="RAG service",
        version=__version__,
        summary="Answers questions from your documents and shows where the answer stands.",
        lifespan=lifespan,
        docs_url="/docs" if settings.docs else None,
        redoc_url=None,
        # A redirect from /ask/ to /ask would lead to whatever host the request names, over plain HTTP.
        redirect_slashes=False,
    )
    app.state.runtime = runtime
    _add_routes(app, runtime)
    _add_error_handlers(app)
    _document(app, authority)
    if authority is not None:
        app.add_middleware(Doorman, authority=authority, limit=RateLimit(settings.rate_limit_per_minute))
    app.add_middleware(Intake, runtime=runtime)
    return app


def _add_routes(app: FastAPI, runtime: Runtime) -> None:
    settings = runtime.settings

    @app.post("/ask", response_model=Answer, responses=_ASK_ANSWERS, tags=["questions"])
    async def ask_question(body: AskRequest, request: Request) -> Response:
        """Answer a question with cited passages."""
        retriever = runtime.retriever
        wants_stream = body.stream or "text/event-stream" in request.headers.get("accept", "")
        if wants_stream:
            made = ask.events(
                body.question, k=body.k, rerank=body.rerank, retriever=retriever, generator=runtime.generator
            )
            return StreamingResponse(
                stream(made, timeout=settings.request_timeout_seconds),
                media_type="text/event-stream",
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            )
        answering = ask.answer(
            body.question, k=body.k, rerank=body.rerank, retriever=retriever, generator=runtime.generator
        )
        result = await _unless_hung_up(request, answering, settings.request_timeout_seconds)
        return Response(status_code=HUNG_UP) if result is None else _json(result)

    @app.post("/search", response_model=SearchAnswer, responses=_REFUSALS, tags=["questions"])
    async def search(body: SearchRequest, request: Request) -> Response:
        """Find passages without an answer."""
        searching = runtime.retriever.retrieve(body.query, k=body.k, rerank=body.rerank)
        found = await _unless_hung_up(request, searching, settings.request_timeout_seconds)
        if found is None:
            return Response(status_code=HUNG_UP)
        result = SearchAnswer(
            passages=ask.sources_of(found), index_version=found.index_version, reranked=found.reranked
        )
        return _json(result)

    @app.get(
        "/health",
        response_model=HealthAnswer,
        responses={503: {"model": HealthAnswer, "description": "Not ready: the reasons say why"}},
        tags=["operation"],
    )
    async def health() -> Response:
        """Tell whether this task should get traffic (readiness)."""
        seen, verdict = runtime.observation, runtime.health
        result = HealthAnswer(
            status="healthy" if verdict.ready else "unhealthy",
            checks=verdict.checks,
            waived=list(verdict.waived),
            reasons=list(verdict.reasons),
            step=seen.step,
            progress=progress_of(seen),
            seconds=round(seen.seconds, 3),
            index_version=runtime.index_version,
        )
        return JSONResponse(result.model_dump(), 200 if verdict.ready else 503, {"Cache-Control": "no-store"})

    @app.get(
        "/live",
        response_model=LiveAnswer,
        responses={503: {"model": LiveAnswer, "description": "Only a new process can help"}},
        tags=["operation"],
    )
    async def live() -> Response:
        """Tell whether this process is worth keeping (liveness)."""
        alive = runtime.alive
        return JSONResponse({"alive": alive}, 200 if alive else 503, {"Cache-Control": "no-store"})

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> HTMLResponse:
        """Show a small page to ask and to see the sources."""
        return HTMLResponse(
            PAGE,
            headers={
                "Content-Security-Policy": CONTENT_SECURITY_POLICY,
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
            },
        )


def _json(model: BaseModel) -> Response:
    """Answer with a model that has been validated already, written by pydantic's own fast writer."""
    return Response(model.model_dump_json(), media_type="application/json")


async def _unless_hung_up(request: Request, work: Coroutine[Any, Any, T], seconds: float) -> T | None:
    """Await the work, but cancel it when the client hangs up (None) or the time is over (TookTooLong)."""
    task = asyncio.ensure_future(work)
    # The body has been read to its end, so the next message can only be the disconnect.
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({task, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            return None
        raise TookTooLong(f"No answer within {seconds:g} s (REQUEST_TIMEOUT_SECONDS).")
    finally:
        for future in (task, gone):
            future.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


def _add_error_handlers(app: FastAPI) -> None:
    def response(details: ProblemDetails, headers: Any = None) -> JSONResponse:
        return JSONResponse(details.model_dump(), details.status, headers, MEDIA_TYPE)

    @app.exception_handler(StarletteHTTPException)
    async def http_problem(_request: Request, error: StarletteHTTPException) -> JSONResponse:
        if isinstance(error, Problem):
            return response(error.details(), error.headers)
        return response(problem_details(error.status_code, str(error.detail)), error.headers)

    @app.exception_handler(RequestValidationError)
    async def validation_problem(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            reason = first.get("ctx", {}).get("error", "")
            return response(problem_details(400, f"The body is not JSON: {reason}", slug="not-json"))
        place = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
        return response(problem_details(422, f"{place}: {first['msg']}.", slug=InvalidRequest.slug))

    @app.exception_handler(Exception)
    async def bug(request: Request, _error: Exception) -> JSONResponse:
        # Sent from outside of the intake, which names every other answer.
        named = {"x-request-id": str(request.scope.get(REQUEST_ID, ""))}
        return response(problem_details(500, "The service has a bug; its log holds the traceback."), named)


def _document(app: FastAPI, authority: Authority | None) -> None:
    """Make the OpenAPI document say what a client must send, and name the media type that errors have."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = original()
            if authority is not None:
                scheme = {"client": security_scheme(authority)}
                document["components"]["securitySchemes"] = scheme
            for place, path in document["paths"].items():
                for operation in path.values():
                    if authority is not None and place not in OPEN:
                        operation["security"] = [{"client": []}]
                    for status in ("401", "403") if authority is None else ():
                        operation["responses"].pop(status, None)
                    for answer in operation["responses"].values():
                        content = answer.get("content", {})
                        schema = content.get("application/json", {}).get("schema", {})
                        if schema.get("$ref", "").endswith("/ProblemDetails"):
                            content[MEDIA_TYPE] = content.pop("application/json")
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
