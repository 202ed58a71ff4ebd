"""Run the batch job: python -m rag_service.ingest SOURCE."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError

from rag_service.device import choose_device, prepare_cpu
from rag_service.ingest.documents import DocumentRef, DocumentSource, SourceUnusable
from rag_service.ingest.index_writer import IndexWriter
from rag_service.ingest.lease import Lease, LeaseLost, LeaseTaken
from rag_service.ingest.pipeline import Plan, Summary, settle
from rag_service.ingest.progress import Progress
from rag_service.models import import_libraries, load_embedder
from rag_service.settings import Settings
from rag_service.store import table_name

DONE, DOCUMENTS_FAILED, UNUSABLE = 0, 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Ingest; 0 when every document is in the index, 1 when some failed, 2 when nothing could be done."""
    parser = arguments_parser()
    options = parser.parse_args(arguments)
    if not 0 <= options.overlap < options.characters // 2:
        parser.error("--overlap must be below half of --characters.")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        summary = run(options, Settings())
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        return _refuse(f"{'_'.join(map(str, first['loc'])).upper()}: {first['msg']}")
    except (SourceUnusable, LeaseTaken, LeaseLost) as error:
        return _refuse(str(error))
    text = json.dumps(asdict(summary), ensure_ascii=True)
    sys.stdout.write(text + "\n")
    if options.summary:
        Path(options.summary).write_text(text + "\n", encoding="utf-8")
    for name, failure in summary.failed.items():
        _say(f"ERROR: {name}: {failure}")
    return DOCUMENTS_FAILED if summary.failed else DONE


def run(options: argparse.Namespace, settings: Settings) -> Summary:
    """Ingest as told, alone on the index. Raises SourceUnusable, LeaseTaken, LeaseLost."""
    source = DocumentSource(options.source)
    _documents_of(source, options)
    import_libraries(settings.embedding_model)
    prepare_cpu(settings.torch_threads)
    device = choose_device(settings.device, allow_cpu=settings.allow_cpu)
    if device is None:
        raise SourceUnusable("No GPU is visible: give the task a GPU or set ALLOW_CPU=1.")
    embedder = load_embedder(settings.embedding_model, device)
    lease = Lease(
        settings.index_uri,
        table_name(embedder.name, embedder.dimension),
        seconds=settings.ingest_lease_seconds,
        wait=options.wait,
        on_wait=lambda holder: _say(f"INFO: waiting for another ingest ({holder})"),
    )
    with lease:
        # Whoever waited for another ingest looks at the source as it is now.
        documents = _documents_of(source, options)
        writer = IndexWriter(
            settings.index_uri, model=embedder.name, dimension=embedder.dimension, guard=lease.check
        )
        progress = Progress(sys.stderr, len(documents))
        summary = settle(
            source,
            writer,
            embedder,
            plan=Plan(characters=options.characters, overlap=options.overlap, batch=settings.max_batch),
            on_progress=progress.update,
            documents=documents,
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
