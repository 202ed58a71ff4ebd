"""Make an API key: python -m rag_service.keys CLIENT [--add-to JSON]."""

from __future__ import annotations

import argparse
import json
import sys

from rag_service.access import AccessUnusable, checked_name, hash_of, new_key, read_hashes


def main(arguments: list[str] | None = None) -> int:
    """Print API_KEY_HASHES on stdout, and the key, which is kept nowhere, on stderr."""
    parser = argparse.ArgumentParser(prog="python -m rag_service.keys", description=main.__doc__)
    parser.add_argument("client", help="name of the client: letters, digits, . _ @ -")
    parser.add_argument("--add-to", metavar="JSON", help="API_KEY_HASHES as it is: other clients keep theirs")
    chosen = parser.parse_args(arguments)
    try:
        name = checked_name(chosen.client)
        known = read_hashes(chosen.add_to) if chosen.add_to is not None else {}
    except AccessUnusable as error:
        sys.stderr.write(f"ERROR: {error}\n")
        return 2
    if name in known:
        sys.stderr.write(f"ERROR: {name} has a key already: give the new one a name of its own.\n")
        return 2
    key = new_key()
    sys.stderr.write(f"Key of {name}, shown this once: {key}\n")
    sys.stdout.write(json.dumps({**known, name: hash_of(key)}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
