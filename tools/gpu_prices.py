"""Make `core/capacity/gpu_prices.json` of dated public lists: `python -m tools.gpu_prices FILE…`.

Each file is one of two public lists of AWS's Price List, on demand, Linux, USD an hour:

- github.com/aws/karpenter-provider-aws, pkg/providers/pricing/zz_generated.pricing_aws*.go;
- github.com/tsaol/aws-gpu, data/all_gpu_instances.js (of instances.vantage.sh), for all Regions.

Of a Region that stands in several, the newest list is taken whole. Only GPU instance types of NVIDIA
and AMD are kept, and whole Regions: no Local Zones.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "src/ecs_gpu_deploy/core/capacity/gpu_prices.json"
_GPU = re.compile(r"(?:g[3-9]|gr[6-9]|p[2-9])[a-z0-9-]*\.[a-z0-9]+")
_REGION = re.compile(r"[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d")


def regions_of(text: str) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Give (Region, date, type → USD an hour) of one list."""
    if told := re.search(r"// generated at (\d{4}-\d\d-\d\d)", text):
        for block in re.finditer(r'\t"([a-z0-9-]+)": \{(.*?)\n\t\}', text, re.DOTALL):
            pairs = re.findall(r'"([a-z0-9.-]+)": ([0-9.]+)', block[2])
            yield block[1], told[1], {kind: float(usd) for kind, usd in pairs}
        return
    told = re.search(r"// Last updated: (\d{4}-\d\d-\d\d)", text)
    if told is None:
        raise ValueError("A list that names no date.")
    found: dict[str, dict[str, float]] = {}
    for each in json.loads(text[text.index("[") : text.rindex("]") + 1]):
        for region, price in each["pricing"].items():
            if usd := price.get("onDemand"):
                found.setdefault(region, {})[each["apiName"]] = float(usd)
    for region, prices in found.items():
        yield region, told[1], prices


def main(names: list[str]) -> None:
    """Write the file."""
    regions: dict[str, dict[str, Any]] = {}
    for name in names:
        for region, date, prices in regions_of(Path(name).read_text(encoding="utf-8")):
            usd = {kind: prices[kind] for kind in sorted(prices) if _GPU.fullmatch(kind)}
            is_newer = region not in regions or str(regions[region]["date"]) < date
            if usd and is_newer and _REGION.fullmatch(region):
                regions[region] = {"date": date, "usd": usd}
    document = {region: regions[region] for region in sorted(regions)}
    TARGET.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    number = sum(len(each["usd"]) for each in document.values())
    print(f"{len(document)} Regions, {number} prices")


if __name__ == "__main__":
    main(sys.argv[1:])
