"""The price list is made of two kinds of public lists, each with its date."""

from __future__ import annotations

from tools.gpu_prices import regions_of

from ecs_gpu_deploy.core.capacity.price_list import price_of

GO = """// generated at 2026-07-20T13:44:30Z for us-east-1
\t"us-east-1": {
\t\t// g5 family
\t\t"g5.xlarge": 1.006000, "a1.large": 0.051000,
\t},
"""
JS = """// Last updated: 2026-01-21
const all = [{"apiName": "g5.xlarge", "pricing": {"eu-west-1": {"onDemand": 1.123}, "eu-west-2": {}}}]
"""


def test_both_public_lists_are_read_with_their_dates() -> None:
    assert list(regions_of(GO)) == [("us-east-1", "2026-07-20", {"g5.xlarge": 1.006, "a1.large": 0.051})]
    assert list(regions_of(JS)) == [("eu-west-1", "2026-01-21", {"g5.xlarge": 1.123})]


def test_what_is_not_listed_has_no_price() -> None:
    assert price_of("g5.xlarge", "us-east-1") == (1.006, "2026-07-20")
    assert price_of("g5.xlarge", "mx-central-1") is None
    assert price_of("unheard.of", "us-east-1") is None
