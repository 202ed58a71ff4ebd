"""The sandbox at the gateway of Docker's bridge: loopback is another one inside a container's network.

Docker Desktop leads `host.docker.internal` to this machine's loopback by itself, and has no such address to
listen on here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

LOOPBACK = "127.0.0.1"
PIECE = 64 * 1024


async def listen_at_gateway(gateway: str, port: int) -> asyncio.Server | None:
    """Pass connections to the gateway's *port* on to loopback's; None where there is no such address."""
    try:
        return await asyncio.start_server(_pass_on(port), gateway, port)
    except OSError:
        return None


def _pass_on(port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, back), _copy(there, writer))

    return served


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await source.read(PIECE):
            target.write(piece)
            await target.drain()
    with contextlib.suppress(OSError):
        target.close()
