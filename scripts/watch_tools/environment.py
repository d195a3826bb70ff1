"""The virtual environment of scripts/watch_tools/install."""
import os
import pathlib
import sys

FOLDER = pathlib.Path(os.environ.get("EVILMOE_WATCH_TOOLS") or
                      pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "evilmoe/watch_tools")


def enter():
    """Goes on in it, where it is; does nothing where it is not, or this is it."""
    python = FOLDER / "bin/python"
    if python.exists() and pathlib.Path(sys.prefix).resolve() != FOLDER.resolve():
        os.execv(python, [str(python), *sys.argv])
