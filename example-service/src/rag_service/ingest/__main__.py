"""Run the batch job: python -m rag_service.ingest SOURCE, once or for each call of a queue."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError

from rag_service.device import choose_device, prepare_cpu
from rag_service.ingest.documents import DocumentRef, DocumentSource, SourceUnusable
from rag_service.ingest.engine import Engine, Plan
from rag_service.ingest.index_writer import IndexWriter
from rag_service.ingest.lease import Lease, LeaseLost, LeaseTaken
from rag_service.ingest.pipeline import Summary, settle
from rag_service.ingest.progress import Progress
from rag_service.ingest.queue import Consumer, Pace, Queue, Stopped
from rag_service.models import Embedder, import_libraries, load_embedder
from rag_service.settings import Settings
from rag_service.store import storage_failure, table_name

DONE, DOCUMENTS_FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
REFUSALS = (SourceUnusable, LeaseTaken, LeaseLost)


def main(arguments: list[str] | None = None) -> int:
    """Ingest; 0 when every document is in the index, 1 when some failed, 2 when nothing could be done."""
    parser = arguments_parser()
    options = parser.parse_args(arguments)
    if not 0 <= options.overlap < options.characters // 2:
        parser.error("--overlap must be below half of --characters.")
    if options.workers is not None and (options.workers < 1 or options.engine != "ray"):
        parser.error("--workers is a number of processes, 1 or more, for --engine ray.")
    if options.queue and options.engine == "ray":
        parser.error("--queue ingests in its own process; --engine ray is for single runs.")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    index = ""
    try:
        settings = Settings()
        index = settings.index_uri
        if options.queue:
            return consume(options, settings)
        summary = run(options, settings)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        return _refuse(f"{'_'.join(map(str, first['loc'])).upper()}: {first['msg']}")
    except REFUSALS as error:
        return _refuse(str(error))
    except RuntimeError as error:
        if not (refused := storage_failure(error)):
            raise
        return _refuse(f"{index}: {refused}")
    except KeyboardInterrupt:
        _say("INFO: interrupted: what was committed stays, and the next run goes on from there")
        return INTERRUPTED
    report(summary, options)
    return DOCUMENTS_FAILED if summary.failed else DONE


def report(summary: Summary, options: argparse.Namespace) -> None:
    """Write the summary as one line of JSON, and what failed as lines of the log."""
    text = json.dumps(asdict(summary), ensure_ascii=True)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    if options.summary:
        Path(options.summary).write_text(text + "\n", encoding="utf-8")
    for name, failure in summary.failed.items():
        _say(f"ERROR: {name}: {failure}")


def consume(options: argparse.Namespace, settings: Settings, pace: Pace | None = None) -> int:
    """Ingest whenever the queue asks, until SIGTERM; 0, or 1 after an error that a fresh process may mend.

    Raises SourceUnusable where there is no GPU.
    """
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    embedder = prepared_embedder(settings)
    pace = pace or Pace()

    def go_on(seconds: float = 0) -> None:
        if stop.wait(seconds) if seconds else stop.is_set():
            raise Stopped

    def ingest() -> list[str]:
        summary = ingest_once(options, settings, embedder, go_on=go_on)
        report(summary, options)
        return summary.unread

    consumer = Consumer(
        Queue(options.queue, pace),
        options.source,
        ingest,
        refusals=REFUSALS,
        stop=stop,
        say=_say,
        pace=pace,
    )
    _say(f"INFO: waiting for {options.queue}")
    try:
        consumer.run()
    except Exception as error:  # noqa: BLE001 - whatever it is, the messages come again to the next process
        reason = (str(error).splitlines() or [""])[0]
        _say(f"ERROR: The ingest failed and will be tried again: {type(error).__name__}: {reason}")
        return DOCUMENTS_FAILED
    return DONE


def prepared_embedder(settings: Settings) -> Embedder:
    """Load the embedding model. Raises SourceUnusable where no GPU is visible and none may be missing."""
    import_libraries(settings.embedding_model)
    prepare_cpu(settings.torch_threads)
    device = choose_device(settings.device, allow_cpu=settings.allow_cpu)
    if device is None:
        raise SourceUnusable("No GPU is visible: give the task a GPU or set ALLOW_CPU=1.")
    return load_embedder(settings.embedding_model, device)


def run(options: argparse.Namespace, settings: Settings) -> Summary:
    """Ingest as told, alone on the index. Raises SourceUnusable, LeaseTaken, LeaseLost."""
    _documents_of(DocumentSource(options.source), options)
    if options.engine == "process":
        return ingest_once(options, settings, prepared_embedder(settings))
    from rag_service.ingest.on_ray import Job, OnRay, cluster

    with cluster(options.workers, allow_cpu=settings.allow_cpu) as (kind, workers, cutters):
        # The driver embeds nothing: the model says which table is meant.
        import_libraries(settings.embedding_model)
        embedder = load_embedder(settings.embedding_model, "cpu")
        job = Job(
            source=options.source,
            index_uri=settings.index_uri,
            model=settings.embedding_model,
            kind=kind,
            plan=_plan(options, settings),
        )
        return ingest_once(options, settings, embedder, engine=OnRay(job, workers=workers, cutters=cutters))


def _plan(options: argparse.Namespace, settings: Settings) -> Plan:
    return Plan(characters=options.characters, overlap=options.overlap, batch=settings.max_batch)


def ingest_once(
    options: argparse.Namespace,
    settings: Settings,
    embedder: Embedder,
    *,
    engine: Engine | None = None,
    go_on: Callable[[float], None] = time.sleep,
) -> Summary:
    """Ingest alone on the index; `go_on` waits some seconds, also 0, and may raise to end between steps."""
    source = DocumentSource(options.source)
    lease = Lease(
        settings.index_uri,
        table_name(embedder.name, embedder.dimension),
        seconds=settings.ingest_lease_seconds,
        wait=options.wait,
        on_wait=lambda holder: _say(f"INFO: waiting for another ingest ({holder})"),
        pause=go_on,
    )

    def guard() -> None:
        go_on(0)
        lease.check()

    with lease:
        # Whoever waited for another ingest looks at the source as it is now.
        documents = _documents_of(source, options)
        writer = IndexWriter(
            settings.index_uri, model=embedder.name, dimension=embedder.dimension, guard=guard
        )
        progress = Progress(sys.stderr, len(documents))

        def on_progress(done: int, passages: int) -> None:
            go_on(0)
            progress.update(done, passages)

        summary = settle(
            source,
            writer,
            embedder,
            plan=_plan(options, settings),
            on_progress=on_progress,
            documents=documents,
            engine=engine,
        )
    progress.finish(summary.documents, summary.passages_embedded + summary.passages_reused)
    return summary


def _documents_of(source: DocumentSource, options: argparse.Namespace) -> list[DocumentRef]:
    documents = source.list()
    if not documents and not options.allow_empty:
        raise SourceUnusable(
            f"{options.source} holds no documents (.md .txt .html .pdf .docx). "
            "To empty the index on purpose add --allow-empty."
        )
    return documents


def arguments_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m rag_service.ingest",
        description="Bring the index (INDEX_URI) in line with the documents of a folder or of s3://bucket/prefix.",
    )
    parser.add_argument(
        "source", help="folder or s3://bucket/prefix with .md, .txt, .html, .pdf and .docx files"
    )
    parser.add_argument("--summary", metavar="FILE", help="also write the JSON summary here")
    parser.add_argument("--characters", type=int, default=900, help="longest passage (default 900)")
    parser.add_argument(
        "--overlap", type=int, default=120, help="repeated from the passage before (default 120)"
    )
    parser.add_argument(
        "--allow-empty",
        action="store_true",
        help="accept a source without documents: the index becomes empty",
    )
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=float,
        default=3600,
        help="how long to wait for another ingest of the same index (default 3600)",
    )
    parser.add_argument(
        "--queue",
        metavar="URL",
        help="ingest whenever this SQS queue asks, once for all that it holds, until SIGTERM",
    )
    parser.add_argument(
        "--engine",
        choices=("process", "ray"),
        default="process",
        help="ray: on the cluster of RAY_ADDRESS, or on one that is started here for the run (extra ray)",
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        help="processes that embed, for --engine ray (default: one for each GPU, or for two CPUs)",
    )
    return parser


def _refuse(sentence: str) -> int:
    _say(f"ERROR: {sentence}")
    return UNUSABLE


def _say(sentence: str) -> None:
    sys.stderr.write(f"{_printable(sentence)}\n")


def _printable(text: str) -> str:
    """Escape what a foreign file name could do to a terminal or a log."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.exit(code)
