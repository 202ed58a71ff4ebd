"""Documents that unpack to more than they should: each is refused within 1 GB of memory."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from docx_document import archive, docx
from pdf_document import pdf
from running import process_environment

ENTITIES = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
BOMBS = {
    "a DOCX of zeros": (
        "a.docx",
        lambda: archive({"word/document.xml": " " * 200_000_000}),
        "16777216 bytes",
    ),
    "a DOCX of empty paragraphs": (
        "a.docx",
        lambda: archive({"word/document.xml": "<w:p/>" * 2_000_000}),
        "1000000 tags",
    ),
    "a DOCX whose text is another part": (
        "a.docx",
        lambda: archive(
            {
                "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
                'relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/'
                'officeDocument/2006/relationships/officeDocument" Target="big.png"/></Relationships>',
                "big.png": "<w:p/>" * 10_000_000,
            }
        ),
        "The DOCX cannot be read",
    ),
    "entities of entities": (
        "a.docx",
        lambda: docx(("", "&a9;"), before=f'<!DOCTYPE a [<!ENTITY a0 "ha">{ENTITIES}]>'),
        "The DOCX cannot be read: ExpatError",
    ),
    "HTML that is deep": ("a.html", lambda: b"<div>" * 12_000_000, "The HTML has over 1000000 tags"),
    "HTML that is less deep": ("a.html", lambda: b"<div>" * 900_000, "The HTML is nested too deep"),
    "a PDF whose page unpacks to 200 MB": ("a.pdf", lambda: pdf_bomb(200_000_000), "The PDF cannot be read"),
}


def pdf_bomb(size: int) -> bytes:
    """One page whose content is packed spaces."""
    packed = zlib.compress(b" " * size, 9)
    stream = b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(packed), packed)
    plain = pdf("x")
    begin = plain.index(b"<< /Length")
    return plain[:begin] + stream + plain[plain.index(b"endstream") + len(b"endstream") :]


@pytest.mark.parametrize(("name", "make", "words"), BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_is_refused_before_it_fills_the_memory(
    name: str, make: Callable[[], bytes], words: str, tmp_path: Path
) -> None:
    """In a process of its own, which may have 1 GB in all."""
    (tmp_path / name).write_bytes(make())
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "from rag_service.ingest.extraction import extract, ExtractionFailed\n"
        "try: extract(sys.argv[1], open(sys.argv[1], 'rb').read())\n"
        "except ExtractionFailed as failure: print(failure)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / name)]
    done = subprocess.run(command, env=process_environment(), capture_output=True, text=True, timeout=60)
    assert words in done.stdout, done.stderr[-500:]
    assert done.stdout.count("\n") == 1, "one sentence"
