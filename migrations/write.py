"""Writes a migration from the difference between app/tables.py and what the migrations make so far.

python migrations/write.py what_changed     a new revision, to be read and corrected before it is kept
python migrations/write.py --first          0001 again; only until the first release
"""

import subprocess
import sys

from alembic import command
from alembic.config import Config

from app import db, migrate


def main(name: str) -> None:
    versions = migrate.folder() / "versions"
    known = migrate.revisions()
    if name == "--first":
        if len(known) > 1:
            sys.exit("0001 is history: later migrations build on it")
        for old in versions.glob("0001_*.py"):
            old.unlink()
        name, known = "first_schema", []
    number = f"{len(known) + 1:04d}"
    config = Config()
    config.set_main_option("script_location", str(migrate.folder()))
    config.attributes["batch"] = bool(known)
    with db.begin(db.connect("sqlite://", pool=1)) as connection:
        config.attributes["connection"] = connection
        if known:
            command.upgrade(config, "head")
        command.revision(config, name.replace("_", " "), autogenerate=True, rev_id=number)
    made = next(versions.glob(f"{number}_*.py"))
    lines = [line for line in made.read_text().splitlines() if "auto generated" not in line]
    made.write_text("\n".join(line for line in lines if "end Alembic commands" not in line) + "\n")
    subprocess.run(["ruff", "check", "--quiet", "--fix", str(made)], check=True)
    subprocess.run(["ruff", "format", "--quiet", str(made)], check=True)


if __name__ == "__main__":
    main(sys.argv[1])
