"""Print what each layer of an image of this Dockerfile weighs: python3 layers.py IMAGE."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime

OURS = ("torch", "libraries", "model", "code")


def docker(*arguments: str) -> str:
    """Run the client and give what it prints."""
    command = ["docker", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own words


def layers(history: str) -> dict[str, int]:
    """Add the bytes of each layer by the folder that it copies; all others are the base."""
    sizes = dict.fromkeys(("base", *OURS), 0)
    for line in history.splitlines():
        size, _, command = line.partition("\t")
        name = command.partition("COPY /opt/")[2].partition(" ")[0]
        sizes[name if name in OURS else "base"] += int(size)
    return sizes


def main(image: str) -> None:
    """Print a table in Markdown, with what it is of and the day."""
    [told] = json.loads(docker("image", "inspect", image))
    history = docker("history", "--no-trunc", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}", image)
    sizes = layers(history)
    day = datetime.now(UTC).date()
    print(
        f"{image} for {told['Os']}/{told['Architecture']}, uncompressed, {day}:\n\n| layer | MB |\n|---|---|"
    )
    for name, size in (*sizes.items(), ("all", sum(sizes.values()))):
        print(f"| {name} | {size / 1e6:.{int(size < 1e7)}f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
