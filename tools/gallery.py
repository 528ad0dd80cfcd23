"""Run the built-in studies, and keep their pages for the gallery of the docs.

    python tools/gallery.py                        # docs/gallery/STUDY.html at quick scale, ignored by git
    python tools/gallery.py --default --pictures   # also docs/images/gallery-STUDY.png; needs Chromium

Finished training runs in `runs/` are used again.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

import assay

ROOT = Path(__file__).resolve().parents[1]
STUDIES = ("nodule-loss", "source-matters", "lesion-loss-ood", "dr-pretraining")
WIDTH, HEIGHT = 1280, 900
LARGEST = 150_000  # bytes of a picture


def made(study: str, scale: str | None, out: Path) -> Path:
    """Return the page of a study in the gallery's folder, and run what is missing."""
    page = assay.load(study, scale=scale).run(out).report()
    kept = ROOT / "docs" / "gallery" / f"{study}.html"
    kept.parent.mkdir(exist_ok=True)
    return Path(shutil.copyfile(page, kept))


def picture(page: Path, file: Path) -> None:
    """Keep the first screen of a page as a PNG of few colors."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        tab.goto(page.as_uri())
        shot = tab.screenshot()
        browser.close()
    image = Image.open(io.BytesIO(shot)).convert("RGB")
    for colors in (256, 128, 64, 32):
        image.quantize(colors, Image.Quantize.MAXCOVERAGE).save(file, optimize=True)
        if file.stat().st_size <= LARGEST:
            return


def main() -> None:
    """Make the gallery."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "runs", help="folder of the runs")
    parser.add_argument("--default", action="store_true", help="default scale instead of quick")
    parser.add_argument("--pictures", action="store_true", help="also make docs/images/gallery-STUDY.png")
    asked = parser.parse_args()
    for study in STUDIES:
        page = made(study, None if asked.default else "quick", asked.out)
        print(page)
        if asked.pictures:
            picture(page, ROOT / "docs" / "images" / f"gallery-{study}.png")


if __name__ == "__main__":
    main()
