"""Draws terminal.svg, the picture in the README: a real service, the demo, its table. `make picture`."""

import io
import re
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from app.demo.load import show
from tests.conftest import Clicktrail

WIDTH = 110


def console() -> Console:
    return Console(file=io.StringIO(), record=True, width=WIDTH)


with tempfile.TemporaryDirectory() as folder:
    running = Clicktrail(Path(folder) / "data").start()
    try:
        said = console()
        show(running.url, running.keys, console=said)
    finally:
        running.stop()

picture = console()
picture.print("$ make run")
picture.print(Text.from_ansi(said.export_text(styles=True).partition("A first event")[0].rstrip()))
drawing = picture.export_svg(title="make run")
# No fonts from elsewhere: a picture in a README asks nobody for anything.
drawing = re.sub(r"@font-face \{.*?\n    \}\n", "", drawing, flags=re.DOTALL)
Path(__file__).with_name("terminal.svg").write_text(drawing)
