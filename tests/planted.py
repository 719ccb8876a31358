"""planted.py - a copy of the tree in which something is broken on purpose.

sabotage.py and mutants.py plant faults one after another in such a copy, build what changed and run
the tests that should notice. The tree itself is never touched. A fault that does not apply, does not
compile or is seen by no test is for them to report.
"""
import os
import re
import shutil
import signal
import subprocess
import tempfile

BUILD = os.environ.get("B", "build")  # the same name there, or the written dependencies do not fit


class Copy:
    """The files git knows and those it does not ignore, with the build folder to begin from."""

    def __init__(self, flags=None):
        self.root = tempfile.mkdtemp(prefix="hone-planted-")
        self.flags = ["CFLAGS=" + flags] if flags else []
        names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                               check=True, stdout=subprocess.PIPE).stdout.decode().split("\0")
        for name in names:
            if name and os.path.isfile(name):
                os.makedirs(os.path.join(self.root, os.path.dirname(name)), exist_ok=True)
                shutil.copy2(name, os.path.join(self.root, name))
        if not flags and os.path.isdir(BUILD):
            shutil.copytree(BUILD, os.path.join(self.root, BUILD), symlinks=True,
                            ignore=shutil.ignore_patterns("corpus", "address-undefined", "thread", "*.log"))
        os.makedirs(os.path.join(self.root, "tmp"))

    def drop(self):
        shutil.rmtree(self.root, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.root, name)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as f:
            return f.read()

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)

    def run(self, command, seconds):
        """(status, output); status None: it was still running. All that it started is ended."""
        env = dict(os.environ, HONE_BUILD=BUILD, CMOCKA_MESSAGE_OUTPUT="tap", LC_ALL="C.UTF-8",
                   TMPDIR=self.path("tmp"), B=BUILD, MAKEFLAGS="-o Makefile")
        p = subprocess.Popen(command, cwd=self.root, env=env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            out = p.communicate(timeout=seconds)[0]
            status = p.returncode
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            out = p.communicate()[0]
            status = None
        return status, out.decode("utf-8", "replace")

    def build(self, targets):
        """What make and the compilers said, "" where all is well."""
        status, out = self.run(["make", "-s", "B=" + BUILD, *self.flags, *targets], 600)
        said = "\n".join(l for l in out.splitlines() if not re.match(r"  [A-Z]+\t", l))
        return "" if status == 0 else said or "make ended with status %s" % status

    def targets(self, tests):
        """What must be built for these tests: tests/x/t_y.c is a program, tests/t_y.sh a script."""
        programs = [BUILD + "/" + t[:-2] for t in tests if t.endswith(".c")]
        whole = ["all"] if any(t.endswith(".sh") for t in tests) else []
        return programs + whole

    def red(self, test, seconds):
        """The first thing in a test that is red, "" where it passes."""
        name = os.path.basename(test).rsplit(".", 1)[0]
        command = [BUILD + "/" + test[:-2]] if test.endswith(".c") else ["sh", test]
        status, out = self.run([os.path.join(self.root, command[0])] if len(command) == 1 else command,
                               seconds)
        for line in out.splitlines():
            m = re.match(r"not ok (?:\d+ - )?(.*)", line)
            if m and "# skip" not in line.lower():
                return name + ": " + m.group(1)
        if status is None:
            return name + ": it does not end"
        if status != 0:
            return name + (": signal %d" % -status if status < 0 else ": status %d" % status)
        return ""
