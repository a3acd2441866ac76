"""The page in a browser: what a person does on it, with a mouse, with keys alone, and on a telephone.

Needs Debian's ``chromium``, and the packages ``playwright`` and ``axe-playwright-python``; skipped without.
"""

import base64
import csv
import json
import shutil
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from PIL import Image

from drfm.gallery.embedded import Embedded
from drfm.gallery.torch_engine import load_encoder
from drfm.serving.records import Records
from drfm.serving.service import Service
from drfm.serving.web import make_app

browsers = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("chromium is not installed", allow_module_level=True)

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
ANSWER = 6
"""Images in the gallery, and so in an answer without filters."""
TRANSFER = """
([name, kind, text]) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const given = new DataTransfer();
  given.items.add(new File([bytes], name, { type: kind }));
  return given;
}
"""


class Listening:
    """A server of its own port on loopback, in a thread, that can be stopped."""

    def __init__(self, service: Service) -> None:
        import uvicorn

        self.service = service
        socket_ = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{socket_.getsockname()[1]}/"
        self._server = uvicorn.Server(uvicorn.Config(make_app(service), log_level="warning"))
        self._thread = threading.Thread(target=self._server.run, args=([socket_],), daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.02)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)

    def lines(self, name: str) -> list[dict]:
        path = self.service.records.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def service_of(bundle, gallery, records: Path) -> Service:
    return Service(Embedded(gallery), load_encoder(bundle.folder, "cpu"), Records(records))


@pytest.fixture(scope="module")
def site(bundle, gallery, tmp_path_factory):
    listening = Listening(service_of(bundle, gallery, tmp_path_factory.mktemp("page") / "records"))
    yield listening
    listening.stop()


@pytest.fixture(scope="module")
def browser():
    with browsers.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def open_page(browser, site):
    """Opens the page in an empty profile; at the end no script failed and no other host was asked."""
    contexts, asked, failed = [], [], []

    def opened(size=WIDE, scheme="light", address=None):
        context = browser.new_context(viewport=size, color_scheme=scheme, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("filechooser", lambda chooser: None)  # begun in time, so that no dialog opens before it
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.on("console", lambda line: failed.append(line.text) if "Content Security" in line.text else None)
        page.goto(address or site.address)
        wait(page, "!document.getElementById('about').textContent.startsWith('Loading')")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not failed
    assert {urlsplit(url).hostname for url in asked if not url.startswith("blob:")} == {"127.0.0.1"}


@pytest.fixture
def page(open_page):
    return open_page()


@pytest.fixture
def crop(crops, tmp_path) -> Path:
    """Far and blurry: fewer rows than the bundle's rule says, and enough for a verdict."""
    path = tmp_path / "crop.png"
    Image.open(crops / "2-1.png").resize((21, 49)).save(path)
    return path


def wait(page, expression: str) -> None:
    """Until it holds. Playwright's own way compiles text inside the page, which the page's policy forbids."""
    deadline = time.monotonic() + 10
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"never: {expression}"
        time.sleep(0.02)


def hits(page) -> list[dict]:
    """What a person reads in each place of the answer."""
    return page.eval_on_selector_all(
        ".hit",
        """all => all.map(one => ({
            similarity: one.querySelector('.similarity').textContent,
            verdict: one.querySelector('.verdict').textContent,
            text: one.querySelector('.meta').innerText,
            shown: one.querySelector('img').naturalWidth,
        }))""",
    )


def ask(page, crop: Path, count: int = ANSWER) -> None:
    page.set_input_files("#file", crop)
    settled(page, count)


def settled(page, count: int) -> None:
    wait(
        page,
        f"""!document.body.classList.contains('busy') && document.querySelectorAll('.hit').length === {count}
            && document.querySelector('#query img').naturalWidth > 0""",
    )
    page.wait_for_load_state("networkidle")


def again(page, count: int) -> None:
    page.click("#again")
    wait(page, f"document.querySelectorAll('.hit').length === {count}")


def transfer(page, path: Path, kind: str = "image/png"):
    text = base64.b64encode(path.read_bytes()).decode()
    return page.evaluate_handle(TRANSFER, [path.name, kind, text])


def test_a_crop_is_answered_with_its_size_its_twin_and_a_judged_list(page, site, crop):
    ask(page, crop)
    width, height = Image.open(crop).size
    assert f"{width} × {height} pixels" in page.inner_text("#size")
    assert "blurry" in page.inner_text("#size")
    assert page.evaluate("document.getElementById('crop').naturalWidth") == width
    assert page.evaluate("document.getElementById('twin').naturalHeight") == 32
    logged = site.lines("queries.jsonl")[-1]
    shown = hits(page)
    assert len(shown) == ANSWER
    for seen, line in zip(shown, logged["results"], strict=True):
        assert f"{line['similarity']:.3f}" in seen["similarity"]
        assert seen["verdict"] == line["verdict"]
        assert Path(line["path"]).name in seen["text"]
        assert seen["shown"] > 0
    assert logged["sha256"]


def test_what_is_invented_and_what_a_list_does_not_say_stands_beside_them(page, crops, crop):
    assert page.is_hidden("#invented")
    assert "mostly clothing" in page.inner_text("#start")
    ask(page, crop)
    assert page.is_hidden("#start")
    assert "invented detail, no evidence" in page.inner_text("#invented")
    assert "invented" in page.get_attribute("#twin", "alt")
    assert "never a finding" in page.inner_text("#read")
    assert "at most about 1 in 1,000 images of other people" in page.inner_text("#verdicts")
    assert "personal data" in page.inner_text("#personal")
    ask(page, crops / "1-0.png")  # sharp: its twin is smaller, and nothing in it is invented
    assert page.is_hidden("#invented")
    assert page.inner_text("#twin-name") == "Made smaller"


def test_pictures_that_say_little_are_warned_of(page, tmp_path):
    path = tmp_path / "scene.png"
    Image.new("RGB", (60, 40), (90, 60, 30)).save(path)
    ask(page, path)
    assert "cut out one person" in page.inner_text("#shape")
    assert "below 48 rows" in page.inner_text("#warning")
    assert {hit["verdict"] for hit in hits(page)} == {"no evidence"}


def test_law_and_licences_are_on_the_page(page):
    assert "What law and licences ask" in page.inner_text("footer")
    page.click("#to-law")
    for word in ("GDPR", "AI Act", "personal data", "log", "no legal advice"):
        assert word in page.inner_text("footer")
    assert "A note on how it was found." in page.inner_text("#notes")


def test_a_crop_can_be_dropped_and_pasted(page, site, crops):
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer(page, crops / "3-1.png")})
    settled(page, ANSWER)
    first = site.lines("queries.jsonl")[-1]
    page.evaluate(
        "given => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: given }))",
        transfer(page, crops / "4-1.png"),
    )
    wait(page, f"!document.getElementById('crop').src.includes('{first['query']}')")
    settled(page, ANSWER)
    second = site.lines("queries.jsonl")[-1]
    sizes = [Image.open(crops / name).size for name in ("3-1.png", "4-1.png")]
    assert [(line["width"], line["height"]) for line in (first, second)] == sizes
    assert first["sha256"] != second["sha256"]


def test_filters_choose_which_images_take_part(page, crop):
    ask(page, crop)
    page.check("input[name=camera][value=yard]")
    again(page, 3)
    assert all("camera yard" in hit["text"] for hit in hits(page))
    assert "fit the filters" in page.inner_text("#status")
    page.click("button[type=reset]")
    page.fill("input[name=person]", "Anna <b>")
    again(page, 1)
    assert "Anna <b>" in hits(page)[0]["text"]
    page.click("button[type=reset]")
    page.fill("input[name=since]", "2026-05-01T12:04:00")
    again(page, 2)
    page.click("button[type=reset]")
    page.fill("input[name=field]", "colour=red")
    page.fill("input[name=k]", "1")
    again(page, 1)
    assert "colour red" in hits(page)[0]["text"]
    page.fill("input[name=k]", "20")
    page.fill("input[name=field]", "colour=blue")
    again(page, 0)
    assert "No image" in page.inner_text("#status")
    assert page.is_hidden("#read")
    assert page.is_hidden("#exports")
    page.click("button[type=reset]")
    page.check("input[name=one_per_track]")
    again(page, 3)


def test_why_shows_both_images_with_their_maps(page, crop):
    ask(page, crop)
    page.click(".hit:nth-child(2) button:has-text('Why')")
    wait(page, "document.querySelectorAll('#maps img').length === 8")
    wait(page, "[...document.querySelectorAll('#maps img')].every(one => one.naturalWidth > 0)")
    assert page.locator("#maps h3").all_inner_texts() == ["Your crop", "Image 2"]
    assert "not that it is right" in page.inner_text("#why")
    captions = page.locator("#maps figcaption").all_inner_texts()
    assert captions[::2] == ["enlarged, invented", "as captured", "as captured", "made smaller"]
    page.click("#close")
    assert page.is_hidden("#why")


def test_without_maps_the_page_says_where_they_are(open_page, bundle, gallery, crop, tmp_path, monkeypatch):
    monkeypatch.setattr(Service, "explains", False)
    other = Listening(service_of(bundle, gallery, tmp_path / "records"))
    page = open_page(address=other.address)
    ask(page, crop)
    page.locator(".hit").first.press("y")
    page.wait_for_selector("#why-status:has-text('exported model')")
    assert page.is_hidden("#why-lead")
    other.stop()


def test_marks_are_kept_shown_and_taken_back(page, site, crop):
    ask(page, crop)
    place = page.locator(".hit").first
    place.locator(".right").last.click()
    page.wait_for_selector(".hit.right")
    assert place.locator("button.right").get_attribute("aria-pressed") == "true"
    assert "marked right" in page.text_content("#told")
    place.locator("button.wrong").click()
    page.wait_for_selector(".hit.wrong")
    place.locator("button.wrong").click()
    wait(page, "!document.querySelector('.hit.wrong')")
    assert [line["mark"] for line in site.lines("marks.jsonl")][-3:] == ["right", "wrong", "none"]


def test_a_search_can_be_saved_as_it_is_shown(page, crop, tmp_path):
    ask(page, crop)
    page.locator(".hit").first.locator("button.right").click()
    page.wait_for_selector(".hit.right")
    saved = {}
    for kind in ("json", "csv"):
        with page.expect_download() as download:
            page.click(f"#{kind}")
        saved[kind] = tmp_path / download.value.suggested_filename
        assert saved[kind].suffix == f".{kind}"
        download.value.save_as(saved[kind])
    told = json.loads(saved["json"].read_text())
    rows = list(csv.DictReader(saved["csv"].open(encoding="utf-8-sig")))
    assert "personal data" in told["notice"]
    assert [row["path"] for row in rows] == [line["path"] for line in told["results"]]
    assert [line["mark"] for line in told["results"]] == ["right"] + ["none"] * (ANSWER - 1)
    assert [
        f"{float(row['similarity']):.3f}" in hit["similarity"]
        for row, hit in zip(rows, hits(page), strict=True)
    ]


def test_every_search_is_in_the_log_and_no_crop_is(page, site, crop):
    before = len(site.lines("queries.jsonl"))
    ask(page, crop)
    page.check("input[name=camera][value=door]")
    again(page, 3)
    logged = site.lines("queries.jsonl")[before:]
    assert [line["filter"] for line in logged] == [{}, {"camera": ["door"]}]
    assert not (site.service.records.folder / "crops").exists()
    assert "your crop itself is not kept" in page.text_content("#kept")


def test_all_of_it_with_keys_alone(page, site, crop):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "to-law"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    assert page.evaluate("getComputedStyle(document.querySelector('label.button')).outlineStyle") == "solid"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(crop)
    settled(page, ANSWER)
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('hit')"):
            break
    focused = "[...document.querySelectorAll('.hit')].indexOf(document.activeElement)"
    assert page.evaluate(focused) == 0
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(focused) == 1
    page.keyboard.press("r")
    page.wait_for_selector(".hit:nth-child(2).right")
    page.keyboard.press("w")
    page.wait_for_selector(".hit:nth-child(2).wrong")
    page.keyboard.press("w")
    wait(page, "!document.querySelector('.hit.wrong')")
    page.keyboard.press("y")
    wait(page, "document.querySelectorAll('#maps img').length === 8")
    page.keyboard.press("Escape")
    assert page.is_hidden("#why")
    assert page.evaluate(focused) == 1
    assert site.lines("marks.jsonl")[-1]["mark"] == "none"


def test_a_bad_file_is_one_line_that_can_be_seen_and_the_next_crop_is_answered(page, crop, tmp_path):
    bad = tmp_path / "notes.png"
    bad.write_bytes(b"these are no pixels")
    page.set_input_files("#file", bad)
    page.wait_for_selector("#error:visible")
    assert "is not an image" in page.inner_text("#error")
    assert page.get_attribute("#error", "role") == "alert"
    assert page.locator(".hit").count() == 0
    ask(page, crop)
    assert page.is_hidden("#error")
    page.fill("input[name=field]", "red")
    page.click("#again")
    page.wait_for_selector("#error:visible")
    assert "NAME=VALUE" in page.inner_text("#error")
    assert page.locator(".hit").count() == ANSWER


def test_a_service_that_is_gone_is_told(open_page, bundle, gallery, crop, tmp_path):
    other = Listening(service_of(bundle, gallery, tmp_path / "records"))
    page = open_page(address=other.address)
    ask(page, crop)
    other.stop()
    page.click("#again")
    page.wait_for_selector("#error:visible")
    assert "Is it still running?" in page.inner_text("#error")


def test_text_of_the_gallery_is_never_markup(page, crop):
    ask(page, crop)
    assert page.locator(".hit b:has-text('Anna')").count() == 0
    assert any("Anna <b>" in hit["text"] for hit in hits(page))


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_nothing_is_cut_off_at_the_side(open_page, crop, width):
    page = open_page(size={"width": width, "height": 800})
    ask(page, crop)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width < 500:  # large enough for a finger
        heights = page.eval_on_selector_all(
            ".acts button, #drop .button", "all => all.map(one => one.getBoundingClientRect().height)"
        )
        assert min(heights) >= 40


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_axe_finds_nothing_serious(open_page, crop, tmp_path, size, scheme):
    page = open_page(size=size, scheme=scheme)
    found = [("before", serious(page))]
    for summary in page.locator("summary").all():
        summary.click()
    ask(page, crop)
    page.locator(".hit").nth(0).locator("button.right").click()
    page.locator(".hit").nth(1).locator("button.wrong").click()
    page.wait_for_selector(".hit.wrong")
    page.wait_for_timeout(200)  # colours change gradually
    found.append(("answer", serious(page)))
    page.locator(".hit").nth(0).press("y")
    wait(page, "document.querySelectorAll('#maps img').length === 8")
    found.append(("why", serious(page)))
    page.keyboard.press("Escape")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no pixels")
    page.set_input_files("#file", bad)
    page.wait_for_selector("#error:visible")
    found.append(("error", serious(page)))
    assert [state for state in found if state[1]] == []


def serious(page) -> list[str]:
    result = axe.Axe().run(page).response
    assert SimpleNamespace(**result).testEngine["name"] == "axe-core"
    return [
        f"{one['id']}: {node['html'][:120]}"
        for one in result["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
