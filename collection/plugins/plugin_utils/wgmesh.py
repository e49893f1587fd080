# Copyright: wgmesh.router contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the modules of this collection, which are one binary or two, on a target.

The binary is kept on the target under the SHA-256 of its content, so a stale
one is never run. A task is one round trip: a line of shell starts the binary,
which reads its arguments from standard input, so they are never written to the
target's disk. Only when the target has no such binary is it uploaded, once.

Not every way to a target carries standard input: su and doas want a terminal, and
so does a sudo with requiretty; the connection to AWS's session manager has none.
There input is a temporary file, as it is for all of Ansible's own modules.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
import traceback

from ansible import constants as C
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.unsafe_proxy import wrap_var

from ansible_collections.wgmesh.router.plugins.plugin_utils import answers, causes, diffs

try:  # ansible-core 2.19 and newer: values carry tags, which the target must not see
    from ansible.module_utils.common.json import Direction, get_module_encoder

    ENCODER = {"cls": get_module_encoder("legacy", Direction.CONTROLLER_TO_MODULE)}
except ImportError:
    from ansible.module_utils.common.json import AnsibleJSONEncoder

    ENCODER = {"cls": AnsibleJSONEncoder, "vault_to_text": True}

BUILDS = os.path.join(os.path.dirname(__file__), "bin")

# Modules that are in a program of their own, with the vendors' SDKs and what only a
# controller runs; all others are in wgmesh. On a target each program is "wgmesh" in the folder of its build.
PROGRAMS = {"cloud_forwarding": "wgmesh-cloud", "cloud_routes": "wgmesh-cloud", "mesh_preview": "wgmesh-cloud"}

# What `uname -sm` says on the systems there is a build for.
SYSTEMS = {"Linux x86_64": "linux_amd64", "Linux aarch64": "linux_arm64"}

# Where builds are kept on a target: root's, and those of any other user, who
# may run root's but cannot add to them.
ROOT_DIR = "/usr/local/libexec/wgmesh"
USER_DIR = '"$HOME"/.cache/wgmesh'

# A router that lost its power, or its way here, says nothing more. ssh ends after
# these 9 seconds. It takes the first value that it is given: a user's own setting
# stands before ours.
KEEPALIVE = "-o ServerAliveInterval=3 -o ServerAliveCountMax=3"

# A terminal has no end of input and takes no line of more than 4095 characters. ssh
# takes the last word about one: that of somebody who said -tt, or RequestTTY in a
# file, stands before ours.
NO_TERMINAL = "-T"
NO_TERMINAL_FOR_FILES = " -o RequestTTY=no"

# What sudo says where sudoers has requiretty.
WANTS_TERMINAL = "you must have a tty"

# What Ansible says when a password is asked for, and nobody gave one or the right one.
PASSWORD = re.compile(r"^(Missing|Incorrect) \S+ password|waiting for privilege escalation prompt")

# Seconds that bringing the program to a target may take. It says more about the
# way there than about the target, so the timeout of the task does not count it. All
# others wait meanwhile, so a target has them once in a run, however often it says that
# it has no program.
UPLOAD_TIME = 600

# Bytes that a controller needs at most to read what a host says. Ansible copies it some times.
MOST_MEMORY = 80e6

# The target answers a line that begins so when it could not start the binary.
ANSWER = "wgmesh-target: "

# What ssh itself says on standard error at -vvv and above.
SSH_CHATTER = re.compile(r"debug\d: |OpenSSH_|Shared connection to ")

# What follows becomes one line without a backslash or an exclamation mark: csh and
# fish, which may be somebody's login shell, read a quoted word in ways of their own.
#
# Replaces the shell by the binary, or says which system has none. Whoever ends reads all input first: ssh takes
# a target that ends before for one that is gone.
START = """\
trap 'cat >/dev/null' EXIT;
system=$(uname -sm);
case $system in
{cases}
*) build= ;;
esac;
for dir in {dirs}; do
  {check}
  if [ -n "$build" ] && [ -x "$dir/$build/wgmesh" ]; then exec {environment} "$dir/$build/wgmesh" {module}; fi;
done;
echo "{answer}$system";
cat >/dev/null
"""

# Where somebody else's folder is, what is in there is somebody else's program. Who became root by sudo
# is root, too.
CHECK = """\
found=$(find "$dir" "$dir/$build" "$dir/$build/wgmesh" -prune -not -user 0 -not -user "$(id -u)" -not -user "${SUDO_UID:-0}" 2>/dev/null);
  if [ -n "$found" ]; then echo "%sforeign $dir"; exit 0; fi;""" % ANSWER

# Takes the binary from standard input. It gets its name only when it is
# complete and on the disk. Builds that were not used for 30 days go, and nothing else: with
# wgmesh_remote_dir the folder may be one of others, too. The shell is in it then: find must be
# able to come back to where it began.
UPLOAD = """\
set -eu;
umask 022;
temp=;
trap 'rm -f "$temp"; cat >/dev/null' EXIT;
if [ "$(id -u)" = 0 ]; then dir={root_dir}; else dir={user_dir}; fi;
mkdir -p "$dir/{build}";
temp=$(mktemp "$dir/{build}/.wgmesh.XXXXXX");
trap 'exit 1' HUP INT PIPE TERM;
cat >"$temp";
case $(sha256sum <"$temp") in
{build}" "*) ;;
*) echo "{answer}damaged"; exit 0 ;;
esac;
chmod 0755 "$temp";
sync "$temp";
mv -f "$temp" "$dir/{build}/wgmesh";
[ -x "$dir/{build}/wgmesh" ] || {{ echo "{answer}noexec $dir"; exit 0; }};
cd "$dir";
ours='./[0-9a-f]{{64}}';
find . -mindepth 2 -maxdepth 2 -regextype posix-extended -regex "$ours/(wgmesh|[.]wgmesh[.].*)" -type f \
  -not -path "./{build}/*" -atime +30 -mtime +30 -delete;
find . -mindepth 1 -maxdepth 1 -regextype posix-extended -regex "$ours" -type d -empty -mtime +0 -delete;
echo "{answer}done"
"""

# Has what follows read a file that nobody needs any more.
INPUT = "exec <{path}; rm -f {path}; "


class Refusal(Exception):
    """Why a task cannot run, and what to do. It becomes a failed result, so that
    failed_when, retries and rescue see it as they see a failure of a module."""

    def result(self):
        cause, do = (answers.line(text) for text in self.args)
        return answers.failed(cause, do)


class Flood(BaseException):
    """What a host says takes more memory than there is for it. As a timeout it is not for those who try again."""


class ActionModule(ActionBase):
    """One task of one module."""

    def run(self, tmp=None, task_vars=None):
        try:
            if self._task.async_val:
                raise Refusal("%s runs in the foreground" % self._task.action, "remove async and poll from the task")
            result = super().run(tmp, task_vars)
            result.update(self._run_module(task_vars))
            return result
        except Refusal as refusal:
            return refusal.result()
        except AnsibleError as err:
            password = PASSWORD.search(str(err))
            if password:  # as an error it would end a loop in ansible-core 2.14
                return answers.failed(*(password[0], "correct ansible_become_password") if password[1] == "Incorrect" else self._wants_password())
            told = disarmed(err)
            if isinstance(told, AnsibleConnectionFailure) and self._alone(task_vars):
                return {**answers.failed(*causes.gone(str(told))), "no_answer": True}
            raise told from None
        except BaseException as err:  # the timeout is not an Exception, and its class is not public
            if "Timeout" not in type(err).__name__:
                raise
            end_commands(err)
            cause = "no answer within %s s, the timeout of this task" % self._task.timeout
            if self._uploads:
                cause = "the program was not there within %s s" % self._uploads
            return {**answers.failed(cause, "look at what hangs on this host (its load, its disk), and run again"), "no_answer": True}

    def cleanup(self, force=False):
        try:
            super().cleanup(force)
        except Refusal:  # the host says too much even of that, and would end a loop over all hosts
            self._connection._shell.tmpdir = None

    def _alone(self, task_vars):
        """Whether nobody else is left to say that this router is gone. Ansible ends with an
        unreachable host, and with a failed one goes on to what rescues and reports."""
        mine = not self._task.delegate_to and not self._task.ignore_unreachable
        return mine and list(task_vars.get("ansible_play_batch") or ()) == [task_vars["inventory_hostname"]]

    def _wants_password(self):
        cause = "%s does not let %s become root without a password here" % (self._connection.become.name, self._get_remote_user() or "this user")
        return cause, "give ansible_become_password or -K, or allow it without one"

    def _run_module(self, task_vars):
        self._uploads = 0  # the try before may have ended there
        self._ssh_arguments()
        # What only reads is called _info in Ansible, by its rules, and by its former name too.
        module = self._task.action.rpartition(".")[2].removesuffix("_info")
        if self._wants_fresh_connection(module, task_vars) and self._connection.transport != "local":
            self._connection.reset()

        arguments = self._arguments()
        self._update_module_args(self._task.action, arguments, task_vars)
        start = self._start_command(module, task_vars)
        stdin = json.dumps(arguments, **ENCODER).encode()

        answer = self._ask(start, stdin)
        system = target_answer(answer)
        if system:
            self._upload(module, system, task_vars)
            answer = self._ask(start, stdin)
            if target_answer(answer):
                raise Refusal("the uploaded build of wgmesh.router is gone again", "look for what cleans up on the target")
        return self._accept(module, answer, task_vars)

    def _ask(self, start, stdin):
        """Run the module, and note between which times here. A clock that is set meanwhile, or a laptop that sleeps, makes it longer."""
        wall, steady = time.time(), time.monotonic()
        answer = self._execute(start, stdin)
        now, took = time.time(), time.monotonic() - steady
        self._asked = min(wall, now - took), max(now, wall + took)
        return answer

    def _arguments(self):
        """The options that the module gets."""
        return dict(self._task.args)

    def _accept(self, module, answer, task_vars):
        """What counts of an answer: it is the word of the host that was asked."""
        host = self._task.delegate_to or task_vars["inventory_hostname"]
        data = decode(answer)
        if data is None:
            said = ending(answer)
            do = causes.advice(said) or "look at what else that host says (journalctl -b), and run again"
            return {**answers.failed("the module ended without a result: " + said, do), "_ansible_parsed": False}
        return wrap_var(diffs.shown(self._check_answer(module, host, data))) | {"_ansible_parsed": True}

    def _check_answer(self, module, host, data):
        return self._accept_one(module, host, self._task.args, data)

    def _accept_one(self, module, host, arguments, data):
        answer = answers.accept(module, host, arguments, data)
        if "time" in answer:
            answer["notes"] = [*answer.get("notes", ()), *answers.clocks(answer["time"], *self._asked)]
        return answer

    # Whether input goes to a command's standard input, which is one round trip.
    _piped = None
    # The seconds that the program has to get to the target, while it is on its way.
    _uploads = 0

    # Characters that one answer may have.
    _most = answers.MOST_CHARACTERS

    def _low_level_execute_command(self, *args, **kwargs):
        """Run a command as Ansible does."""
        with bounded(self._connection, self._most):
            return super()._low_level_execute_command(*args, **kwargs)

    def _execute(self, script, data):
        """Run a script on the target that reads data."""
        if self._piped is None:
            become = self._connection.become
            # In ansible-core 2.14 su does not say it itself.
            self._piped = self._connection.has_pipelining and (not become or getattr(become, "pipelining", True) and become.name != "su")
        if self._piped:
            answer = self._low_level_execute_command(one_line(script), in_data=data)
            if not answer["rc"] or not any(WANTS_TERMINAL in line for line in answer["stderr_lines"]):
                return answer
            self._piped = False
        if not self._connection._shell.tmpdir:
            self._make_tmp_path()  # which Ansible removes after the task
        folder = self._connection._shell.tmpdir
        path = self._connection._shell.join_path(folder, "input")
        self._transfer_data(path, data)
        self._fixup_perms2((folder, path), execute=False)
        self._ssh_arguments(terminal=True)
        answer = self._low_level_execute_command(INPUT.format(path=shlex.quote(path)) + one_line(script))
        self._ssh_arguments()
        return answer

    def _ssh_arguments(self, terminal=False):
        """Have ssh notice a target that is gone, and open no terminal that nobody needs."""
        if self._connection.transport != "ssh":
            return
        others = (self._connection.get_option("ssh_extra_args") or "").removesuffix(NO_TERMINAL).strip().removesuffix(KEEPALIVE)
        ours = KEEPALIVE if terminal else KEEPALIVE + " " + NO_TERMINAL
        self._connection.set_option("ssh_extra_args", (others.strip() + " " + ours).strip())
        for program in ("sftp", "scp"):
            others = (self._connection.get_option(program + "_extra_args") or "").removesuffix(NO_TERMINAL_FOR_FILES.strip()).strip()
            self._connection.set_option(program + "_extra_args", (others + NO_TERMINAL_FOR_FILES).strip())

    def _wants_fresh_connection(self, module, task_vars):
        """A change counts as confirmed only if a new connection can be made.
        One that ControlPersist kept open proves nothing."""
        if self._confirms(module):
            return True
        return boolean(self._variable(task_vars, "wgmesh_fresh_connection", False), strict=False)

    def _confirms(self, module):
        return confirms(module, self._task.args)

    def _variable(self, task_vars, name, default):
        """A variable of the host the task runs on, which may be delegated."""
        delegated = task_vars.get("ansible_delegated_vars", {}).get(self._task.delegate_to, {})
        return self._templar.template(delegated.get(name, task_vars.get(name, default)))

    def _dirs(self, task_vars):
        """Where root and other users keep builds, as words for the shell. Another host's folder is not that of this one."""
        if self._task.delegate_to:
            task_vars = task_vars.get("ansible_delegated_vars", {}).get(self._task.delegate_to, {})
        other = self._templar.template(task_vars.get("wgmesh_remote_dir"))
        return [shlex.quote(other)] * 2 if other else [ROOT_DIR, USER_DIR]

    def _environment(self):
        """What goes before a command, for the variables of the task."""
        environment = self._compute_environment_string()
        return "env " + environment if environment else ""

    def _start_command(self, module, task_vars):
        dirs = self._dirs(task_vars)
        return START.format(
            cases="\n".join(
                "'%s') build=%s ;;" % (system, build["sha256"])
                for system, build in manifest(module).items()
            ),
            dirs=" ".join(dirs),
            check="" if dirs == [ROOT_DIR, USER_DIR] else CHECK,
            environment=self._environment(),
            module=shlex.quote(module),
            answer=ANSWER,
        )

    def _upload(self, module, system, task_vars):
        builds, foreign = manifest(module), system.partition("foreign ")[2]
        if foreign:
            raise Refusal("%s on the target belongs to somebody else" % foreign, "set wgmesh_remote_dir to a folder of root's, or of who logs in")
        if system not in builds:
            there = ", ".join(sorted(builds))
            raise Refusal("the target is %s" % system, "wgmesh.router has builds for %s only; a clone makes all by `make collection`" % there)
        build = builds[system]
        path = os.path.join(BUILDS, build["file"])
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError as err:
            raise Refusal("the collection lacks a build: %s" % err, "run `make collection`") from err

        Display().vvv("wgmesh.router: uploading %s" % path)
        left = signal.alarm(0)  # 0: the task has no timeout
        host = self._task.delegate_to or task_vars["inventory_hostname"]
        self._uploads = upload_time("%s %s" % (host, build["sha256"]), left)
        if left:
            signal.alarm(self._uploads)
        root_dir, user_dir = self._dirs(task_vars)
        answer = self._execute(UPLOAD.format(build=build["sha256"], root_dir=root_dir, user_dir=user_dir, answer=ANSWER), content)
        signal.alarm(left)
        self._uploads = 0
        state, _space, where = (target_answer(answer) or "").partition(" ")
        if state == "damaged":
            raise Refusal("%s is not what the manifest names, or is damaged on its way" % path, "run `make collection`")
        if state == "noexec":
            raise Refusal("%s on the target is mounted noexec" % where, "set wgmesh_remote_dir to a folder where programs may run")
        if state != "done":
            where = " of %s" % self._task.delegate_to if self._task.delegate_to else ""
            raise Refusal("uploading to the target: %s" % ending(answer), "make room there, or set wgmesh_remote_dir%s to a folder that can be written" % where)


def upload_time(what, left):
    """Return how many seconds this upload may take, of which the task has some left."""
    # The folder is this run's. Each task is a process of its own.
    first = os.path.join(C.DEFAULT_LOCAL_TMP, "wgmesh-" + hashlib.sha256(what.encode()).hexdigest())
    os.close(os.open(first, os.O_CREAT, 0o600))
    return max(left, min(UPLOAD_TIME, int(os.stat(first).st_mtime + UPLOAD_TIME - time.time())))


def confirms(module, arguments):
    return module in ("bird_config", "mesh_guard") and arguments.get("state") == "confirmed"


def one_line(script):
    return " ".join(line.strip() for line in script.splitlines())


def disarmed(err):
    """The same error where its text may be ssh's and the other end's: that of a transfer has no class of its own."""
    kind = AnsibleConnectionFailure if isinstance(err, AnsibleConnectionFailure) else type(err)
    if kind not in (AnsibleConnectionFailure, AnsibleError):
        return err  # of a variable, say: it is the user's
    return kind(answers.printable(str(err)[:answers.LONGEST_LINE], lines=True))


@contextlib.contextmanager
def bounded(connection, most=answers.MOST_CHARACTERS):
    """Refuse what a command says that is too much before Ansible reads it."""
    execute = connection.exec_command

    def refusing(*args, **kwargs):
        try:
            with limited():
                status, *outputs = execute(*args, **kwargs)
            much = next(filter(None, (answers.too_much(output, most) for output in outputs if isinstance(output, (bytes, str)))), None)
        except Flood as flood:
            end_commands(flood)
            much = "without an end"
        if much:
            raise Refusal("it answered %s" % much, "expected at most %d MB and %d lines: look at what else that host says (journalctl -b)" % (
                most / 1e6, answers.MOST_LINES))
        return (status, *outputs)

    connection.exec_command = refusing
    try:
        yield
    finally:
        connection.exec_command = execute


@contextlib.contextmanager
def limited():
    """Have what Ansible reads of a host, which it has no limit for, end before it is MOST_MEMORY. A timer looks, which runs
    only while this process is busy."""
    began = memory()

    def look(_signal, _frame):
        if memory() - began > MOST_MEMORY:
            raise Flood

    before = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, 0.1, 0.1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def memory():
    """The most bytes that this process, which is that of one task of one host, has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def end_commands(err):
    """End the ssh that waits for a target for ever. It is a local variable of
    what an exception interrupted, and known to nobody else."""
    for frame, _line in traceback.walk_tb(err.__traceback__):
        for value in list(frame.f_locals.values()):
            if isinstance(value, subprocess.Popen):
                value.kill()


def manifest(module):
    """The builds of a module's program: {uname -sm: {file, sha256}}."""
    path = os.path.join(BUILDS, "manifest.json")
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except OSError as err:
        raise Refusal("the collection has no builds: %s" % err, "run `make collection`") from err
    builds = data.get(PROGRAMS.get(module, "wgmesh"))
    if builds is None:  # .ci/stage host
        raise Refusal("only what a lab needs is staged, without this module", "run `make collection`")
    return {system: builds[name] for system, name in SYSTEMS.items() if name in builds}


def target_answer(answer):
    """What the target's shell says instead of a result, if it does."""
    for line in reversed(answer["stdout_lines"]):
        if line.startswith(ANSWER):
            return line[len(ANSWER):]
        if line.startswith("{"):
            return None
    return None


def decode(answer):
    """The last line that is a JSON object, which is what a module answers, or None."""
    for line in reversed(answer["stdout_lines"]):
        try:
            data = json.loads(line) if answers.values(line) <= answers.MOST_VALUES else None
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict):
            return data
    return None


def without_chatter(lines):
    """What the other end said. ssh writes to the same standard error, with ansible-playbook -vvvv above all."""
    return [line for line in lines if not SSH_CHATTER.match(line)]


def ending(answer):
    """How a command ended, on one line. A program in Go says first why it dies, and prints its registers last."""
    for output in ("stderr_lines", "stdout_lines"):  # a terminal makes one of both
        lines = [line for line in without_chatter(answer[output]) if line.strip()]
        if lines:
            break
    else:
        lines = ["nothing on standard error"]
    said = next((line for line in lines if line.startswith(("fatal error: ", "panic: "))), lines[-1])
    return answers.line("exit status %s, %s" % (answer["rc"], said), 300)
