"""Who did a deployment, in the tags of its revision: written, read again, the oldest written over."""

import pytest

from ecs_gpu_deploy.core.past.records import record_at, record_tag, records_of

AT = 1_795_420_800.0
URL = "https://github.com/acme/rag/actions/runs/7"


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"actor": "eva"},
        {"run": URL},
        {"actor": "eva", "run": URL, "reason": "because it was slow, by far"},
        {"reason": "by hand in haste"},
    ],
    ids=["nothing", "a person", "a run", "all", "a reason that reads like the rest"],
)
def test_what_is_written_is_read_again(told):
    record = record_at("9182480757233769853", "rollback", now=AT, **told)
    [read] = records_of({"commit": "abc", **record_tag(record, {})})
    reason = told.get("reason", "").replace(",", "_")
    assert (read.number, read.kind, read.at) == ("9182480757233769853", "rollback", "2026-11-23T08:00:00Z")
    assert (read.actor, read.run, read.reason) == (told.get("actor", ""), told.get("run", ""), reason)
    assert read.who == told.get("actor", "not recorded")


def test_of_many_the_ten_newest_stay():
    about = {"deployment-note": "mine", "commit": "abc"}
    for number in range(25):
        about |= record_tag(record_at(str(number), "redeploy", now=AT + number, actor="eva"), about)
    assert len(about) == 12
    assert sorted(int(record.number) for record in records_of(about)) == list(range(15, 25))


def test_a_long_reason_is_cut_off_at_what_a_tag_holds():
    [(name, value)] = record_tag(record_at("1", "rollback", now=AT, reason="x" * 500), {}).items()
    assert (name, len(value)) == ("deployment-0", 256)
    assert records_of({name: value})[0].reason.startswith("xxx")


@pytest.mark.parametrize("value", ["", "eva", "1 revert 2026-11-23T08:00:00Z", "x rollback 2026"])
def test_what_is_no_record_tells_nothing(value):
    assert records_of({"deployment-1": value}) == ()
