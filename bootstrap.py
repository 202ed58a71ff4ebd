"""Start the action: from dist/ where a release has it, else from a virtual environment that is made once.

dist/ (tools/bundle.py) holds the program and all that it needs: nothing is installed, and no index is asked.
Standard library only, and in words that an old Python understands up to the sentence that it is too old.
The environment lies in the runner's tool cache under a name that holds the lock file's hash, so that a
second use finds it ready; it is built aside and renamed, so that nobody ever finds half of one. What is found
is used only where nobody else can have written it and no file of its packages is missing; where it cannot be
imported all the same, it is made anew. The program reads its inputs from INPUTS and gets no arguments.
"""

import contextlib
import hashlib
import marshal
import os
import signal
import stat
import sys
import time
from importlib.machinery import ModuleSpec

OLDEST = (3, 11)
ROOT = os.path.dirname(os.path.abspath(__file__))
LOCK = os.path.join(ROOT, "locks", "runtime.txt")
SOURCE = os.path.join(ROOT, "src")
DIST = os.path.join(ROOT, "dist")
SUMS = "SHA256SUMS"
COMPILED = ""  # the member of a pack that says whether it holds code
IS_BUNDLED = any(os.path.exists(os.path.join(DIST, name)) for name in (SUMS, "botocore"))
if not IS_BUNDLED or sys.version_info < OLDEST:  # a release does without these, and starts sooner
    import ast
    import csv
    import glob
    import re
    import shutil
    import subprocess
    import tempfile
FLAGS = ["-I", "-X", "utf8"]
ALONE = ["-I", "-S", "-X", "utf8"]
INDEXES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_KEYRING_PROVIDER")
WAYS_OUT = (
    "PIP_TRUSTED_HOST",
    "PIP_PROXY",
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_TIMEOUT",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_RETRIES",
)
IMPORTING = "import ecs_gpu_deploy.run"
# Arguments: this program, with which an environment that does not import is made anew.
STARTING = f"""import os, runpy, sys
again, sys.argv[1:] = sys.argv[1:], []
try:
    {IMPORTING}
except Exception:
    if os.name == "nt":
        import subprocess
        sys.exit(subprocess.call(again))
    os.execv(again[0], again)
runpy.run_module("ecs_gpu_deploy", run_name="__main__", alter_sys=True)"""
ANEW = "--anew"
PATIENCE = 300.0
IS_WINDOWS = os.name == "nt"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
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
    try:
        for number in SIGNALS:
            signal.signal(number, _cancel)
        _let_signals_wait(False)
        if sys.version_info < OLDEST:
            _become([_newer_python(), "-I", os.path.abspath(__file__)])
        if IS_BUNDLED:
            return _run_bundle()
        if sys.flags.no_site:
            _become([sys.executable, *FLAGS, os.path.abspath(__file__), *sys.argv[1:]])
        _start(anew=ANEW in sys.argv[1:])
    except Stop as stop:
        _report(stop)
        return stop.exit_code
    except Exception as error:  # noqa: BLE001 - one sentence and the outputs, whatever it is
        stop = Stop(f"The action could not be started: {type(error).__name__}: {error}.")
        _report(stop)
        return stop.exit_code


def _run_bundle():
    """Be the program of dist/, and return its exit code. Nobody else's modules come before its own."""
    if not (sys.flags.isolated and sys.flags.no_site and sys.flags.utf8_mode):
        _become([sys.executable, *ALONE, os.path.abspath(__file__)])
    packed = _whole_bundle()
    try:
        import ssl  # noqa: F401, PLC0415
        import zlib  # noqa: F401, PLC0415
    except ImportError as error:
        lacking = (
            f"The Python here, {sys.executable}, was built without {error.name}, which this action needs."
        )
        raise Stop(f"{lacking} {SETUP_PYTHON}", "invalid", REFUSED_INPUT) from None
    _let_signals_wait(True)
    sys.meta_path.insert(0, _Packed(marshal.loads(packed)))  # noqa: S302  (checked just now)
    del packed, sys.argv[1:]
    from ecs_gpu_deploy.__main__ import main as program  # noqa: PLC0415

    return program()


class _Packed:
    """Imports the modules of a pack: by name, whether it is a package, and its code or its source."""

    def __init__(self, modules):
        self._modules = modules

    def find_spec(self, name, *_):
        """Find a module where botocore's data lies beside it as in its own package."""
        if name not in self._modules:
            return None
        is_package, _ = self._modules[name]
        file = os.path.join(DIST, *name.split("."), *(["__init__"] if is_package else [])) + ".py"
        spec = ModuleSpec(name, self, origin=file, is_package=is_package)
        spec.has_location = True
        return spec

    def create_module(self, spec):
        """Have Python make the module."""

    def exec_module(self, module):
        """Run the code of a module; what is imported once is not kept."""
        name = module.__spec__.name
        is_package, code = self._modules[name]
        self._modules[name] = is_package, b""
        if self._modules[COMPILED]:
            exec(marshal.loads(code), vars(module))  # noqa: S102, S302
        else:
            exec(compile(code, module.__file__, "exec", dont_inherit=True), vars(module))  # noqa: S102


def _whole_bundle():
    """Return the pack for this Python; what a release has is there byte for byte, or nothing is started."""
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    try:
        with open(os.path.join(DIST, SUMS), encoding="ascii") as file:
            sums = dict(reversed(line.rstrip("\n").split("  ", 1)) for line in file if "  " in line)
    except (OSError, ValueError) as error:
        raise Stop(_not_whole(f"dist/{SUMS} cannot be read ({error})")) from None
    mine = f"{sys.implementation.name}-{minor}.pack"
    # The patterns that are compiled there hang on the order of bytes and on 64 bits.
    if mine not in sums or sys.byteorder != "little" or sys.maxsize < 2**32:
        mine = "sources.pack"
    packed = b""
    for name in [name for name in sums if name.startswith("botocore/")] + [mine]:
        try:
            with open(os.path.join(DIST, name), "rb") as file:
                packed = file.read()
        except OSError as error:
            raise Stop(_not_whole(f"dist/{name} cannot be read ({error.strerror})")) from None
        if hashlib.sha256(packed).hexdigest() != sums.get(name):
            raise Stop(_not_whole(f"dist/{name} is not the file that was released"))
    return packed


def _not_whole(why):
    return (
        f"This copy of the action is damaged: {why}. "
        "Run the job again; on a self-hosted runner remove the folder _work/_actions first."
    )


def _start(anew):
    """Become the program; what was found and cannot be started is made anew, once."""
    python, is_new = _environment(anew)
    if not is_new:
        again = [sys.executable, *FLAGS, os.path.abspath(__file__), ANEW]
        try:
            _become([python, *FLAGS, "-c", STARTING, *again])
        except OSError:
            python, _ = _environment(anew=True)
    _become([python, *FLAGS, "-m", "ecs_gpu_deploy"])


def _become(command):
    """Replace this process; a signal waits until the program heeds it (signals.py), which needs a second."""
    if IS_WINDOWS:
        sys.exit(_stood_in_for(command))
    _let_signals_wait(True)
    try:
        os.execv(command[0], command)  # noqa: S606  (no shell is the point)
    finally:
        _let_signals_wait(False)


def _stood_in_for(command):
    """Run a command in our place and return its exit code: execv on Windows loses it (cpython#101191).

    Where the console does not send its events to both, a signal is passed on.
    """
    import subprocess  # noqa: PLC0415

    process = subprocess.Popen(command)  # noqa: S603  (ours)
    for number in SIGNALS:
        signal.signal(number, lambda number, _: IS_WINDOWS or process.send_signal(number))
    return process.wait()


def _let_signals_wait(wait):
    """Keep a signal until the program heeds it (signals.py), or let it through again; Windows cannot."""
    if IS_WINDOWS:
        return
    signal.pthread_sigmask(signal.SIG_BLOCK if wait else signal.SIG_UNBLOCK, SIGNALS)


def _cancel(*_):
    _heed_no_more()
    raise Stop("Cancelled while the action was being installed; nothing was started.", "cancelled", CANCELLED)


def _heed_no_more():
    """Let no later signal keep the first from cleaning up, or this from being told."""
    for number in SIGNALS:  # not SIG_IGN: Python complains aloud of one that has come meanwhile
        signal.signal(number, lambda *_: None)


def _newer_python():
    """Look where GitHub's runners keep other versions, and on the PATH."""
    minors = range(20, OLDEST[1] - 1, -1)
    cache = os.environ.get("RUNNER_TOOL_CACHE") or os.environ.get("AGENT_TOOLSDIRECTORY") or ""
    for minor in minors:
        where = ["python.exe"] if IS_WINDOWS else ["bin", "python3"]
        kept = glob.glob(os.path.join(glob.escape(cache), "Python", f"3.{minor}.*", "*", *where))
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


def _environment(anew):
    """Give the interpreter of the environment, and whether it was made just now."""
    place = _place()
    python = _python_in(place)
    if not anew and _is_whole(place):
        return python, False
    try:
        with _alone(os.path.dirname(place)) as lock:
            if _is_whole(place) and (not anew or _imports(python)):  # another job has been quicker
                return python, False
            _make(place, lock)
    except OSError as error:
        raise Stop(f"The action could not be installed: {error}.") from None
    return python, True


def _make(place, lock):
    """Install aside and move it to its place."""
    home = os.path.dirname(place)
    if lock is not None:
        for half in glob.glob(os.path.join(glob.escape(home), "*.*")):  # what killed jobs have left
            _remove(half)
    aside = tempfile.mkdtemp(prefix=os.path.basename(place) + ".", dir=home)
    try:
        _install(aside, lock)
        broken = aside + ".broken"
        if os.path.lexists(place):
            os.rename(place, broken)
        try:
            os.rename(aside, place)
        except OSError:
            if not _is_whole(place):  # where nothing can be locked another job may have been quicker
                raise
        _remove(broken)
    finally:
        _remove(aside)


def _remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.unlink(path)


@contextlib.contextmanager
def _alone(home):
    """Let one job at a time install; gives the lock, or None where the file system has none or it takes ages.

    The lock goes when its last holder ends, however that ends, so that what lies half made is nobody's then.
    A pip that outlives its killed job still holds it.
    """
    if IS_WINDOWS:
        yield None
        return
    import fcntl  # noqa: PLC0415  (Windows lacks it)

    folder = os.open(home, os.O_RDONLY)
    until = time.monotonic() + PATIENCE
    lock = None
    try:
        while lock is None and time.monotonic() < until:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                lock = folder
            except BlockingIOError:
                time.sleep(0.1)
            except OSError:
                break
        yield lock
    finally:
        os.close(folder)


def _place():
    """Name the environment after the lock file, this Python and this copy of the action."""
    with open(LOCK, "rb") as file:
        lock = file.read()
    parts = (lock, sys.version.encode(), os.path.realpath(sys.executable).encode(), ROOT.encode())
    return os.path.join(_home(), hashlib.sha256(b"\0".join(parts)).hexdigest()[:20])


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
            if os.path.islink(home) or _is_another_s(home):
                reason = f"somebody else owns {home} or can write to it"
                _tell(1, f"{home} is not used: somebody else owns it or can write to it.\n")
                continue
            with tempfile.TemporaryFile(dir=home):
                return home
        except OSError as error:
            reason = str(error)
    raise Stop(f"The action finds no folder to install itself into: {reason}.")


def _is_another_s(folder):
    """Tell whether somebody else could put programs there that this job would run."""
    status = os.stat(folder)
    if IS_WINDOWS:  # what a user may do stands elsewhere there
        return False
    return status.st_uid != os.getuid() or bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _is_whole(place):
    """Tell whether an environment of ours is there, with each file of every package that the lock names."""
    if not os.access(_python_in(place), os.X_OK) or _is_another_s(place):
        return False
    library = ["Lib"] if IS_WINDOWS else ["lib", "python*"]
    records = glob.glob(os.path.join(glob.escape(place), *library, "site-packages", "*.dist-info", "RECORD"))
    names = {_plain(os.path.basename(os.path.dirname(path)).rsplit("-", 2)[0]) for path in records}
    return names.issuperset(_locked()) and all(map(_has_its_files, records))


def _has_its_files(record):
    """Tell whether the files of a package are there in the size in which pip has installed them."""
    packages = os.path.dirname(os.path.dirname(record))
    try:
        with open(record, encoding="utf-8", newline="") as file:
            return all(
                os.stat(os.path.join(packages, path)).st_size == int(size)
                for path, _, size in csv.reader(file)
                if size
            )
    except (OSError, ValueError, csv.Error):
        return False


def _imports(python):
    try:
        _run([python, "-I", "-c", IMPORTING], "")
    except (Stop, OSError):
        return False
    return True


def _locked():
    """Give the names in the lock file; those of some platforms only are pip's to judge."""
    with open(LOCK, encoding="utf-8") as file:
        found = re.findall(r"^([A-Za-z0-9._-]+)==[^;\n]*$", file.read(), re.MULTILINE)
    return {_plain(name) for name in found}


def _plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def _python_in(place):
    return os.path.join(place, *(["Scripts", "python.exe"] if IS_WINDOWS else ["bin", "python"]))


def _install(place, lock):
    options = ["--require-hashes", "--only-binary", ":all:", "--no-input", "--quiet", "-r", LOCK]
    settings = _settings_of_pip()
    venv = [sys.executable, "-I", "-m", "venv"]
    python = _python_in(place)
    pip = [sys.executable, "-I", "-m", "pip", "--python", python]
    if _pip_reaches_out():  # four seconds quicker than a pip of the environment's own
        venv.append("--without-pip")
    else:
        pip = [python, "-I", "-m", "pip"]
    _run([*venv, place], "Python's venv module failed (Debian: python3-venv)", lock)
    _run(
        [*pip, "install", "--disable-pip-version-check", *options],
        "pip could not install what the action needs",
        lock,
        settings,
    )
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = _run([python, "-I", "-c", code], "The new environment does not work").strip()
    with open(os.path.join(packages, "ecs_gpu_deploy.pth"), "w", encoding="utf-8") as file:
        file.write(SOURCE + "\n")
    if not _is_whole(place):
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


def _settings_of_pip():
    """Give what pip's files say of index, proxy and certificates, as variables; the rest does not count."""
    settings = {"PIP_CONFIG_FILE": os.environ.get("PIP_CONFIG_FILE", "")}
    listed = _run(
        [sys.executable, "-I", "-m", "pip", "config", "list"], "pip's settings cannot be read", None, settings
    )
    told = {}
    for section, name, value in re.findall(r"^(global|install)\.([a-z-]+)=(.*)$", listed, re.MULTILINE):
        variable = "PIP_" + name.upper().replace("-", "_")
        if variable in INDEXES + WAYS_OUT and variable not in os.environ:
            told[section, variable] = " ".join(ast.literal_eval(value).split())
    ordered = sorted(told.items())  # what is said of install counts more than what is said of all
    return {"PIP_CONFIG_FILE": os.devnull, **{variable: value for (_, variable), value in ordered}}


def _run(command, failure, lock=None, settings=()):
    """Run a command and give its output; in its failure only the last lines count."""
    # pip --python starts the other interpreter without -I, and the workspace must not get in between.
    environment = {name: value for name, value in os.environ.items() if not _bends_the_install(name)}
    process = subprocess.Popen(  # noqa: S603  (fixed words; nothing of the user's)
        command,
        env={**environment, **dict(settings)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=[] if lock is None else [lock],
    )
    try:
        output = process.communicate()[0].decode("utf-8", "replace")
    except BaseException:
        # pip --python is two processes, and the second would go on installing.
        with contextlib.suppress(OSError):
            process.kill() if IS_WINDOWS else os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if process.returncode != 0:
        lines = [line.strip() for line in output.splitlines() if line.strip()][-4:]
        raise Stop(f"{failure}: {' | '.join(lines) or 'it said nothing'} (exit {process.returncode}).")
    return output


def _bends_the_install(name):
    """Tell whether a variable may send packages elsewhere or keep them from being installed (PIP_TARGET)."""
    return name.startswith("PYTHON") or (name.startswith("PIP_") and name not in INDEXES + WAYS_OUT)


def _report(stop):
    """Tell later steps, the run and the log; whichever of them fails."""
    _heed_no_more()
    sentence = " ".join(stop.sentence.split())
    outputs = f"outcome={stop.outcome}\nexit-code={stop.exit_code}\nreason={sentence}\n"
    _tell(os.environ.get("GITHUB_OUTPUT"), outputs)
    _tell(2, f"error: {stop.sentence}\n")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        escaped = stop.sentence.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        _tell(1, f"::error title=ecs-gpu-deploy::{escaped}\n")


def _tell(target, text):
    """Write to a file or an open descriptor, unbuffered: a full or closed one must not end in a traceback."""
    with contextlib.suppress(OSError):
        if target:
            with open(target, "ab", buffering=0, closefd=isinstance(target, str)) as file:
                file.write(text.encode("utf-8", "backslashreplace"))


if __name__ == "__main__":
    code = main()
    _let_signals_wait(True)  # a signal that nobody heeds any more must not take the exit code
    sys.exit(code)
