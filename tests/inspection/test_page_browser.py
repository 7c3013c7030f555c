"""The page in a real browser: it opens from disk, answers pointer and keys, and asks nothing of a network."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import architectures
import pytest
from inspected import make_run

from attento.inspection.page import build_page
from attento.inspection.reading import read
from attento.inspection.view import make_view

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no chromium on this machine")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def show(chromium: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens a page of a sentence; afterwards nothing may have gone wrong or been asked for."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    problems: list[str] = []

    def opened(text: str, target: str | None = None, name: str = "transformer") -> Any:
        run = make_run("translation", architectures.TRANSLATION[name])
        path = tmp_path / "page.html"
        path.write_text(build_page(make_view(run, read(run, text, target))), encoding="utf-8")
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith("file:") else problems.append(request.url))
        page.goto(path.as_uri())
        return page

    yield opened
    context.close()
    assert problems == []


def test_grid_and_views(show: Any) -> None:
    page = show("the bridge and the cloud", "apple 3")
    # Two layers of three heads, their average and maximum.
    assert page.locator("#grid .cell").count() == 2 * 5
    for view in ("flow", "alignment", "words", "heads"):
        page.click(f"#tab-{view}")
        assert page.locator(f"#{view}").is_visible()
        assert page.locator(f"#{view}").inner_text().strip()
    assert page.locator("#pharaoh").text_content()


def test_pointing_at_a_token_says_what_it_looks_at_and_who_looks_at_it(show: Any) -> None:
    page = show("the bridge and the cloud", "apple 3")
    page.hover('[data-place="left 0"]')
    assert "looks at" in page.locator("#sides-said").inner_text()
    page.hover('[data-place="right 1"]')
    assert "is looked at by" in page.locator("#sides-said").inner_text()
    page.locator(".matrix canvas").hover(position={"x": 5, "y": 5})
    assert "with 0." in page.locator("#said").inner_text()


def test_layer_and_head_by_click_and_by_key(show: Any) -> None:
    page = show("the bridge and the cloud", "apple 3")
    title = page.locator("#heads .detail h2").first
    page.click('[aria-label="layer 0, head 2"]')
    assert title.inner_text() == "decoder.0.cross_attention · head 2"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    assert title.inner_text() == "decoder.1.cross_attention · head 1"
    page.keyboard.press("k")
    assert "encoder" in title.inner_text()
    page.click('[aria-label="layer 1, rollout"]')
    assert title.inner_text().endswith("rollout")


def test_the_alignment_of_all_layers_and_of_one(show: Any) -> None:
    page = show("the bridge and the cloud", "apple 3")
    page.click("#tab-alignment")
    assert page.locator("#layers button").all_inner_texts() == ["all layers", "layer 0", "layer 1"]
    assert "the mean of 6 heads of 2 layers" in page.locator("#alignment").inner_text()
    page.click("#layers button:nth-child(3)")
    assert "the mean of 3 heads of decoder.1.cross_attention" in page.locator("#alignment").inner_text()
    assert page.evaluate("document.activeElement.textContent") == "layer 1"
    page.locator("#alignment canvas").first.hover(position={"x": 5, "y": 5})
    assert "looks at" in page.locator("#alignment .said").inner_text()


def test_words_and_hidden_marks(show: Any) -> None:
    page = show("the bridge and the cloud", "apple 3")
    page.check("#join")
    page.check("#hide")
    assert page.locator(".right .token").all_inner_texts() == ["the", "bridge", "and", "the", "cloud"]
    page.focus('[data-place="left 0"]')
    page.keyboard.press("ArrowDown")
    assert page.locator("#sides-said").inner_text().startswith("3 looks at")


@pytest.mark.parametrize("text", ["שלום עולם", "مرحبا بالعالم", "今天天气很好", "x <script>throw 1</script> <b>"])
def test_any_script_is_shown_as_text(show: Any, text: str) -> None:
    page = show(text, text)
    assert page.locator("header .text").all_inner_texts() == [text, text]
    assert page.locator("header .text").first.get_attribute("dir") == "auto"
    page.check("#join")
    page.check("#hide")
    assert page.locator(".right .token").all_inner_texts() == text.split()
    page.click("#tab-alignment")
    assert page.locator("#alignment .side span").all_inner_texts() == text.split()


def test_two_hundred_tokens(show: Any) -> None:
    text = " ".join(["the bridge and the cloud"] * 40)
    page = show(text, text)
    page.check("#join")
    assert page.locator(".left .token").count() == 201
    page.hover('[data-place="left 3"]')
    assert "looks at" in page.locator("#sides-said").inner_text()
    for view in ("flow", "alignment", "words"):
        page.click(f"#tab-{view}")
    # What is wide scrolls in its own frame, not the page.
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_a_model_without_attention_says_so(show: Any) -> None:
    page = show("the bridge", name="rnn_gru")
    assert page.locator("#flow").is_visible()
    page.click("#tab-heads")
    assert "no attention" in page.locator("#heads").inner_text()


def test_a_phone_in_the_dark(show: Any) -> None:
    page = show("the bridge and the cloud", "apple 3")
    page.set_viewport_size({"width": 390, "height": 800})
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    for view in ("heads", "flow", "alignment", "words"):
        page.click(f"#tab-{view}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
