"""Write a small DOCX by hand: paragraphs with Word's styles, and tables."""

from __future__ import annotations

import io
import zipfile
from html import escape

_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
    'Target="word/document.xml"/></Relationships>'
)


def docx(*blocks: tuple[str, str] | list[list[str]], before: str = "") -> bytes:
    """Make a document of (style, text) and of tables; `before` stands before the XML's root."""
    body = "".join(_table(block) if isinstance(block, list) else _paragraph(*block) for block in blocks)
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="{name}"><w:name w:val="{name}"/></w:style>'
        for name in ("Title", "Heading1", "Heading2")
    )
    return archive(
        {
            "_rels/.rels": _RELATIONS,
            "word/styles.xml": f'<w:styles xmlns:w="{_WORD}">{styles}</w:styles>',
            "word/document.xml": (
                f'{before}<w:document xmlns:w="{_WORD}"><w:body>{body}</w:body></w:document>'
            ),
        }
    )


def archive(parts: dict[str, str]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in parts.items():
            file.writestr(name, text)
    return held.getvalue()


def _paragraph(style: str, text: str) -> str:
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    text = text if text.startswith("&") else escape(text)
    return f"<w:p>{properties}<w:r><w:t>{text}</w:t></w:r></w:p>"


def _table(rows: list[list[str]]) -> str:
    cells = ["".join(f"<w:tc>{_paragraph('', cell)}</w:tc>" for cell in row) for row in rows]
    return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in cells)}</w:tbl>"
