"""The applications have test suites of their own, which are run in the applications."""

from pathlib import Path

collect_ignore = [each.name for each in Path(__file__).parent.iterdir() if (each / ".gitignore").is_file()]
