"""Start the action: make a virtual environment of its own once, then become the program.

Standard library only, and in words that an old Python understands up to the sentence that it is too old.
The environment lies in the runner's tool cache under a name that holds the lock file's hash, so that a
second use finds it ready; it is built aside and renamed, so that nobody ever finds half of one. The program
reads its inputs from INPUTS and gets no arguments.
"""

import glob
import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

OLDEST = (3, 11)
ROOT = os.path.dirname(os.path.abspath(__file__))
LOCK = os.path.join(ROOT, "locks", "runtime.txt")
SOURCE = os.path.join(ROOT, "src")
INDEXES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_KEYRING_PROVIDER")
WAYS_OUT = ("PIP_TRUSTED_HOST", "PIP_PROXY", "PIP_CERT", "PIP_CLIENT_CERT", "PIP_TIMEOUT", "PIP_RETRIES")
IMPORTING = """import importlib, importlib.util as util
if util.find_spec("ecs_gpu_deploy.run"): importlib.import_module("ecs_gpu_deploy.run")"""
DAY = 24 * 3600.0
FAILED, REFUSED_INPUT, CANCELLED = 1, 2, 10
SETUP_PYTHON = """Put these lines before the step:
  - uses: actions/setup-python@v6
    with:
      python-version: "3.13\""""


class Stop(Exception):
    """End with a sentence, an outcome and an exit code of the program's contract."""

    def __init__(self, sentence, outcome="failed", exit_code=FAILED):
        super().__init__(sentence)
        self.sentence, self.outcome, self.exit_code = sentence, outcome, exit_code


def main():
    """Replace this process by the program, or explain in one sentence why that cannot be."""
    signal.signal(signal.SIGTERM, _cancel)
    signal.signal(signal.SIGINT, _cancel)
    try:
        if sys.version_info < OLDEST:
            _become([_newer_python(), "-I", os.path.abspath(__file__)])
        _become([_environment(), "-I", "-X", "utf8", "-m", "ecs_gpu_deploy"])
    except Stop as stop:
        _report(stop)
        return stop.exit_code
    except Exception as error:  # noqa: BLE001 - one sentence and the outputs, whatever it is
        stop = Stop(f"The action could not be started: {type(error).__name__}: {error}.")
        _report(stop)
        return stop.exit_code


def _become(command):
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(command[0], command)  # noqa: S606  (no shell is the point)


def _cancel(*_):
    raise Stop("Cancelled while the action was being installed; nothing was started.", "cancelled", CANCELLED)


def _newer_python():
    """Look where GitHub's runners keep other versions, and on the PATH."""
    minors = range(20, OLDEST[1] - 1, -1)
    cache = os.environ.get("RUNNER_TOOL_CACHE") or os.environ.get("AGENT_TOOLSDIRECTORY") or ""
    for minor in minors:
        kept = glob.glob(os.path.join(glob.escape(cache), "Python", f"3.{minor}.*", "*", "bin", "python3"))
        named = shutil.which(f"python3.{minor}")
        for python in ([] if not cache else sorted(kept)) + ([named] if named else []):
            # A shim may carry the name of a version that is not there.
            if os.access(python, os.X_OK) and _version_of(python) >= OLDEST:
                return python
    version = ".".join(str(part) for part in sys.version_info[:3])
    wanted = ".".join(str(part) for part in OLDEST)
    raise Stop(
        f"Python {version} is too old for this action, and none from {wanted} on was found. {SETUP_PYTHON}",
        "invalid",
        REFUSED_INPUT,
    )


def _version_of(python):
    code = "import sys; print(*sys.version_info[:2])"
    try:
        text = subprocess.run(  # noqa: S603  (fixed words, and an interpreter found on this machine)
            [python, "-I", "-c", code],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=30,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    numbers = text.split()
    return tuple(int(number) for number in numbers) if len(numbers) == 2 else (0, 0)


def _environment():
    """Give the interpreter of the environment, which is made where it is missing."""
    place = _place()
    if not _is_ready(place):
        _remove_halves(place)
        aside = tempfile.mkdtemp(prefix=os.path.basename(place) + ".", dir=os.path.dirname(place))
        try:
            _install(aside)
            _put(aside, place)
        except OSError as error:
            raise Stop(f"The action could not be installed: {error}.") from None
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return _python_in(place)


def _remove_halves(place):
    """Remove what killed jobs have left half installed a day ago or longer."""
    for half in glob.glob(glob.escape(place) + ".*"):
        try:
            if time.time() - os.stat(half).st_mtime > DAY:
                shutil.rmtree(half, ignore_errors=True)
        except OSError:  # another job removes it
            continue


def _place():
    """Name the environment after the lock file, this Python and this copy of the action."""
    with open(LOCK, "rb") as file:
        lock = file.read()
    parts = (lock, sys.version.encode(), os.path.realpath(sys.executable).encode(), ROOT.encode())
    return os.path.join(_home(), hashlib.sha256(b"\0".join(parts)).hexdigest()[:20])


def _put(aside, place):
    """Move a finished environment to its place; another job on this runner may have been quicker."""
    try:
        os.rename(aside, place)
    except OSError:
        if not _is_ready(place):  # what lies there is broken: its Python was removed from the machine
            shutil.rmtree(place, ignore_errors=True)
            os.rename(aside, place)


def _home():
    """Give the first folder that can be written to; the last one is the action's own."""
    places = [
        os.environ.get("RUNNER_TOOL_CACHE"),
        os.environ.get("RUNNER_TEMP"),
        os.path.join(ROOT, ".tools"),
    ]
    reason = ""
    for place in filter(None, places):
        home = os.path.join(os.path.abspath(place), "ecs-gpu-deploy")
        try:
            os.makedirs(home, mode=0o755, exist_ok=True)
            if _is_another_s(home):
                reason = f"somebody else owns {home} or can write to it"
                continue
            with tempfile.TemporaryFile(dir=home):
                return home
        except OSError as error:
            reason = str(error)
    raise Stop(f"The action finds no folder to install itself into: {reason}.")


def _is_another_s(home):
    """Tell whether somebody else could put programs there that this job would run."""
    status = os.stat(home)
    return status.st_uid != os.getuid() or bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _is_ready(place):
    """Tell whether an environment is there, with every package that the lock file names."""
    if not os.access(_python_in(place), os.X_OK):
        return False
    found = glob.glob(os.path.join(glob.escape(place), "lib", "python*", "site-packages", "*.dist-info"))
    names = {_plain(os.path.basename(path).rsplit("-", 2)[0]) for path in found}
    return names.issuperset(_locked())


def _locked():
    with open(LOCK, encoding="utf-8") as file:
        return {_plain(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", file.read(), re.MULTILINE)}


def _plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def _python_in(place):
    return os.path.join(place, "bin", "python")


def _install(place):
    options = ["--require-hashes", "--only-binary", ":all:", "--no-input", "--quiet", "-r", LOCK]
    venv = [sys.executable, "-I", "-m", "venv"]
    python = _python_in(place)
    pip = [sys.executable, "-I", "-m", "pip", "--python", python]
    if _pip_reaches_out():  # four seconds quicker than a pip of the environment's own
        venv.append("--without-pip")
    else:
        pip = [python, "-I", "-m", "pip"]
    _run([*venv, place], "Python's venv module failed (Debian: python3-venv)")
    _run(
        [*pip, "install", "--disable-pip-version-check", *options],
        "pip could not install what the action needs",
    )
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = _run([python, "-I", "-c", code], "The new environment does not work").strip()
    with open(os.path.join(packages, "ecs_gpu_deploy.pth"), "w", encoding="utf-8") as file:
        file.write(SOURCE + "\n")
    if not _is_ready(place):
        raise Stop("pip said that it installed what the action needs, and it is not there.")
    _run([python, "-I", "-c", IMPORTING], "What was installed cannot be imported")


def _pip_reaches_out():
    """Tell whether this Python's pip can install into another environment (--python, since pip 22.3)."""
    import importlib.metadata  # noqa: PLC0415  (older Pythons, which only read the file, lack it)

    try:
        numbers = importlib.metadata.version("pip").split(".")
        return (int(numbers[0]), int(numbers[1])) >= (22, 3)
    except (importlib.metadata.PackageNotFoundError, ValueError, IndexError):
        return False


def _run(command, failure):
    """Run a command and give its output; in its failure only the last lines count."""
    # pip --python starts the other interpreter without -I, and the workspace must not get in between.
    environment = {name: value for name, value in os.environ.items() if not _bends_the_install(name)}
    process = subprocess.run(  # noqa: S603  (fixed words; nothing of the user's)
        command,
        check=False,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output = process.stdout.decode("utf-8", "replace")
    if process.returncode != 0:
        lines = [line.strip() for line in output.splitlines() if line.strip()][-4:]
        raise Stop(f"{failure}: {' | '.join(lines) or 'it said nothing'} (exit {process.returncode}).")
    return output


def _bends_the_install(name):
    """Tell whether a variable may send packages elsewhere or keep them from being installed (PIP_TARGET)."""
    return name.startswith("PYTHON") or (name.startswith("PIP_") and name not in INDEXES + WAYS_OUT)


def _report(stop):
    """Tell the log, the run and later steps."""
    print(f"error: {stop.sentence}", file=sys.stderr)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        escaped = stop.sentence.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        print(f"::error title=ecs-gpu-deploy::{escaped}")
    if os.environ.get("GITHUB_OUTPUT"):
        reason = " ".join(stop.sentence.split())
        with open(os.environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as file:
            file.write(f"outcome={stop.outcome}\nexit-code={stop.exit_code}\nreason={reason}\n")


if __name__ == "__main__":
    sys.exit(main())
