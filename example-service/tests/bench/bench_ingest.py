"""The batch job against nothing but embedding the same passages."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from bench_process import verdict

from rag_service.ingest.chunking import chunks_of
from rag_service.ingest.documents import DocumentSource
from rag_service.ingest.engine import Plan
from rag_service.ingest.extraction import extract
from rag_service.ingest.index_writer import IndexWriter
from rag_service.ingest.pipeline import ingest
from rag_service.models import load_embedder, warm_up

DOCUMENTS, PARAGRAPHS = 120, 6


def write_documents(folder: Path) -> None:
    chance = random.Random(6)
    words = [
        "task",
        "service",
        "deployment",
        "target",
        "health",
        "container",
        "driver",
        "memory",
        "queue",
        "batch",
        "model",
        "index",
    ]
    for number in range(DOCUMENTS):
        paragraphs = [
            " ".join(chance.choice(words) for _ in range(chance.randint(30, 90))) for _ in range(PARAGRAPHS)
        ]
        (folder / f"{number}.md").write_text(f"# Document {number}\n\n" + "\n\n".join(paragraphs))


def main() -> int:
    # As the model's, the libraries' own loading is not part of what is compared.
    import lancedb  # noqa: F401
    import torch

    torch.set_num_threads(1)
    embedder = load_embedder("minilm", "cpu")
    warm_up(embedder, None, max_batch=32)
    plan = Plan()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as index:
        write_documents(Path(folder))
        source = DocumentSource(folder)
        texts = [
            chunk.embedded
            for ref in source.list()
            for chunk in chunks_of(
                extract(ref.name, source.read(ref)),
                characters=plan.characters,
                overlap=plan.overlap,
                measure=embedder,
            )
        ]
        texts.sort(key=len)
        began = time.perf_counter()
        for start in range(0, len(texts), plan.batch):
            embedder.encode_documents(texts[start : start + plan.batch])
        pure = time.perf_counter() - began
        began = time.perf_counter()
        writer = IndexWriter(index, model=embedder.name, dimension=embedder.dimension)
        summary = ingest(
            source, writer, embedder, plan=plan, on_progress=lambda *_: None, documents=source.list()
        )
        whole = time.perf_counter() - began
        again = ingest(
            source, writer, embedder, plan=plan, on_progress=lambda *_: None, documents=source.list()
        )
    print(f"     {summary.passages_embedded} passages: embedding {pure:.1f} s, ingest {whole:.1f} s")
    print(f"     second run: {again.passages_embedded} embedded, {again.seconds:.2f} s")
    return 0 if verdict("ingest over pure embedding", whole / pure, 1.3) else 1


if __name__ == "__main__":
    sys.exit(main())
