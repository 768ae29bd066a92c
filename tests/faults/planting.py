"""Run a module of Clicktrail with one bug planted, in the process that is started and in all its children."""

import runpy
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from app import serve


def run(bugs: Mapping[str, Callable[[], None]], script: str) -> None:
    """`python SCRIPT BUG -m MODULE [ARGUMENTS]`: the children are started by the same script."""
    bug, _, module, *arguments = sys.argv[1:]

    def command(environment: Mapping[str, str], *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-P", script, bug, "-m", "app.child", *arguments]
        return subprocess.Popen(words, env=environment, process_group=0, **options)

    serve.command = command
    bugs[bug]()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
