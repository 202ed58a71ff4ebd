"""The table itself: complete, bounded, cheap to import, and the source of docs/diagnoses.md."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tools.diagnoses_page import diagnoses_markdown

from ecs_gpu_deploy.core.diagnose import table as diagnosis_table
from ecs_gpu_deploy.core.diagnose.diagnosis import explanation_of
from ecs_gpu_deploy.core.diagnose.table import Source, cause_of, causes, codes
from ecs_gpu_deploy.core.text import MAX_LINE, MAX_LINES, excerpt, harmless, lines_of

CONTRACT = re.findall(
    r"\S+",
    """
    gpu-capacity cpu-capacity memory-capacity port-conflict missing-attribute no-instances
    provisioning-limit vcpu-quota ec2-capacity agent-disconnected deployment-deadlock image-not-found
    image-pull-auth image-pull-network image-rate-limited image-archived disk-full secret-access
    log-group role-trust container-exit command-not-found out-of-memory cuda-out-of-memory
    cuda-driver-mismatch gpu-driver gpu-not-visible shared-memory architecture-mismatch health-check-container
    health-check-elb health-check-timing spot-interruption instance-lost throttled credentials-expired
    hook-failed alarm no-rollback-candidate task-protected unknown replacement-unhealthy
    efs-mount eni-limit docker-timeout image-signature
    """,
)

PATTERNS = [
    (cause.code, pattern) for cause in causes() for some in cause.patterns.values() for pattern in some
]


def test_the_table_has_the_codes_of_the_contract_and_no_other() -> None:
    assert sorted(codes()) == sorted(CONTRACT)


@pytest.mark.parametrize("code", CONTRACT)
def test_each_code_says_what_it_means_and_which_knob_to_turn(code: str) -> None:
    cause = cause_of(code)
    assert cause.meaning.endswith(".")
    assert len(cause.hint) > 20
    assert cause.source


def test_a_code_that_does_not_exist_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        cause_of("no-such-code")


def test_sources_are_known() -> None:
    known = {"any", *Source}
    assert all(set(cause.patterns) <= known for cause in causes())


def test_patterns_are_lower_case() -> None:
    bare = [(code, re.sub(r"\\[A-Z]", "", pattern)) for code, pattern in PATTERNS]
    assert [(code, pattern) for code, pattern in bare if pattern != pattern.lower()] == []


def test_no_quantifier_is_unbounded() -> None:
    bare = [(code, re.sub(r"\[[^\]]*\]", "x", re.sub(r"\\.", "x", pattern))) for code, pattern in PATTERNS]
    assert [(code, pattern) for code, pattern in bare if re.search(r"[*+]", pattern)] == []


def test_no_two_causes_have_the_same_rank() -> None:
    """Hold that of two causes on one line the table says which is named, and not the order of the file."""
    ranks = [cause.rank for cause in causes()]
    assert sorted(ranks) == sorted(set(ranks))


def test_no_pattern_is_there_twice() -> None:
    assert len({pattern for _, pattern in PATTERNS}) == len(PATTERNS)


def test_the_documentation_is_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "diagnoses.md"
    assert page.read_text(encoding="utf-8") == diagnoses_markdown(), "regenerate docs/diagnoses.md"


def test_importing_reads_no_table_and_no_boto3() -> None:
    code = (
        "import sys; import ecs_gpu_deploy.core.diagnose.diagnosis as d; "
        "import ecs_gpu_deploy.commands.explain; "
        "from ecs_gpu_deploy.core.diagnose.table import causes; "
        "print(causes.cache_info().currsize, any(m.startswith(('boto', 'urllib3')) for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False"]


HOSTILE = {
    "a line of five megabytes": "a" * 5_000_000,
    "a megabyte of one prefix": "cannotpull " * 100_000,
    "a megabyte of another prefix": "cuda " * 200_000,
    "a hundred thousand lines": "2026-11-23 INFO cuda gpu nccl failed error pull registry\n" * 100_000,
    "blanks and newlines": " \n\t" * 300_000,
    "terminal escapes": "\x1b[31m\x1b]8;;http://x\x07" * 50_000,
    "brackets and quotes": "[\"'({" * 200_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_costs_bounded_time(text: str) -> None:
    causes()
    began = time.process_time()
    explanation_of(text)
    assert time.process_time() - began < 5


def test_the_end_of_a_long_log_counts() -> None:
    log = "INFO step\n" * 50_000 + "torch.OutOfMemoryError: CUDA out of memory.\n"
    assert explanation_of(log)[0].code == "cuda-out-of-memory"


def test_the_end_of_a_long_line_counts() -> None:
    assert explanation_of("x" * 3_000_000 + " CUDA out of memory")[0].code == "cuda-out-of-memory"


def test_colours_do_not_hide_a_cause() -> None:
    assert explanation_of("\x1b[31mCUDA\x1b[0m out of \x1b[1mmemory\x1b[0m")[0].code == "cuda-out-of-memory"


def test_evidence_carries_no_control_characters() -> None:
    found = explanation_of("\x1b[2JCUDA out of memory\x07\u202e ::error::x")
    assert found[0].evidence == ("CUDA out of memory   ::error::x",)


def test_lines_are_bounded() -> None:
    lines = lines_of("y" * 10_000 + "\n" + "z\r" * 5_000)
    assert len(lines) <= MAX_LINES
    assert max(map(len, lines)) <= MAX_LINE + 3


def test_an_excerpt_keeps_both_ends() -> None:
    cut = excerpt("begin " + "x" * 5_000 + " end", width=100)
    assert cut.startswith("begin")
    assert cut.endswith("end")
    assert len(cut) <= 100


@pytest.mark.parametrize(
    ("line", "safe"),
    [
        ("::error::x", ": :error::x"),
        ("  ::set-output name=a::b", "  : :set-output name=a::b"),
        ("a ##[error]b", "a ## [error]b"),
        ("std::bad_alloc", "std::bad_alloc"),
    ],
)
def test_a_line_is_no_workflow_command(line: str, safe: str) -> None:
    assert harmless(line) == safe


def test_hits_are_the_best_of_their_line() -> None:
    table = diagnosis_table.patterns()
    found = diagnosis_table.hits(
        "CannotPullContainerError: failed to copy: 429 toomanyrequests\nall is well", table
    )
    assert [(hit.cause.code, hit.number) for hit in found] == [("image-rate-limited", 0)]
