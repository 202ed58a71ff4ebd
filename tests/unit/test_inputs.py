"""The table of options: what is accepted, what is refused with which sentence, what wins over what."""

import re

import pytest

from ecs_gpu_deploy.core.capacity.gpus import GpuRequest
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.checks import check_deploy, check_run_task
from ecs_gpu_deploy.inputs.options import FILE_OPTIONS, GROUPS, OPTIONS
from ecs_gpu_deploy.inputs.readers import READERS
from ecs_gpu_deploy.inputs.settings import required, settings_from


def _value(name, text):
    return getattr(settings_from("deploy", argv={name: [text]}).values, name.replace("-", "_"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("20m", 1200), ("1h30m", 5400), ("0.5", 0.5), ("1h", 3600), ("2h0m10s", 7210)],
)
def test_durations_are_seconds_or_units(text, seconds):
    assert _value("timeout", text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "abc", "-5", "1d", "m20", "20m1h", "1e3", "٣", "nan", "inf", "30 days"]
)
def test_what_is_no_duration_is_refused_with_its_name(text):
    with pytest.raises(InvalidInput, match="timeout"):
        _value("timeout", text)


@pytest.mark.parametrize("name", ["timeout", "poll-interval"])
def test_zero_is_refused_where_it_would_mean_never(name):
    with pytest.raises(InvalidInput, match=f"{name} is '0', which is not longer than 0 seconds"):
        _value(name, "0")


def test_zero_is_kept_where_it_means_something():
    assert _value("placement-timeout", "0") == 0
    assert _value("cpu", "0") == 0
    assert _value("gpu", "0") == GpuRequest()


@pytest.mark.parametrize(("text", "value"), [("true", True), ("FALSE", False), ("yes", True), ("0", False)])
def test_booleans_in_the_usual_spellings(text, value):
    assert _value("force-new-deployment", text) is value


@pytest.mark.parametrize("text", ["maybe", "2", "ja"])
def test_what_is_no_boolean_is_refused(text):
    with pytest.raises(InvalidInput, match=r"force-new-deployment .* is not a boolean"):
        _value("force-new-deployment", text)


def test_a_choice_names_the_choices():
    with pytest.raises(InvalidInput, match="on-timeout is 'undo', which is not one of leave, rollback"):
        _value("on-timeout", "undo")


@pytest.mark.parametrize("text", ["1", "0.25", "ALL", "8", "0"])
def test_gpu_requests_that_ecs_knows(text):
    assert _value("gpu", text) == GpuRequest.from_value(text)


@pytest.mark.parametrize("text", ["one", "-1", "1.5.2", "1,5"])
def test_gpu_requests_that_nobody_knows(text):
    with pytest.raises(InvalidInput, match="gpu"):
        _value("gpu", text)


def test_several_images_one_a_line_and_one_a_flag():
    lines = settings_from("deploy", inputs={"image": "rag=repo/rag:1\n\notel=repo/otel:2\n"})
    flags = settings_from("deploy", argv={"image": ["rag=repo/rag:1", "otel=repo/otel:2"]})
    assert lines.values.image == flags.values.image == {"rag": "repo/rag:1", "otel": "repo/otel:2"}


def test_an_image_twice_for_one_container_is_refused():
    with pytest.raises(InvalidInput, match="image is given twice for container 'rag'"):
        settings_from("deploy", argv={"image": ["rag=a:1", "rag=a:2"]})


def test_values_keep_their_equal_signs_and_their_emptiness():
    settings = settings_from("deploy", inputs={"environment": "LABEL=^a=b=c\nEMPTY=\nGONE"})
    assert settings.values.environment == {"LABEL": "^a=b=c", "EMPTY": "", "GONE": None}


def test_command_words_keep_empty_ones():
    assert _value("command-override", '["--suffix", ""]') == ("--suffix", "")
    assert _value("command-override", "serve --name 'a b'") == ("serve", "--name", "a b")


def test_a_command_that_is_no_list_of_texts_is_refused():
    with pytest.raises(InvalidInput, match="command-override"):
        _value("command-override", "[1, 2]")


def test_argv_wins_over_inputs_over_the_file_over_the_default():
    def timeout(**sources):
        return settings_from("deploy", **sources).values.timeout

    assert timeout() == 3600
    assert timeout(config={"timeout": 10}) == 10
    assert timeout(config={"timeout": 10}, inputs={"timeout": "20"}) == 20
    assert timeout(config={"timeout": 10}, inputs={"timeout": "20"}, argv={"timeout": ["30"]}) == 30


def test_an_empty_input_of_the_action_counts_as_not_set_and_an_empty_flag_as_a_mistake():
    assert settings_from("deploy", inputs={"timeout": "", "cluster": "  "}).values.timeout == 3600
    with pytest.raises(InvalidInput, match="--cluster is empty"):
        settings_from("deploy", argv={"cluster": [""]})


def test_yaml_values_of_the_file_come_through():
    settings = settings_from(
        "deploy",
        config={
            "image": {"rag": "repo/rag:1"},
            "environment": {"A": "1"},
            "command-override": ["serve", ""],
            "force-new-deployment": False,
            "set": {"containerDefinitions[0].stopTimeout": 120},
        },
    )
    assert settings.values.image == {"rag": "repo/rag:1"}
    assert settings.values.environment == {"A": "1"}
    assert settings.values.command_override == ("serve", "")
    assert settings.values.force_new_deployment is False
    assert settings.values.set == {"containerDefinitions[0].stopTimeout": 120}


@pytest.mark.parametrize("source", ["inputs", "config"])
def test_an_unknown_name_is_answered_with_the_nearest(source):
    with pytest.raises(InvalidInput) as caught:
        settings_from("deploy", **{source: {"placment-timeout": "5"}})
    assert "placment-timeout" in caught.value.message
    assert "Did you mean placement-timeout?" in caught.value.hint


@pytest.mark.parametrize(
    ("command", "name", "sentence"),
    [
        ("run-task", "secrets", "run-task takes no secrets: it is for other commands."),
        ("push", "image", "push takes no image"),
        ("history", "timeout", "history takes no timeout: it is for other commands."),
    ],
)
def test_an_option_of_another_command_is_answered_with_whose_it_is(command, name, sentence):
    with pytest.raises(InvalidInput, match=re.escape(sentence)):
        settings_from(command, inputs={name: "x"})


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("gpu", "two", "gpu: 1, gpu: 0.25 or gpu: ALL"),
        ("force-new-deployment", "si", "force-new-deployment: true or force-new-deployment: false"),
        ("on-timeout", "rolback", "Did you mean rollback?"),
        ("on-timeout", "undo", "Write leave or rollback."),
        ("timeout", "soon", "timeout: 90s, 20m or 1h30m"),
        ("set", "cpu", "Write NAME: VALUE"),
    ],
)
def test_a_hint_says_how_it_is_written(name, text, hint):
    with pytest.raises(InvalidInput) as caught:
        _value(name, text)
    assert hint in caught.value.hint


def test_what_is_required_is_named():
    with pytest.raises(InvalidInput, match="The service is missing"):
        required(settings_from("deploy").values.service, "service")
    assert required("ki", "cluster") == "ki"


def test_every_default_is_valid_and_every_kind_has_a_reader():
    settings = settings_from("deploy")
    for option in OPTIONS:
        assert option.kind in READERS
        assert hasattr(settings.values, option.field)


def test_the_three_endings_default_to_leave():
    settings = settings_from("deploy")
    for option in ("on_timeout", "on_failure", "on_cancel"):
        assert getattr(settings.values, option) == "leave"
    assert settings.values.force_new_deployment is True


@pytest.mark.parametrize(
    "text",
    [
        '{"A": "1", "B": "x=y", "GONE": null}',
        "{A: '1', B: x=y, GONE: }",
        '["A=1", "B=x=y", "GONE"]',
        '[{"name": "A", "value": "1"}, {"name": "B", "value": "x=y"}, {"name": "GONE", "value": null}]',
        "A=1\nB=x=y\nGONE",
    ],
)
def test_json_that_says_what_lines_say_is_taken(text):
    assert _value("environment", text) == {"A": "1", "B": "x=y", "GONE": None}


@pytest.mark.parametrize(
    ("option", "text", "wanted"),
    [
        ("environment", '{"PORT": 80, "ON": true}', {"PORT": "80", "ON": "true"}),
        ("environment", '{"KEY": "two\\nlines"}', {"KEY": "two\nlines"}),
        ("environment", "[]", {}),
        ("docker-labels", "traefik.domains[0].main=x", {"traefik.domains[0].main": "x"}),
        ("tags", '[{"key": "team", "value": "ml"}]', {"team": "ml"}),
        ("secrets", '[{"name": "T", "valueFrom": "/rag/token"}]', {"T": "/rag/token"}),
        ("build-args", '{"VERSION": 3}', {"VERSION": "3"}),
        ("image", '{"rag": "repo/rag:1"}', {"rag": "repo/rag:1"}),
        ("image", '["repo/rag:1"]', {"": "repo/rag:1"}),
        ("image", "[::1]:5000/rag:1", {"": "[::1]:5000/rag:1"}),
        ("phase-deadlines", '{"pull": 300, "load": "5m"}', {"pull": 300, "load": 300}),
    ],
)
def test_json_in_an_option_of_names_and_values(option, text, wanted):
    assert _value(option, text) == wanted


@pytest.mark.parametrize("option", ["environment", "secrets", "log-options", "build-args", "image"])
@pytest.mark.parametrize(
    "text",
    [
        '{"A": {"B": 1}}',
        '{"A": ["b"]}',
        '{"A": 1.10}',
        '["A=1", 2]',
        '[["A", "1"]]',
        '[{"name": "A", "value": "1", "more": 2}]',
        '{"A": "1"',
        '{"": "1"}',
        '{"A": 1, "A": 2}',
        '"A": "1",',
    ],
)
def test_json_that_says_something_else_is_refused_by_the_option_s_name(option, text):
    with pytest.raises(InvalidInput) as caught:
        _value(option, text)
    assert option in caught.value.message


def test_a_mapping_of_the_file_says_what_json_says():
    config = {
        "environment": {"ON": True, "GONE": None, "PORT": 80, "TEXT": "two\nlines"},
        "subnets": ["subnet-1", "subnet-2"],
        "phase-deadlines": {"pull": 300},
        "tags": ["team=ml"],
    }
    values = settings_from("run-task", config=config).values
    assert values.environment == {"ON": "true", "GONE": None, "PORT": "80", "TEXT": "two\nlines"}
    assert values.subnets == ("subnet-1", "subnet-2")
    assert values.tags == {"team": "ml"}


SECRET = "hf_" + "aB3" * 12


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("secrets", SECRET),
        ("secrets", f"a {SECRET}"),
        ("secrets", f'{{"A": ["{SECRET}"]}}'),
        ("environment", f"{SECRET}\nA=1"),
        ("environment", f'"token": "{SECRET}",'),
        ("build-args", "my own pass phrase"),
        ("timeout", SECRET),
        ("gpu", f"token={SECRET}"),
    ],
)
def test_a_secret_in_the_wrong_place_is_refused_and_never_shown(option, text):
    with pytest.raises(InvalidInput) as caught:
        _value(option, text)
    assert SECRET not in caught.value.message + caught.value.hint
    assert "pass phrase" not in caught.value.message
    assert option in caught.value.message


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("task-role-arn", "arn:aws:iam::123456789012:user/x", "neither the name nor the ARN of a role"),
        ("execution-role-arn", "arn:aws:iam::${ACCOUNT}:role/x", "'${ACCOUNT}', which nobody replaced"),
        ("task-role-arn", "<TASK_ROLE>", "'<TASK_ROLE>', which nobody replaced"),
        ("secrets", f"TOKEN={SECRET}", "is it the secret itself"),
        ("secrets", "TOKEN=my pass word", "is it the secret itself"),
        ("log-options", "awslogs-group=/ecs/${NAME}", "'${NAME}', which nobody replaced"),
        ("log-options", "awslogs-group=/ecs/<your group>", "'<your group>', which nobody replaced"),
    ],
)
def test_a_name_that_aws_can_never_take_is_refused_by_the_input_s_name(option, text, said):
    settings = settings_from("deploy", inputs={"cluster": "c", "service": "s", option: text})
    with pytest.raises(InvalidInput) as caught:
        check_deploy(settings)
    assert caught.value.message.startswith(option)
    assert said in caught.value.message
    assert SECRET not in caught.value.message
    assert "pass word" not in caught.value.message


def test_a_placeholder_may_be_allowed():
    inputs = {"cluster": "c", "service": "s", "log-options": "Host=${HOST}", "allow-placeholders": "true"}
    assert check_deploy(settings_from("deploy", inputs=inputs)).revision.allow_placeholders


def test_a_role_of_the_wrong_form_is_refused_for_a_batch_too():
    settings = settings_from(
        "run-task", inputs={"cluster": "c", "task-definition": "job:1", "task-role-arn": "arn:aws:iam::1:x"}
    )
    with pytest.raises(InvalidInput, match="task-role-arn"):
        check_run_task(settings)


def test_a_token_is_a_name_on_the_command_line_and_itself_in_an_input():
    with pytest.raises(InvalidInput, match="every process can read") as caught:
        settings_from("deploy", argv={"github-token": ["ghp_0123abc"]})
    assert "ghp_0123abc" not in str(caught.value)
    assert settings_from("deploy", argv={"github-token": ["MY_TOKEN"]}).values.github_token == "MY_TOKEN"
    assert settings_from("deploy", inputs={"github-token": "ghp_0"}).values.github_token == "ghp_0"
    with pytest.raises(InvalidInput, match="is not one token") as caught:
        settings_from("deploy", inputs={"github-token": "ghp_0\nghp_1"})
    assert "ghp_0" not in str(caught.value)


def test_a_secret_s_value_is_no_flag_in_json_either():
    with pytest.raises(InvalidInput, match="every process can read a command line"):
        settings_from("push", argv={"build-secrets": ['{"TOKEN": "x"}']})


def test_each_option_serves_one_task_in_help_and_docs():
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(
        option.name for option in (*OPTIONS, *FILE_OPTIONS)
    )
