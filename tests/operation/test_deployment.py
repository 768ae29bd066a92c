"""What is shipped to run Clicktrail with: wheel, image, compose file. Each is used, or held to the source."""

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings
from tests.conftest import Clicktrail, impossible

ROOT = Path(__file__).parent.parent.parent
VARIABLES = {f"CLICKTRAIL_{name.upper()}" for name in Settings.model_fields}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("dist"))


def built(into: Path) -> Path:
    """Build the package as `make wheel` does, from a copy of what it is made of."""
    source = into / "source"
    source.mkdir()
    skip = shutil.ignore_patterns("__pycache__")
    for folder in ("app", "migrations"):
        shutil.copytree(ROOT / folder, source / folder, ignore=skip)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    words = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(into), str(source)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1790000000"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = into.glob("*.whl")
    return made


def test_the_same_source_builds_the_same_wheel_to_the_byte(wheel: Path, tmp_path: Path) -> None:
    assert (
        hashlib.sha256(built(tmp_path).read_bytes()).digest() == hashlib.sha256(wheel.read_bytes()).digest()
    )


def test_the_wheel_holds_the_migrations_and_the_tag_and_nothing_else_of_ours(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for path in (ROOT / "migrations" / "versions").glob("0*.py"):
        assert f"app/_migrations/versions/{path.name}" in names
    for name in ("c.js", "c.full.js"):
        assert zipfile.ZipFile(wheel).read(f"app/tag/{name}") == (ROOT / "app/tag" / name).read_bytes()
    assert {name.split("/")[0].rpartition(".")[2] for name in names} == {"app", "dist-info"}
    assert [name for name in names if "__pycache__" in name] == []


#: The image, without an engine to build it: another user, no rights, a root file system that cannot be
#: written to, a home that is not there; the wheel, and what it needs, as pip puts it.
BOXED = """
set -e
mount --bind "$PREFIX" "$BOX/python"
mount --bind "$SITE" "$BOX/needed"
mount --bind "$BOX/data" "$BOX/data"
mount -o remount,bind,ro /
cd /
exec setpriv --reuid=10001 --regid=10001 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \\
  env -i PATH=/usr/bin:/bin HOME=/nonexistent TMPDIR="$BOX/data" PYTHONDONTWRITEBYTECODE=1 \\
  LD_LIBRARY_PATH="$BOX/python/lib" PYTHONPATH="$BOX/wheel:$BOX/needed" CLICKTRAIL_DATA="$BOX/data" \\
  "$BOX/python/bin/python3" -P -m app.cli serve --port 0
"""


@pytest.fixture
def box(wheel: Path) -> Iterator[Path]:
    """A folder that everybody may enter, with the wheel installed in it."""
    if os.geteuid():
        impossible("only root may become another user and mount")
    made = Path(tempfile.mkdtemp(prefix="clicktrail-box-"))
    made.chmod(0o755)
    for name in ("python", "needed", "data"):
        (made / name).mkdir(mode=0o755)
    os.chown(made / "data", 10001, 10001)
    (made / "data").chmod(0o700)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "--target", str(made / "wheel"), str(wheel)], check=True, umask=0o022)
    yield made
    shutil.rmtree(made)


def test_the_wheel_serves_as_another_user_on_a_file_system_that_cannot_be_written(box: Path) -> None:
    site = Path(yaml.__file__).parent.parent
    told = {"BOX": str(box), "SITE": str(site), "PREFIX": sys.base_prefix}
    words = ["unshare", "--mount", "--propagation", "private", "bash", "-c", BOXED]
    with subprocess.Popen(words, env=os.environ | told, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                said.append(line)
                if line.startswith("Clicktrail is serving on "):
                    break
            running = Clicktrail(box / "data", said[-1].split()[-1] if said else "")
            running.keys = dict(line.split() for line in said if line.startswith("  "))
            with running.client("server") as client:
                lead = {"kind": "lead", "id": "l"}
                assert client.post("/v1/events?wait=stored", json=lead).json()["outcomes"] == ["stored"]
            status = Path(f"/proc/{process.pid}/status").read_text()
            assert "Uid:\t10001\t10001" in status and "CapEff:\t0000000000000000" in status
            written = list((box / "data").rglob("*"))
            assert {"clicktrail.db", "config.snapshot", "inbox"} <= {path.name for path in written}
            assert [path for path in written if stat.S_IMODE(path.lstat().st_mode) & 0o077] == []
        finally:
            process.terminate()
        assert process.wait(timeout=60) == 0


# --- The image ---------------------------------------------------------------------------------------------


def dockerfile() -> list[tuple[str, str]]:
    """(instruction, the rest), with continued lines joined."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def test_what_the_image_is_made_of_is_there() -> None:
    copied = [rest.split()[:-1] for word, rest in dockerfile() if word == "COPY" and "--from" not in rest]
    names = [name for one in copied for name in one]
    assert [name for name in names if not (ROOT / name).exists()] == []
    assert {"app", "migrations", "requirements.lock", "requirements-build.lock"} <= set(names)
    installed = " ".join(rest for word, rest in dockerfile() if word == "RUN")
    locks = ["requirements.lock", "postgres.lock", "requirements-build.lock"]
    assert re.findall(r"-r (\S+)", installed) == locks
    assert installed.count("--require-hashes") == 2


def test_the_image_runs_as_a_user_of_its_own_and_writes_to_its_volume_only() -> None:
    last = max(n for n, (word, _) in enumerate(dockerfile()) if word == "FROM")
    final = dict(dockerfile()[last:])
    assert final["USER"] == "10001" and "--uid 10001" in final["RUN"]
    environment = dict(pair.split("=", 1) for pair in final["ENV"].split())
    assert {name for name in environment if name.startswith("CLICKTRAIL_")} <= VARIABLES
    assert environment["CLICKTRAIL_DATA"] == environment["TMPDIR"] == final["VOLUME"] == "/data"
    assert json.loads(final["ENTRYPOINT"]) + json.loads(final["CMD"]) == ["clicktrail", "serve"]
    assert environment["CLICKTRAIL_PORT"] == final["EXPOSE"] and "/readyz" in final["HEALTHCHECK"]


def test_the_driver_in_the_image_is_the_one_that_tests_run_with() -> None:
    """After `make lock`: copy the lines of psycopg and psycopg-binary over."""
    locked = (ROOT / "requirements-dev.lock").read_text()
    lines = (ROOT / "integrations" / "container" / "postgres.lock").read_text().splitlines()
    wanted = [line.rstrip(" \\") for line in lines if not line.startswith("#")]
    assert [line for line in wanted if line not in locked] == []
    for name in ("psycopg", "psycopg-binary"):
        (block,) = re.findall(rf"^{name}==.*\n(?:    --hash.*\n)+", locked, re.M)
        assert [line for line in block.splitlines() if line.rstrip(" \\") not in wanted] == []


def test_the_compose_file_gives_what_the_image_needs() -> None:
    told: dict[str, Any] = yaml.safe_load((ROOT / "integrations/container/compose.yaml").read_text())
    service = told["services"]["clicktrail"]
    assert service["environment"].keys() <= VARIABLES
    assert all(":?" in value for value in service["environment"].values()), "a secret with a default is none"
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert {volume.split(":")[0] for one in told["services"].values() for volume in one["volumes"]} == {
        *told["volumes"]
    }
    assert (ROOT / "integrations" / "container" / service["build"] / "Dockerfile").resolve().exists()
    assert int(service["stop_grace_period"].rstrip("s")) >= 40
