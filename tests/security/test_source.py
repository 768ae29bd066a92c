"""S2, S9, S11: what the source may not hold, whoever writes it: SQL put together from text, code made from
data, secrets compared with ==, secrets themselves, and dependencies known to be broken.

Beside ruff's S rules (decision 0016); these know what is a secret here, and where SQL goes.
"""

import ast
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pysqlite3
import pytest
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import default_settings

ROOT = Path(__file__).parents[2]

# --- SQL, and code made from data -----------------------------------------------------------------------

#: What takes SQL as text. Its argument is a literal, or a name of a literal, or a statement of SQLAlchemy's.
TAKES_SQL = {"text", "literal_column", "exec_driver_sql", "execute", "executemany", "executescript", "copy",
             "scalar", "scalars", "DDL"}  # fmt: skip

#: What may stand inside SQL all the same, by file: names of our own tables and numbers of our own reckoning.
INSIDE = {
    "app/bulk.py": {"table", "', '.join(quoted)", "beside", "table.name"},
    "app/db.py": {"pragma", "BUSY", "round(patience * 1000)", "name"},
    "app/doctor.py": {"name"},
    "app/events/months.py": {"name", "inside", "low", "high", "moved", "LOCK_SECONDS"},
    "app/events/relational.py": {"WEEK"},
    "app/inbox/segment.py": {"SCHEMA", "pragma"},
    "app/metrics/store.py": {"i"},
    "app/migrate.py": {"limit"},
}

#: What turns data into code, or starts a shell.
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "system", "popen", "yaml.load", "getoutput"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "yaml", "jsonpickle", "xml", "telnetlib"}

#: A name that holds a secret, or what proves the knowledge of one.
SECRET = re.compile(
    r"(^|_)(secret|sig|signature|mac|hmac|password|token|api_key|admin_key)s?$", re.IGNORECASE
)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _put_in(node: ast.expr) -> set[str]:
    """What an f-string puts into its text."""
    parts = node.values if isinstance(node, ast.JoinedStr) else []
    return {ast.unparse(part.value) for part in parts if isinstance(part, ast.FormattedValue)}


def _is_put_together(node: ast.expr) -> bool:
    """Whether an expression makes text out of parts: f"", %, +, .format, .join, .replace."""
    if isinstance(node, ast.JoinedStr):
        return bool(_put_in(node))
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Mod | ast.Add)
    if isinstance(node, ast.Call):
        return _called(node) in ("format", "join", "replace", "format_map", "substitute")
    return False


def faults(source: str, file: str) -> Iterator[str]:
    """What one file may not do, by line."""
    tree = ast.parse(source)
    made = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and _is_put_together(node.value)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _call_faults(node, made, file)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            for name in names:
                if name.partition(".")[0] in FORBIDDEN_MODULES:
                    yield f"{file}:{node.lineno} imports {name}"
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
            for side in (node.left, *node.comparators):
                name = side.attr if isinstance(side, ast.Attribute) else getattr(side, "id", "")
                if SECRET.search(name) and not name.isupper():
                    yield f"{file}:{node.lineno} compares {name} by =="


def _call_faults(node: ast.Call, made: dict[str, ast.expr], file: str) -> Iterator[str]:
    name = _called(node)
    bare = isinstance(node.func, ast.Name)
    if (bare and name in FORBIDDEN_CALLS) or ast.unparse(node.func) in ("os.system", "os.popen", "yaml.load"):
        yield f"{file}:{node.lineno} calls {ast.unparse(node.func)}"
    if any(one.arg == "shell" and ast.unparse(one.value) != "False" for one in node.keywords):
        yield f"{file}:{node.lineno} starts a shell"
    if name in TAKES_SQL and node.args:
        given = node.args[0]
        given = made.get(given.id, given) if isinstance(given, ast.Name) else given
        inside = _put_in(given)
        if _is_put_together(given) and not (inside and inside <= INSIDE.get(file, set())):
            yield f"{file}:{node.lineno} puts SQL together: {ast.unparse(given)}"


def test_no_file_puts_sql_together_makes_code_of_data_or_compares_secrets_by_equality() -> None:
    files = sorted((ROOT / "app").rglob("*.py"))
    assert len(files) > 100
    found = [fault for file in files for fault in faults(file.read_text(), str(file.relative_to(ROOT)))]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        'connection.execute(text(f"SELECT {name}"))', 'connection.execute(text("SELECT %s" % name))',
        'connection.exec_driver_sql("SELECT " + name)', 'cursor.execute("SELECT {}".format(name))',
        'sql = f"SELECT {zone}"\ncursor.execute(sql)', 'literal_column(f"{column}")', "eval(said)",
        "import pickle", "from yaml import load", "subprocess.run(said, shell=True)", "os.system(said)",
        "signature == signed(url)", "if mac != row.mac: pass", "return self.secret == other", "exec(said)",
        "__import__(said)",
    ],
)  # fmt: skip
def test_each_of_these_planted_in_a_file_is_found(line: str) -> None:
    assert len([*faults(line, "planted.py")]) >= 1


# --- Secrets --------------------------------------------------------------------------------------------

#: Findings that are none: examples with their published hashes, and addresses whose password must be refused.
NO_SECRETS = {
    ("tests/campaigns/test_fields.py", "Basic Auth Credentials"),
    ("tests/collect/test_hashing.py", "Basic Auth Credentials"),
    ("tests/collect/test_hashing.py", "Hex High Entropy String"),
    ("tests/contract/test_redirects.py", "Basic Auth Credentials"),
    ("tests/operation/test_unsafe.py", "Basic Auth Credentials"),
    ("tests/operation/test_unsafe.py", "Hex High Entropy String"),
}
NOT_SCANNED = (".lock", ".svg")  # hashes of packages; a picture


def found_in(files: list[str]) -> set[tuple[str, str]]:
    found = SecretsCollection(root=str(ROOT))
    with default_settings():
        for file in files:
            found.scan_file(file)
    return {(file, secret.type) for file, secret in found}


def test_no_secret_is_committed(tmp_path: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    files = [name for name in listed.split("\0") if name and not name.endswith(NOT_SCANNED)]
    files = [name for name in files if (ROOT / name).is_file()]
    assert len(files) > 200
    planted = tmp_path / "planted.py"
    planted.write_text('aws = "AKIA' + 'IOSFODNN7EXAMPL2"\npassword = "hunter2' + 'hunter2hunter2"\n')
    assert found_in([*files, str(planted)]) - NO_SECRETS == {
        (str(planted), "AWS Access Key"), (str(planted), "Secret Keyword"),
    }  # fmt: skip


# --- Dependencies ---------------------------------------------------------------------------------------

#: The first versions without what is named: known without asking anybody.
FLOORS = {
    "starlette": ("1.3.1", "CVE-2026-48710, CVE-2026-54283: path and form limits"),
    "fastapi": ("0.109.1", "CVE-2024-24762: content-type ReDoS"),
    "uvicorn": ("0.11.7", "CVE-2020-7694, CVE-2020-7695: log injection, response splitting"),
    "h11": ("0.16.0", "CVE-2025-43859: chunked bodies"),
    "httptools": ("0.6.0", "llhttp's request smuggling fixes"),
    "idna": ("3.7", "CVE-2024-3651: quadratic encoding"),
    "sqlalchemy": ("1.3.0", "CVE-2019-7164: order_by and group_by text"),
    "pydantic": ("2.4.0", "CVE-2024-3772: ReDoS of e-mail"),
    "certifi": ("2024.7.4", "CVE-2024-39689: a root removed"),
}


def locked() -> dict[str, str]:
    """What Clicktrail runs on, transitive dependencies included."""
    text = (ROOT / "requirements.lock").read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==([^\s\\;]+)", text, re.MULTILINE))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


@pytest.mark.parametrize("name", FLOORS)
def test_no_dependency_is_older_than_its_last_repair(name: str) -> None:
    floor, why = FLOORS[name]
    found = locked().get(name)
    assert found is None or _numbers(found) >= _numbers(floor), why
    if found is not None:
        assert _numbers(version(name)) >= _numbers(floor), why


def test_the_sqlite_that_is_linked_in_loses_no_transaction() -> None:
    assert pysqlite3.sqlite_version_info >= (3, 51, 3)


def test_every_dependency_is_locked_by_hash_and_counted(report: Callable[[str], None]) -> None:
    text = (ROOT / "requirements.lock").read_text()
    names = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    direct = {re.split(r"[<>=\[]", name)[0] for name in names}
    assert direct <= set(locked())
    assert text.count("--hash=sha256:") >= len(locked())
    assert not re.search(r"@ (git|https?|file)", text)
    report(f"S11: {len(direct)} direct dependencies, {len(locked())} with what they need, all locked by hash")
