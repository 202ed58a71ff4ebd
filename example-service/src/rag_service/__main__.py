"""Start the service: python -m rag_service."""

from __future__ import annotations

import logging
import os
import sys

from pydantic import ValidationError

from rag_service.access import AccessUnusable
from rag_service.api import create_app
from rag_service.serving import serve
from rag_service.settings import Settings


def main() -> int:
    """Serve with the settings of the environment; exit code 2 when one of them cannot be used."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", stream=sys.stderr)
    # One INFO line a request to the generator would hold its URL and bury ours.
    for chatty in ("httpx", "sentence_transformers"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            name = "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"ERROR: {name}: {problem['msg']}\n")
        return 2
    # The device thread and the event loop share one interpreter, and the device thread has to take it back
    # after every operation: at the default of 5 ms both /health and the batches wait for nothing.
    sys.setswitchinterval(0.0002)
    try:
        app = create_app(settings)
    except AccessUnusable as error:
        sys.stderr.write(f"ERROR: {error}\n")
        return 2
    return serve(app.state.runtime, app)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    sys.stdout.flush()
    # A model that is still loading or computing on its daemon thread may crash in the interpreter's teardown
    # and turn an orderly 0 into 139.
    os._exit(code)
