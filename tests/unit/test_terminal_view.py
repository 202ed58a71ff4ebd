"""The end of a log on a terminal: no word and no number is cut, and a command can be copied."""

from ecs_gpu_deploy.core.show.terminal_view import terminal_view

TEXT = (
    "rolled_back — AWS rolled the service back to rag:1: the breaker's threshold was exceeded. (exit 5)\n"
    "cause: cuda-out-of-memory — 4 tasks: the model and its working memory do not fit.\n"
    "  | torch.OutOfMemoryError: GPU 0 has a total capacity of 22.05 GiB of which 1.91 GiB is free.\n"
    "  → Take a GPU with more memory.\n"
    "  → To go on watching: ecs-gpu-deploy watch --cluster ki-cluster --service ki-rag-api\n"
    "phases: placement 10s · load 40s\n"
)


def test_lines_are_wrapped_between_words_and_commands_are_not():
    assert terminal_view(TEXT, columns=61, is_good=False, has_colour=False) == (
        "rolled_back — AWS rolled the service back to rag:1: the\n"
        "  breaker's threshold was exceeded. (exit 5)\n"
        "cause: cuda-out-of-memory — 4 tasks: the model and its\n"
        "  working memory do not fit.\n"
        "  | torch.OutOfMemoryError: GPU 0 has a total capacity of\n"
        "    22.05 GiB of which 1.91 GiB is free.\n"
        "  → Take a GPU with more memory.\n"
        "  → To go on watching: ecs-gpu-deploy watch --cluster ki-cluster --service ki-rag-api\n"
        "phases: placement 10s · load 40s\n"
    )


def test_what_a_line_begins_with_has_its_colour():
    shown = terminal_view(TEXT, columns=200, is_good=False, has_colour=True).splitlines()
    assert shown[0].startswith("\x1b[1;31mrolled_back\x1b[0m — AWS")
    assert shown[1].startswith("\x1b[1mcause: cuda-out-of-memory\x1b[0m — 4 tasks")
    assert shown[2].startswith("\x1b[2m  |\x1b[0m torch.")
    assert shown[3].startswith("\x1b[36m  →\x1b[0m Take")
    assert shown[5].startswith("\x1b[2mphases:\x1b[0m placement")
    good = terminal_view("succeeded — 2 tasks run. (exit 0)\n", columns=20, is_good=True, has_colour=True)
    assert good == "\x1b[1;32msucceeded\x1b[0m — 2 tasks run. (exit 0)\n", "too narrow to wrap"
