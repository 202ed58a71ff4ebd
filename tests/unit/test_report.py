"""The result in its three forms, as golden text."""

import json

from ecs_gpu_deploy.core.diff import Change
from ecs_gpu_deploy.core.report import Details, annotation, markdown_view, outputs, result_json, text_view
from ecs_gpu_deploy.model import Diagnosis, Finding, Outcome, Phase, Result, Severity

RESULT = Result(
    command="deploy",
    outcome=Outcome.ROLLED_BACK,
    exit_code=5,
    reason="AWS rolled the service back to rag:7: the circuit breaker threshold was exceeded.",
    cluster="ki",
    service="rag",
    image="repo/rag:bad",
    image_digest="sha256:abc",
    task_definition_arn="arn:aws:ecs:eu-central-1:123456789012:task-definition/rag:8",
    previous_task_definition_arn="arn:aws:ecs:eu-central-1:123456789012:task-definition/rag:7",
    service_deployment_arn="arn:aws:ecs:eu-central-1:123456789012:service-deployment/ki/rag/x",
    diagnoses=(
        Diagnosis(
            code="cuda-out-of-memory",
            message="3 tasks: the model does not fit.",
            hint="Take a larger GPU.",
            evidence=("torch.OutOfMemoryError: CUDA <b>``` ::error::x",),
            tasks=("t1", "t2", "t3"),
        ),
    ),
    findings=(Finding(code="cannot-see", severity=Severity.WARNING, message="No logs.", hint="Allow them."),),
    phases=(Phase(name="placement", seconds=5, deadline=900), Phase(name="load", seconds=400, deadline=360)),
    duration_seconds=405.4567,
    api_calls={"ecs.UpdateService": 1, "ecs.DescribeServices": 4},
)


def test_the_json_carries_every_member_of_the_contract():
    document = json.loads(result_json(RESULT))
    assert list(document) == [
        "schema",
        "command",
        "outcome",
        "exit_code",
        "reason",
        "cluster",
        "service",
        "image",
        "image_digest",
        "task_definition_arn",
        "previous_task_definition_arn",
        "service_deployment_arn",
        "diagnoses",
        "findings",
        "phases",
        "duration_seconds",
        "api_calls",
    ]
    assert document["schema"] == 1
    assert document["outcome"] == "rolled_back"
    assert document["diagnoses"][0] == {
        "code": "cuda-out-of-memory",
        "message": "3 tasks: the model does not fit.",
        "hint": "Take a larger GPU.",
        "evidence": ["torch.OutOfMemoryError: CUDA <b>``` ::error::x"],
        "tasks": ["t1", "t2", "t3"],
    }
    assert document["findings"][0]["severity"] == "warning"
    assert document["phases"][1] == {"name": "load", "seconds": 400, "deadline": 360}
    assert document["duration_seconds"] == 405.457


def test_outputs_are_texts_in_kebab_case():
    values = outputs(RESULT)
    assert values["exit-code"] == "5"
    assert values["outcome"] == "rolled_back"
    assert json.loads(values["api-calls"]) == {"ecs.DescribeServices": 4, "ecs.UpdateService": 1}
    assert all(isinstance(value, str) for value in values.values())


def test_the_text_view_ends_a_log():
    assert text_view(RESULT) == (
        "rolled_back — AWS rolled the service back to rag:7: the circuit breaker threshold was exceeded. "
        "(exit 5)\n"
        "cause: cuda-out-of-memory — 3 tasks: the model does not fit.\n"
        "  | torch.OutOfMemoryError: CUDA <b>``` ::error::x\n"
        "  → Take a larger GPU.\n"
        "warning: No logs.\n"
        "  → Allow them.\n"
    )


def test_one_annotation_names_the_cause_and_the_knob():
    level, title, message = annotation(RESULT)
    assert (level, title) == ("error", "Rolled back: rag")
    assert "cuda-out-of-memory" in message
    assert "Take a larger GPU." in message


def test_the_summary_is_markdown_in_which_nothing_from_outside_is_markup():
    details = Details(
        changes=(Change(path="containerDefinitions[rag].image", old="a", new="b"),),
        links={"Tasks": "https://example.com"},
        next_command="aws ecs stop-service-deployment",
    )
    assert markdown_view(RESULT, details) == GOLDEN


GOLDEN = """\
## ↩️ Rolled back rag

AWS rolled the service back to rag:7: the circuit breaker threshold was exceeded.

| | |
|---|---|
| Cluster | `ki` |
| Image | `repo/rag:bad` |
| Digest | `sha256:abc` |
| Revision | `rag:8` |
| Before | `rag:7` |
| Took | `6m45s` |
| Exit code | `5` |

[Tasks](https://example.com)

### Why

**cuda-out-of-memory** — 3 tasks: the model does not fit.

````text
torch.OutOfMemoryError: CUDA <b>``` ::error::x
````

➡️ Take a larger GPU.

### Timeline

```mermaid
gantt
    dateFormat X
    axisFormat %H:%M:%S
    section placement
    5s :0, 5
    section load
    6m40s :crit, 5, 405
```

### Task definition

```diff
- containerDefinitions[rag].image: "a"
+ containerDefinitions[rag].image: "b"
```

### Also seen

- warning: No logs. Allow them.

### Next

```text
aws ecs stop-service-deployment
```

"""
