"""Ask an OpenAI-compatible endpoint for an answer, whole or token by token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from rag_service.metrics import Metrics
from rag_service.settings import Settings
from rag_service.tracing import Tracing


class GeneratorFailed(Exception):
    """Say in one sentence why there is no generated answer; never holds the key or the endpoint's text."""


class Generator:
    """Talk to one endpoint over kept connections; no retries, for the passages are an answer too."""

    def __init__(self, settings: Settings, metrics: Metrics, tracing: Tracing) -> None:
        key = settings.openai_api_key
        self._url = f"{settings.generator_url}/chat/completions"
        self._model = settings.generator_model
        self._timeout = settings.generator_timeout_seconds
        self._metrics = metrics
        self._tracing = tracing
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key.get_secret_value()}"} if key is not None else {},
            timeout=httpx.Timeout(self._timeout, connect=5),
            limits=httpx.Limits(max_connections=64),
            follow_redirects=False,
        )

    @property
    def model(self) -> str:
        """Name the model that writes."""
        return self._model

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def answer(self, messages: list[dict[str, str]]) -> str:
        """Wait for the whole answer. Raises GeneratorFailed."""
        async with self._guarded():
            response = await self._client.post(self._url, json=self._body(messages, stream=False))
            _check(response)
            try:
                text = response.json()["choices"][0]["message"]["content"]
            except (ValueError, LookupError, TypeError, RecursionError) as error:
                raise GeneratorFailed("The generator sent an answer that cannot be read.") from error
        if not isinstance(text, str) or not text.strip():
            raise GeneratorFailed("The generator sent an empty answer.")
        self._metrics.generations.labels("generated").inc()
        return text

    async def tokens(self, messages: list[dict[str, str]]) -> AsyncIterator[str]:
        """Yield pieces of the answer as they come. Raises GeneratorFailed, also after the first piece."""
        async with (
            self._guarded(),
            self._client.stream("POST", self._url, json=self._body(messages, stream=True)) as response,
        ):
            _check(response)
            async for line in response.aiter_lines():
                if not line.startswith("data:"):
                    continue
                data = line.removeprefix("data:").strip()
                if data == "[DONE]":
                    break
                if piece := _piece_of(data):
                    yield piece
        self._metrics.generations.labels("generated").inc()

    def _body(self, messages: list[dict[str, str]], *, stream: bool) -> dict[str, Any]:
        return {"model": self._model, "messages": messages, "temperature": 0, "stream": stream}

    @asynccontextmanager
    async def _guarded(self) -> AsyncIterator[None]:
        """Hold the whole exchange to the time limit; httpx alone limits only the gaps between bytes."""
        try:
            with self._tracing.span("generation"):
                async with asyncio.timeout(self._timeout) as limit:
                    yield
        except GeneratorFailed:
            self._metrics.generations.labels("failed").inc()
            raise
        except (TimeoutError, httpx.TimeoutException) as error:
            if isinstance(error, TimeoutError) and not limit.expired():
                raise
            self._metrics.generations.labels("slow").inc()
            raise GeneratorFailed(f"The generator did not answer within {self._timeout:g} s.") from error
        except httpx.HTTPError as error:
            self._metrics.generations.labels("unreachable").inc()
            raise GeneratorFailed(f"The generator cannot be reached ({type(error).__name__}).") from error


def _check(response: httpx.Response) -> None:
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise GeneratorFailed("The generator refuses more requests for now (429).")
    if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise GeneratorFailed(
            f"The generator refused the credentials ({response.status_code}): check OPENAI_API_KEY."
        )
    if not response.is_success:
        raise GeneratorFailed(f"The generator failed ({response.status_code}).")


def _piece_of(data: str) -> str:
    try:
        choices = json.loads(data).get("choices") or [{}]
        piece = choices[0].get("delta", {}).get("content") or ""
    except (ValueError, AttributeError, LookupError, TypeError, RecursionError) as error:
        raise GeneratorFailed("The generator sent a stream that cannot be read.") from error
    return piece if isinstance(piece, str) else ""
