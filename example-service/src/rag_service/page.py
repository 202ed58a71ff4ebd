"""Hold the page and a policy that lets the browser run nothing but the page's own script."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

PAGE = files("rag_service").joinpath("page.html").read_text(encoding="utf-8")


def _hash_of(element: str) -> str:
    [content] = re.findall(rf"<{element}>(.*?)</{element}>", PAGE, re.DOTALL)
    return "'sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() + "'"


CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; script-src {_hash_of('script')}; style-src {_hash_of('style')}; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
