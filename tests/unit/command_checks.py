"""The check of each command, and the least that it takes."""

from ecs_gpu_deploy.inputs import checks

CHECKS = {
    "continue": checks.check_answer,
    "deploy": checks.check_deploy,
    "history": checks.check_history,
    "login": checks.check_login,
    "push": checks.check_push,
    "reject": checks.check_answer,
    "register": checks.check_register,
    "render": checks.check_render,
    "rollback": checks.check_rollback,
    "run-task": checks.check_run_task,
    "status": checks.check_status,
    "watch": checks.check_watch,
}
LEAST = {
    "continue": {"cluster": "c", "service": "s"},
    "deploy": {"cluster": "c", "service": "s\nt"},
    "history": {"cluster": "c", "service": "s"},
    "login": {},
    "push": {"repository": "rag", "context": "."},
    "reject": {"cluster": "c", "service": "s"},
    "register": {"cluster": "c", "task-definition": "family"},
    "render": {"cluster": "c", "task-definition": "family"},
    "rollback": {"cluster": "c", "service": "s"},
    "run-task": {"cluster": "c", "task-definition": "family", "image": "x:1"},
    "status": {"cluster": "c", "service": "s"},
    "watch": {"cluster": "c", "service": "s"},
}
