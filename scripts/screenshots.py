"""Takes pictures of the pages below a folder of reports, for people to look at: phone and desk, light, dark, printed.

python scripts/screenshots.py reports [--out FOLDER] [--pages report.html ...]

Needs Chromium and poppler-utils (`make browser`), and the packages of the extra `test`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.browser import DESK, PHONE, SCHEMES, launched, visited  # noqa: E402

# Chromium's own limit of a picture's height
HIGHEST = 16_000
DOTS_PER_INCH = 60


def pages_of(reports: Path, names: list[str]) -> list[Path]:
    """The pages below the folder, those of links left out, so that `latest` is not taken twice."""
    found = [reports] if reports.is_file() else [path for path in sorted(reports.rglob("*.html")) if path.is_file()]
    return [path for path in found if not names or path.name in names]


def take(browser: Any, page: Path, out: Path) -> list[Path]:
    """The pictures of one page; returns their files."""
    made = []
    for width in (PHONE, DESK):
        for scheme in SCHEMES:
            with visited(browser, page, width, scheme) as visit:
                height = min(HIGHEST, visit.page.evaluate("() => document.documentElement.scrollHeight"))
                visit.page.set_viewport_size({"width": width, "height": max(height, 600)})
                made.append(out / f"{width}-{scheme}.png")
                visit.page.screenshot(path=str(made[-1]))
                if (width, scheme) == (DESK, SCHEMES[0]):
                    visit.printed(out / "print.pdf")
    if shutil.which("pdftoppm"):
        argv = ["pdftoppm", "-r", str(DOTS_PER_INCH), "-png", str(out / "print.pdf"), str(out / "print")]
        subprocess.run(argv, check=True)
    return [*made, *sorted(out.glob("print*.png"))]


def main() -> int:
    """Take the pictures and print their names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path, help="a folder of reports or of a run, or one page")
    parser.add_argument("--out", type=Path, default=Path("screenshots"), help="where the pictures go")
    parser.add_argument("--pages", nargs="*", default=[], help="only pages of these names")
    given = parser.parse_args()
    pages = pages_of(given.reports, given.pages)
    if not pages:
        sys.stderr.write(f"no page below {given.reports}\n")
        return 4
    try:
        with launched() as browser:
            for page in pages:
                base = given.reports if given.reports.is_dir() else page.parent
                out = given.out / page.relative_to(base).with_suffix("")
                out.mkdir(parents=True, exist_ok=True)
                for picture in take(browser, page, out):
                    sys.stdout.write(f"{picture}\n")
    except RuntimeError as absent:
        sys.stderr.write(f"{absent}\n")
        return 10
    return 0


if __name__ == "__main__":
    sys.exit(main())
