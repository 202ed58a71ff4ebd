"""Send events as they happen (server-sent events), with signs of life between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

from rag_service.ask import Event
from rag_service.problems import Problem, TookTooLong, problem_details

KEEP_ALIVE_SECONDS = 15.0
"""Below the 60 s after which a load balancer cuts a silent connection."""


async def stream(
    events: AsyncIterator[Event],
    *,
    timeout: float,  # noqa: ASYNC109 - the limit of the whole answer, told to the client as an event
    keep_alive: float = KEEP_ALIVE_SECONDS,
) -> AsyncIterator[bytes]:
    """Encode events; what fails after the first byte, the time limit included, is an event `problem`.

    The events are made in a task of their own: closing this iterator, as the server does when the client
    hangs up, cancels the task and with it the work on the device and at the generator.
    """
    made: asyncio.Queue[bytes | None] = asyncio.Queue()
    task = asyncio.create_task(_make(events, made, seconds=timeout))
    try:
        while True:
            try:
                chunk = await asyncio.wait_for(made.get(), keep_alive)
            except TimeoutError:
                chunk = b": still working\n\n"
            if chunk is None:
                return
            yield chunk
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _make(events: AsyncIterator[Event], made: asyncio.Queue[bytes | None], *, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            async for event in events:
                made.put_nowait(_encoded(event))
    except Problem as problem:
        made.put_nowait(_encoded(Event(name="problem", data=problem.details().model_dump())))
    except TimeoutError:
        details = problem_details(504, f"No answer within {seconds:g} s.", slug=TookTooLong.slug)
        made.put_nowait(_encoded(Event(name="problem", data=details.model_dump())))
    except Exception:
        details = problem_details(500, "The answer broke off because of an error in the service.")
        made.put_nowait(_encoded(Event(name="problem", data=details.model_dump())))
        raise
    finally:
        made.put_nowait(None)


def _encoded(event: Event) -> bytes:
    # ASCII JSON has no line break that could end the event early.
    return f"event: {event.name}\ndata: {json.dumps(event.data)}\n\n".encode("ascii")
