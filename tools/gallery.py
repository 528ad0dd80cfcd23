"""Run the built-in studies, and keep their pages for the gallery of the docs; bring README to what `make demo` found.

    python tools/gallery.py              # docs/gallery/STUDY.html at quick scale, ignored by git
    python tools/gallery.py --pictures   # also docs/images/gallery-STUDY.png; needs Chromium
    python tools/gallery.py --readme     # README and docs/images/demo-*.png, after `make demo`; the same
    python tools/gallery.py --tutorials  # docs/images/tutorial-*.png and how-*.png, after `make demo`

Finished training runs in `runs/` are used again.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

import assay
from assay.report.context import PageContext

ROOT = Path(__file__).resolve().parents[1]
STUDIES = ("nodule-loss", "source-matters", "lesion-loss-ood", "dr-pretraining")
WIDTH, HEIGHT = 1280, 900
LARGEST = 150_000  # bytes of a picture
SIDE = 240  # px of an image in a picture of the docs
DEMO = {"study": Path("runs/nodule-loss-quick"), "audit": Path("demo/audit")}
"""Folders of the runs of `make demo`."""
TOLERANCE = (
    "On another type of processor the same seeds give slightly different networks: values may differ by up to two "
    "standard errors, and a decision near its limit can change "
    "([measured](docs/reliability.md#the-same-seeds-on-another-machine))."
)
"""What is promised of the demo's values, and held by tests/thorough/test_processors.py."""


def make_page(study: str, out: Path) -> Path:
    """Run what is missing of a study at quick scale, and copy its page into the gallery's folder."""
    report = assay.load(study, scale="quick").run(out).report()
    page = ROOT / "docs" / "gallery" / f"{study}.html"
    page.parent.mkdir(exist_ok=True)
    return Path(shutil.copyfile(report, page))


def verdict(run: Path) -> str:
    """Return the headline of a run."""
    context = PageContext.of(run)
    return context.page.text(context).verdict


def demo_words(where: Path) -> str:
    """Return what the runs of a demo found, as README has it."""
    headlines = {name: verdict(where / run) for name, run in DEMO.items()}
    pictures = "".join(f"![The first screen of its {name}](docs/images/demo-{name}.png)\n\n" for name in DEMO)
    study, audit = headlines["study"], headlines["audit"]
    return f"{pictures}The demo found this. The study: **{study}** The audit: **{audit}** {TOLERANCE}"


def readme(where: Path) -> None:
    """Put the words and the first screens of a demo into README and the docs."""
    for name, run in DEMO.items():
        picture(where / run / "report.html", ROOT / "docs" / "images" / f"demo-{name}.png", verdict(where / run))
    file = ROOT / "README.md"
    block = re.compile(r"(?<=<!--demo-->\n).*?(?=\n<!--/demo-->)", re.DOTALL)
    file.write_text(block.sub(lambda _: demo_words(where), file.read_text(encoding="utf-8")), encoding="utf-8")


def picture(page: Path, file: Path, headline: str = "") -> None:
    """Keep the first screen of a page as a PNG of few colors, with its headline as metadata."""
    from PIL.PngImagePlugin import PngInfo
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        tab.goto(page.as_uri())
        shot = tab.screenshot()
        browser.close()
    image, info = Image.open(io.BytesIO(shot)).convert("RGB"), PngInfo()
    info.add_itxt("verdict", headline)
    for colors in (256, 128, 64, 32):
        image.quantize(colors, Image.Quantize.MAXCOVERAGE, kmeans=2).save(file, optimize=True, pnginfo=info)
        if file.stat().st_size <= LARGEST:
            return


def tutorials(where: Path) -> None:
    """Make the pictures of the tutorials and of "How an audit works", from the demo in a folder and three more runs."""
    images, pages = (
        ROOT / "docs" / "images",
        {
            "look": "looks/my-images",
            "own-study": "runs/my-images",
            "preview": "looks/runs/nodule-loss-quick/preview",  # of a study that was not trained yet
        },
    )
    if not (where / "my-images").exists():
        before = [(command, where) for command in ("example my-images", "look my-images", "run my-images/study.yaml")]
        for command, place in (*before, ("preview nodule-loss --scale quick", where / "looks")):
            subprocess.run([sys.executable, "-m", "assay", *command.split()], cwd=place, check=True)
    for name, run in pages.items():
        picture(where / run / "report.html", images / f"tutorial-{name}.png")
    exchange(where / "demo", images / "how-exchange.png")
    pairs = sorted((where / DEMO["audit"] / "pictures").glob("moved-*.png"))[:2]
    side_by_side([Image.open(pair).convert("L").resize((2 * SIDE, SIDE)) for pair in pairs], images / "how-mark.png")


def exchange(demo: Path, file: Path) -> None:
    """Draw an image, one of the other class, and the first with a region of the second, outlined in orange."""
    with (demo / "data.csv").open(encoding="utf-8") as rows:
        first = {row["mass"]: row["image"] for row in reversed(list(csv.DictReader(rows)))}
    target, donor = (Image.open(demo / first[mass]).convert("RGB").resize((SIDE, SIDE), 0) for mass in ("yes", "no"))
    region = (2 * SIDE // 3, 0, SIDE - 1, SIDE // 3)
    exchanged = target.copy()
    exchanged.paste(donor.crop(region), region[:2])
    for image in (target, donor, exchanged):
        ImageDraw.Draw(image).rectangle(region, outline=(230, 120, 0), width=3)
    side_by_side([target, donor, exchanged], file)


def side_by_side(images: Sequence[Image.Image], file: Path) -> None:
    """Write images in a row, with gaps of white."""
    gap, width = 8, sum(image.width for image in images)
    sheet = Image.new(images[0].mode, (width + gap * (len(images) - 1), images[0].height), "white")
    left = 0
    for image in images:
        sheet.paste(image, (left, 0))
        left += image.width + gap
    sheet.quantize(128).save(file, optimize=True)


def main() -> None:
    """Make the gallery."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "runs", help="folder of the runs")
    parser.add_argument("--pictures", action="store_true", help="also make docs/images/gallery-STUDY.png")
    parser.add_argument("--readme", action="store_true", help="bring README to the demo of this checkout, nothing else")
    parser.add_argument("--tutorials", action="store_true", help="make the pictures of the tutorials, nothing else")
    options = parser.parse_args()
    if options.tutorials:
        tutorials(ROOT)
        return
    if options.readme:
        readme(ROOT)
        return
    for study in STUDIES:
        page = make_page(study, options.out)
        print(page)
        if options.pictures:
            picture(page, ROOT / "docs" / "images" / f"gallery-{study}.png")


if __name__ == "__main__":
    main()
