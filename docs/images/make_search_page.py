"""Make search-page.png, a picture of the search page with drawn pedestrians.

    python docs/images/make_search_page.py --work /tmp/search-page

It draws people, trains on them for some minutes, opens the page in Debian's Chromium and takes the picture.
What the page shows is what this model found; marks follow the names of the files. `--all FOLDER` takes
pictures light and dark, wide and narrow, of the page before a search, of the answer, and of the explanation.
"""

import argparse
import io
import socket
import threading
import time
from pathlib import Path

import uvicorn
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from drfm import recipes
from drfm.config.load import load_config
from drfm.data.build import build_benchmark
from drfm.data.choices import BuildChoices
from drfm.data.drawn import draw_dataset
from drfm.data.readers import read_dataset
from drfm.files import write_atomic
from drfm.gallery.embedded import Embedded
from drfm.gallery.items import Item
from drfm.gallery.torch_engine import load_encoder
from drfm.serving.start import make_service
from drfm.serving.web import make_app

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
PERSONS, TEST_PERSONS, SHOTS = 60, 40, 6
NOON = 1_777_636_800.0  # 2026-05-01T12:00:00Z
CAMERAS = ("entrance", "platform", "stairs")
WIDE, NARROW = (1280, 940), (390, 844)
MARKED = 3
"""Images of the answer that are marked, right or wrong as their names say, before the picture is taken."""


def prepare(work: Path) -> tuple[Path, Path, Path]:
    """A bundle and a gallery of drawn people, and a blurry crop of one of them; made once."""
    drawn = draw_dataset(work / "drawn", persons=PERSONS, shots=SHOTS, test_persons=TEST_PERSONS)
    bundle, gallery = work / "bundle", work / "station"
    if not bundle.exists():
        choices = BuildChoices(name="Drawn pedestrians", lr_camera="fixed:2", downsample="never")
        build_benchmark(read_dataset("market-style", drawn), work / "benchmark", choices)
        settings = load_config("demo")
        recipes.train(
            work / "benchmark", work / "run", settings, cache=work / "cache", say=print, extra={"drawn": True}
        )
        recipes.bundle(work / "run", bundle)
        recipes.calibrate_bundle(bundle, work / "benchmark", possible=0.02, likely=0.002)
    if not gallery.exists():
        encoder = load_encoder(bundle, "cpu")
        files = sorted((drawn / "test").glob("*_c1_*"))
        items = [
            Item(str(file), CAMERAS[at % 3], NOON + 47 * at, None, f"t{at // 2:03}")
            for at, file in enumerate(files)
        ]
        store = Embedded.create(gallery, encoder.dimension, encoder.id)
        store.add(items, encoder.encode([item.path for item in items]))
        store.close()
    return bundle, gallery, sorted((drawn / "test").glob("*_c2_*"))[2]


def serve(bundle: Path, gallery: Path, records: Path) -> tuple[uvicorn.Server, str]:
    """A server on a free port of this machine, and its address."""
    service = make_service(str(gallery), bundle, None, records)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(service), log_level="warning"))
    threading.Thread(target=server.run, args=([listening],), daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    return server, f"http://127.0.0.1:{listening.getsockname()[1]}/"


def opened(browser: Browser, address: str, size: tuple[int, int], scheme: str, scale: float = 1) -> Page:
    """The page in a window of its own."""
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, device_scale_factor=scale
    )
    page.goto(address)
    page.wait_for_selector("#about:not(:text('Loading'))")
    return page


def ask(page: Page, crop: Path) -> None:
    """Search for a crop, and wait until its answer is shown with all pictures in view."""
    page.set_input_files("#file", crop)
    page.wait_for_selector(".hit")
    page.wait_for_load_state("networkidle")
    for place in page.locator(".hit").all()[:MARKED]:
        same = crop.name[:4] in place.locator(".meta b").inner_text()[:4]
        place.locator("button.right" if same else "button.wrong").click()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.wait_for_timeout(400)


def main() -> None:
    """Write search-page.png beside this script, or all pictures into a folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--all", type=Path)
    given = parser.parse_args()
    bundle, gallery, crop = prepare(given.work)
    server, address = serve(bundle, gallery, given.work / "records")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        if given.all is None:
            page = opened(browser, address, WIDE, "light")
            ask(page, crop)
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            file = io.BytesIO()
            picture.quantize(256, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
            write_atomic(Path(__file__).with_name("search-page.png"), file.getvalue())
        else:
            given.all.mkdir(parents=True, exist_ok=True)
            for scheme in ("light", "dark"):
                for width, size in (("wide", WIDE), ("narrow", NARROW)):
                    page = opened(browser, address, size, scheme)
                    page.screenshot(path=given.all / f"{width}-{scheme}-empty.png", full_page=True)
                    ask(page, crop)
                    page.screenshot(path=given.all / f"{width}-{scheme}-answer.png", full_page=True)
                    page.locator(".hit").first.press("y")
                    page.wait_for_selector("#maps img")
                    page.wait_for_timeout(300)
                    page.screenshot(path=given.all / f"{width}-{scheme}-why.png")
                    page.close()
        browser.close()
    server.should_exit = True


if __name__ == "__main__":
    main()
