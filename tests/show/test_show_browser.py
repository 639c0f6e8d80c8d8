"""The page in a real browser: each use by hand, by keyboard, on a phone; and a hostile page, which gets nothing."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from served_pages import Served, stripes

playwright = pytest.importorskip("playwright.sync_api")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no browser is installed")]


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A page that is open, with all that it said on the console and asked for elsewhere."""

    def __init__(self, browser, served: Served, width: int = 1440, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page, self.console, self.outside = self.context.new_page(), [], []
        self.page.set_default_timeout(60_000)
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("request", lambda request: self._note(request.url, served.address))
        self.page.goto(served.address)
        playwright.expect(self.page.locator("#facts")).to_contain_text("A model of")

    def _note(self, url: str, address: str) -> None:
        if not url.startswith((address, "data:", "blob:")):
            self.outside.append(url)

    def done(self, panel: str) -> str:
        """What the panel says when its computation has ended."""
        self.page.wait_for_selector(f'#panel-{panel}[aria-busy="false"]')
        return self.page.text_content(f"#panel-{panel} .status")

    def picture(self, canvas: str) -> str:
        """What a canvas shows, as a text to compare."""
        return self.page.evaluate(f"document.querySelector('#{canvas}').toDataURL()")

    def overflow(self) -> int:
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def close(self) -> None:
        """Ends the visit: nothing was said on the console, nothing was asked elsewhere, nothing is wider than the window."""
        assert self.overflow() == 0
        assert (self.console, self.outside) == ([], [])
        self.context.close()


def test_draw_and_slide_to_the_noise(browser, images):
    visit = Visit(browser, images)
    page = visit.page
    page.fill("#steps", "6")
    page.click("#draw")
    assert visit.done("draw").startswith("Done")
    assert page.text_content("#level") == "the samples"
    samples = visit.picture("draw-canvas")
    page.focus("#frame")
    page.keyboard.press("Home")
    assert page.text_content("#level").startswith("noise level") and page.text_content("#level").endswith("step 0 of 6")
    noise = visit.picture("draw-canvas")
    assert noise != samples
    page.keyboard.press("End")
    assert visit.picture("draw-canvas") == samples
    assert page.text_content("#command") == "scorefield sample stripes -n 16 --seed 0 --steps 6 -o new.npy"
    page.fill("#sampler", "nothing")
    page.click("#draw")
    assert visit.done("draw").startswith("unknown sampler 'nothing'")
    visit.close()


def test_condition_on_a_label(browser, images):
    visit = Visit(browser, images)
    pictures = []
    for label in ("0", "1"):
        visit.page.select_option("[data-given=label]", label)
        visit.page.click("#draw")
        assert visit.done("draw").startswith("Done")
        assert f"--given label={label}" in visit.page.text_content("#command")
        pictures.append(visit.picture("draw-canvas"))
    assert pictures[0] != pictures[1]
    visit.close()


@pytest.mark.parametrize("keyboard", [False, True])
def test_paint_a_mask_and_complete_it(browser, images, keyboard):
    visit = Visit(browser, images)
    page = visit.page
    page.click("#tab-paint")
    page.fill("#noise", "0.2")
    page.click("#base")
    visit.done("paint")
    known = visit.picture("paint-canvas")
    caption = page.locator("#panel-paint figcaption").first
    assert caption.text_content().startswith("0 % hidden")
    if keyboard:
        page.focus("#paint-canvas")
        for key in ("ArrowLeft", " ", "Shift+ArrowUp"):
            page.keyboard.press("Space" if key == " " else key)
    else:
        box = page.locator("#paint-canvas").bounding_box()
        page.mouse.move(box["x"] + 10, box["y"] + 10)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] - 10, box["y"] + 10, steps=12)
        page.mouse.up()
    assert not caption.text_content().startswith("0 % hidden")
    assert visit.picture("paint-canvas") != known
    page.fill("#count", "3")
    page.fill("#steps", "6")
    page.click("#complete")
    assert visit.done("paint").startswith("Done")
    assert "mean squared misfit" in page.locator("#panel-paint figcaption").last.text_content()
    visit.close()


def test_interpolate(browser, images):
    visit = Visit(browser, images)
    visit.page.click("#tab-between")
    visit.page.fill("#frames", "4")
    visit.page.select_option("#through", "noise")
    visit.page.click("#between")
    assert visit.done("between").startswith("Done")
    assert len(visit.picture("between-canvas")) > 1000
    visit.close()


def test_log_densities_of_a_file(browser, images, tmp_path):
    visit = Visit(browser, images)
    np.save(tmp_path / "zeichen ä.npy", stripes()[0][:4])
    visit.page.click("#tab-density")
    visit.page.set_input_files("#file", tmp_path / "zeichen ä.npy")
    visit.page.fill("#probes", "2")
    visit.page.fill("#tolerance", "0.05")
    visit.page.click("#density")
    assert visit.done("density").startswith("Done")
    assert visit.page.text_content("#panel-density figcaption").startswith("zeichen ä.npy, 4 rows: mean")
    assert visit.page.locator("#density-rows tr").count() == 5
    visit.close()


def test_the_report_runs_no_script(browser, images):
    visit = Visit(browser, images)
    visit.page.click("#tab-report")
    frame = visit.page.frame_locator("#report")
    playwright.expect(frame.locator("p")).to_have_text("What to conclude")
    assert visit.page.evaluate("window.hacked") is None
    assert any("script" in message for message in visit.console)  # the browser says that it ran none
    visit.console.clear()
    visit.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_table_on_a_phone(browser, table, scheme):
    visit = Visit(browser, table, 390, scheme)
    page = visit.page
    assert page.locator("#tab-paint").is_hidden() and not page.locator("#count").is_visible()
    page.click("#draw")
    assert visit.done("draw").startswith("Done")
    assert visit.overflow() == 0
    page.click("#settings > summary")
    page.select_option("[data-given=mode]", "rail")
    page.click("#draw")
    visit.done("draw")
    page.click("#rows > summary")
    assert {row.split()[0] for row in page.locator("#rows tr").all_inner_texts()[1:]} == {"rail"}
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(253, 252, 249)" if scheme == "light" else "rgb(22, 22, 24)")
    visit.close()


def test_by_keyboard_alone(browser, images):
    visit = Visit(browser, images)
    page = visit.page
    page.focus("#seed")
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("7")
    page.keyboard.press("Enter")
    assert visit.done("draw").startswith("Done") and "--seed 7 " in page.text_content("#command")
    page.focus("#tab-draw")
    for panel in ("paint", "between", "density", "report", "draw"):
        page.keyboard.press("ArrowRight")
        assert page.locator(f"#panel-{panel}").is_visible()
        assert page.evaluate("document.activeElement.id") == f"tab-{panel}"
    visit.console.clear()  # the report has a script, which is not run
    visit.close()


HOSTILE = """<!doctype html><title>hostile</title><iframe id=a src="{address}"></iframe><script>
const found = [], done = [];
const note = (name, work) => done.push(work.then((r) => found.push([name, r]), () => {{}}));
const all = async (r) => [r.type, r.status, await r.text()];
const loads = (element, url) => new Promise((yes, no) => {{
  Object.assign(element, {{ onload: () => yes("loaded"), onerror: no, src: url }});
}});
for (const mode of ["cors", "no-cors"]) {{
  note(mode, fetch("{address}api/about", {{ mode }}).then(all));
  note("post " + mode, fetch("{address}api/stop", {{ method: "POST", mode, body: "{{}}" }}).then(all));
}}
note("script", import("{address}main.js").then(() => "loaded"));
note("image", loads(new Image(), "{address}report"));
Promise.all(done).then(() => {{ window.found = found; document.title = "finished"; }});
</script>"""


def test_a_hostile_page_gets_nothing_even_with_the_token(browser, images, tmp_path):
    (tmp_path / "index.html").write_text(HOSTILE.format(address=images.address))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page, answers = browser.new_page(), []
    page.on("response", lambda answer: answers.append((answer.url, answer.status)))
    page.goto(f"http://localhost:{server.server_port}/")
    playwright.expect(page).to_have_title("finished", timeout=30_000)
    found = page.evaluate("window.found")
    assert all(answer[0] == "opaque" and not answer[2] for _, answer in found), found  # opaque: nothing can be read
    others = [status for url, status in answers if url.startswith(images.address)]
    assert others and set(others) == {403}
    assert page.frame_locator("#a").locator("#facts").count() == 0
    page.close()
    server.shutdown()
