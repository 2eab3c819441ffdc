"""The trace page in a real headless Chromium: it steps, goes back, scrubs, breaks, asks and grades; and it is quiet."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

import minidl
import minidl.nn as nn
from minidl import inspect
from minidl.inspect.frame import lay_out
from tests.inspect import browser

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(browser.MISSING), reason=browser.MISSING)]
SCREENSHOTS = os.environ.get("MINIDL_SCREENSHOTS")  # a folder to put pictures of the page in


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with browser.chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def lstm_step():
    minidl.manual_seed(0)
    x, h, c = (minidl.randn(4, n) for n in (6, 5, 5))
    cell = nn.LSTMCell(6, 5)
    with inspect.trace():
        h, c = cell(x, (h, c))
        loss = h.square().mean()
    return inspect.backward(loss)


@pytest.fixture(scope="module")
def recording():
    return lstm_step()


@pytest.fixture(scope="module")
def address(recording, tmp_path_factory):
    return inspect.export(recording, tmp_path_factory.mktemp("page") / "trace.html").as_uri()


@pytest.fixture
def page(driver, address):
    page = Page(driver, address)
    yield page
    page.assert_quiet()


class Page:
    """The page, as a reader uses it."""

    def __init__(self, driver, address):
        self.driver, self.address = driver, address
        browser.requests(driver)
        driver.get_log("browser")
        driver.get("about:blank")
        driver.get(address)

    def assert_quiet(self):
        errors = [entry for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
        assert errors == []
        assert {url.partition("#")[0] for url in browser.requests(self.driver)} <= {
            self.address.partition("#")[0],
            "about:blank",
        }

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def press(self, *keys):
        from selenium.webdriver import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def click(self, selector):
        self.find(selector).click()

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    @property
    def step(self):
        """The number of the step that the panel shows; 0 before the first."""
        shown = self.run(
            "const e = document.querySelector('.step-head .count'); return e?.checkVisibility() ? e.textContent : ''"
        )
        return int(shown.split()[1]) if shown else 0

    @property
    def text(self):
        return self.find(".panel").text

    def picture(self, name):
        if SCREENSHOTS:
            time.sleep(0.5)
            self.driver.save_screenshot(str(Path(SCREENSHOTS) / name))


@pytest.fixture(scope="module")
def keys():
    from selenium.webdriver.common.keys import Keys

    return Keys


def test_steps_forward_and_back(page, recording, keys):
    assert page.step == 0
    assert page.find("#back").get_attribute("disabled")
    for step in recording:
        page.press(keys.ARROW_RIGHT)
        assert page.step == step.index + 1
        assert page.find(".op-name").text == step.op.label
        assert page.find(".card.current text").get_attribute("textContent") == step.op.label
        assert [e.text for e in page.all(".panel section:nth-of-type(2) figcaption .name")] == [
            local.value.name for local in step.local
        ]
    page.press(keys.ARROW_RIGHT)
    assert page.step == len(recording)
    for index in reversed(range(len(recording))):
        page.click("#back") if index % 2 else page.press(keys.ARROW_LEFT)
        assert page.step == index
    assert page.all(".card.current") == []


def test_the_step_is_told(page, recording, keys):
    page.press(*[keys.ARROW_RIGHT] * 5)
    page.picture("trace-page.png")
    step = recording[4]
    assert page.find(".formula").text == step.op.formula
    assert "Comes in" in page.text
    assert f"line {step.line.number}" in page.text
    assert step.line.text in page.text
    page.click(".full summary")
    assert page.find(".full pre").text.splitlines()[0] == step.explain().splitlines()[0]
    page.press(keys.ARROW_RIGHT)
    assert page.find(".full").get_attribute("open")  # stays open from step to step


def test_what_is_added_to_whom(page, recording, keys):
    page.press(keys.END)
    page.press("g")
    page.press(*"weight_hh", keys.ENTER)
    value = recording.nodes.find("weight_hh")
    assert page.step == recording.arrivals[value.id][-1] + 1
    assert page.find(".sum-head").text.split() == ["weight_hh", ".grad", "complete"]


def test_home_end_space_and_the_scrubber(page, recording, keys):
    page.press(keys.END)
    assert page.step == len(recording)
    page.press(keys.HOME)
    assert page.step == 0
    page.run("const s = document.getElementById('scrubber'); s.value = 7; s.dispatchEvent(new Event('input'))")
    assert page.step == 7
    assert page.find("#scrubber").get_attribute("aria-valuetext").startswith("step 7 of 19")
    page.run("document.activeElement.blur()")
    page.run("const s = document.getElementById('speed'); s.value = '20'; s.dispatchEvent(new Event('change'))")
    page.press(" ")
    deadline = time.time() + 20
    while page.step < len(recording) and time.time() < deadline:
        time.sleep(0.1)
    assert page.step == len(recording)
    assert page.find("#play").get_attribute("aria-label") == "play"


def test_play_pauses(page, keys):
    page.press(" ")
    assert page.find("#play").get_attribute("aria-label") == "pause"
    page.press(" ")
    at = page.step
    time.sleep(0.8)
    assert page.step == at


def test_breaks_on_a_norm(page, recording, keys):
    limit = sorted(step.norm for step in recording[1:])[-1] * 0.999
    page.press(keys.HOME, keys.ARROW_RIGHT, "b")
    field = page.find("#break-norm")
    field.clear()
    field.send_keys(str(limit))
    page.click("#break-run")
    expected = next(step for step in recording[1:] if step.norm > limit)
    assert page.step == expected.index + 1
    assert "is above" in page.find("#notice").get_attribute("textContent")


def test_breaks_at_an_operator_and_says_when_none_came(page, recording):
    page.press("b")
    page.run("const s = document.getElementById('break-op'); s.value = 'split'; s.dispatchEvent(new Event('change'))")
    page.click("#break-run")
    assert page.find(".op-name").text == "split"
    page.press("b")
    page.click("#break-run")
    assert page.step == len(recording)
    assert "no condition held" in page.find("#notice").get_attribute("textContent")


def test_breaks_on_a_nan(driver, tmp_path):
    x = minidl.tensor([0.0, 1.0], requires_grad=True)
    with inspect.trace():
        loss = (x.sqrt() * 0).sum()  # ∂ is 0 · ∞
    recording = inspect.backward(loss)
    page = Page(driver, inspect.export(recording, tmp_path / "nan.html").as_uri())
    page.press("b")
    page.click("#break-run")
    first = next(s for s in recording if s.has_nan or any(g.stats["inf"] for g in s._gradients()))
    assert page.step == first.index + 1
    assert "NaN" in page.find("#notice").get_attribute("textContent")
    assert "NaN" in page.text
    page.assert_quiet()


def test_predict_then_reveal(page, recording, keys):
    page.press("p", keys.ARROW_RIGHT)
    assert page.step == 0
    assert page.find(".question .prompt").text
    page.picture("trace-page-predict.png")
    question = recording.to_json()["steps"][0]["questions"][0]
    assert question["kind"] == "shape"
    page.press(*", ".join(map(str, question["answer"])), keys.ENTER)
    assert page.find("#score").text == "1 of 1"
    assert page.find(".verdict").text == f"Right. {question['reveal']}"
    page.press(keys.ENTER)
    assert page.step == 1
    page.press(keys.ARROW_RIGHT)  # the second asks for a sign
    answer = next(q["answer"] for q in recording.to_json()["steps"][1]["questions"] if q["kind"] == "sign")
    wrong = next(sign for sign in ("negative", "zero", "positive") if sign != answer)
    page.click(f".question input[value={wrong}]")
    page.click(".question button.main")
    assert page.find("#score").text == "1 of 2"
    assert page.find(".verdict").text.startswith("Not so.")
    page.click(".question button.main")
    assert page.step == 2
    page.press(keys.ARROW_LEFT, keys.ARROW_RIGHT)  # what was answered is not asked again
    assert page.step == 2


def test_answers_are_graded_as_the_recording_says(page):
    right = lambda question, given: page.run("return isRight(arguments[0], arguments[1])", question, given)
    shape = {"kind": "shape", "answer": [4, 3]}
    assert [right(shape, given) for given in ("4, 3", "(4, 3)", "4 × 3", "3, 4", "4", "")] == [True] * 3 + [False] * 3
    assert right({"kind": "shape", "answer": []}, "()")
    value = {"kind": "value", "answer": -0.5, "tolerance": 0.01}
    assert [right(value, given) for given in ("-0.5", "-.495", "-5e-1", "0.5", "about")] == [True] * 3 + [False] * 2


def test_numbers_on_hover(page, recording, keys):
    from selenium.webdriver import ActionChains

    page.press(keys.ARROW_RIGHT, keys.ARROW_RIGHT)
    canvas = page.find(".panel canvas")
    assert canvas.get_attribute("aria-label").startswith("heat map of shape 4×5")
    gradient = recording[1].incoming[0].array
    width, height = canvas.size["width"], canvas.size["height"]
    for row, column in ((0, 0), (3, 4), (2, 1)):
        dx, dy = width * ((column + 0.5) / 5 - 0.5), height * ((row + 0.5) / 4 - 0.5)
        ActionChains(page.driver).move_to_element_with_offset(canvas, int(dx), int(dy)).perform()
        place, _, number = page.find("#tip").text.rpartition(" ")
        assert place == f"[{row}, {column}]"
        assert float(number) == pytest.approx(float(gradient[row, column]), rel=1e-5)


def test_positions_in_tensors_of_any_rank(page):
    name = lambda shape, grid, r, c: page.run(
        "const [rows, columns] = arguments[1], grid = Array.from({length: rows}, () => Array(columns).fill(0));"
        "return cellName({shape: arguments[0], grid}, arguments[2], arguments[3])",
        *(shape, grid, r, c),
    )
    assert name([], [1, 1], 0, 0) == "[]"
    assert name([5], [1, 5], 0, 3) == "[3]"
    assert name([2, 3, 4], [6, 4], 4, 1) == "[1, 1, 1]"
    assert name([100, 30], [24, 24], 0, 23) == "mean of rows 0 to 3, columns 28 to 29"


def test_boxes_close_and_open_and_the_step_inside_is_still_marked(page, keys):
    page.press(*[keys.ARROW_RIGHT] * 4)
    before = len(page.all(".card"))
    page.run("arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", page.find(".frame rect"))
    assert len(page.all(".card")) < before
    assert page.run("return document.querySelector('.card.current > text').textContent") == "cell"
    page.press(keys.ARROW_RIGHT)
    page.click(".scope button")
    assert len(page.all(".card")) == before
    assert page.find(".card.current text").get_attribute("textContent") == page.find(".op-name").text


def test_an_operator_that_is_clicked_is_gone_to(page, recording):
    step = recording[2]
    page.run(
        "arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", page.find(f"[data-key=op{step.op.id}]")
    )
    assert page.step == 3


def test_gradients_appear_as_the_pass_reaches_them(page, recording, keys):
    def known():
        cards = page.run(
            "return [...document.querySelectorAll('.card.op, .card.leaf')].filter(c => c.querySelector(':scope > .grad image,"
            " :scope > .grad > text')).map(c => c.dataset.key)"
        )
        return set(cards)

    for index in range(len(recording)):
        page.press(keys.ARROW_RIGHT)
        reached = {added.value.id for step in recording[: index + 1] for added in step.added}
        reached |= {recording.nodes.roots[0]}
        ops = {f"op{op.id}" for op in recording.nodes.ops if reached & set(op.outputs)}
        assert {key for key in known() if key.startswith("op")} == ops


def test_the_address_names_the_step(page, driver, address):
    driver.get("about:blank")
    driver.get(f"{address}#step=9")
    assert page.step == 9


def test_keys_and_help(page, keys):
    page.press("?")
    assert page.find("#help").is_displayed()
    page.press(keys.ARROW_RIGHT)  # belongs to the dialog
    page.press(keys.ESCAPE)
    assert not page.find("#help").is_displayed()
    assert page.step == 0
    zoom = lambda: page.run(
        "return new DOMMatrix(getComputedStyle(document.querySelector('.minidl-graph > g')).transform).a"
    )
    page.press("0")
    fitted = zoom()
    page.press("+")
    assert zoom() > fitted
    page.press("-", "-")
    assert zoom() < fitted


def test_it_is_named_and_reached_by_keyboard(page):
    nameless = page.run(
        "return [...document.querySelectorAll('button, input, select, canvas[role]')].filter(e => !(e.textContent.trim() ||"
        " e.getAttribute('aria-label') || e.labels?.length || e.getAttribute('placeholder'))).map(e => e.outerHTML)"
    )
    assert nameless == []
    assert page.run("return document.documentElement.lang") == "en"


CONTRAST = """
const channel = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = (rgb) => 0.2126 * channel(rgb[0]) + 0.7152 * channel(rgb[1]) + 0.0722 * channel(rgb[2]);
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
  if (c.length < 4 || c[3] > 0.99) return c; } return [255, 255, 255]; };
const bad = [];
for (const e of document.querySelectorAll('.panel *, .bar *, .transport *, .legend *')) {
  if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
  if (!e.checkVisibility() || e.closest('svg') || e.disabled) continue;
  const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
  if ((a + 0.05) / (b + 0.05) < 4.5) bad.push([e.className || e.tagName, e.textContent.slice(0, 30), (a + 0.05) / (b + 0.05)]);
}
return bad;
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(page, keys, theme):
    """Text stands out by 4.5 : 1 at least (WCAG 2.1, 1.4.3)."""
    page.press(*[keys.ARROW_RIGHT] * 3)
    page.run(f"document.documentElement.dataset.theme = '{theme}'")
    time.sleep(0.3)
    assert page.run(CONTRAST) == []
    if theme == "dark":
        page.press("0")
        page.press(keys.ARROW_RIGHT)
        page.picture("trace-page-dark.png")


def test_at_the_width_of_a_phone(page, driver, address, keys):
    browser.resize(driver, 390, 844)
    try:
        driver.get("about:blank")
        driver.get(f"{address}#step=12")
        assert page.run("return document.documentElement.scrollWidth") <= 390
        page.click("#next")
        assert page.step == 13
        for selector in ("#canvas", "#step", "#scrubber", "#goto-open", "#break-open"):
            element = page.find(selector)
            assert element.is_displayed()
            assert element.rect["x"] >= 0
            assert element.rect["x"] + element.rect["width"] <= 391
        page.picture("trace-page-phone.png")
    finally:
        browser.resize(driver, 1280, 800)


def test_five_hundred_steps_are_fluent(driver, tmp_path):
    minidl.manual_seed(0)
    x, model = minidl.randn(8, 16), nn.Sequential(*[nn.Sequential(nn.Linear(16, 16), nn.Tanh()) for _ in range(250)])
    with inspect.trace():
        loss = model(x).square().mean()
    recording = inspect.backward(loss)
    assert len(recording) >= 500
    page = Page(driver, inspect.export(recording, tmp_path / "long.html").as_uri())
    longest, mean = page.run(
        "const times = []; const next = document.getElementById('next');"
        "while (!next.disabled) { const t = performance.now(); next.click(); document.body.offsetHeight;"
        " times.push(performance.now() - t); }"
        "times.sort((a, b) => a - b); return [times.at(-5), times.reduce((a, b) => a + b) / times.length];"
    )
    assert page.step == len(recording)
    assert mean < 60, f"a step takes {mean:.0f} ms, the longest {longest:.0f}"
    page.assert_quiet()


@pytest.mark.parametrize("fold", [None, 0])
def test_the_page_puts_everything_where_python_does(driver, tmp_path, fold):
    """place.js and routes.js against layout.py, frame.py and routes.py."""
    minidl.manual_seed(0)
    x, layer = minidl.randn(2, 5, 8), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    with inspect.trace():
        loss = layer(x).square().mean()
    recording = inspect.backward(loss)
    page = Page(driver, inspect.export(recording, tmp_path / "trace.html", fold=fold).as_uri())
    found = page.run(
        "const g = drawGraph(readRecording(JSON.parse(document.getElementById('data').textContent)).picture.root, null);"
        "return [[...walk(g.placed)].map(p => [p.part.key, p.x, p.y, p.width]), g.lines.map(l => [l.wire, l.points])]"
    )
    from minidl.inspect.boxes import picture
    from minidl.inspect.routes import routes

    placed = lay_out(picture(recording.nodes, fold), recording.nodes, range(len(recording.nodes.values)))
    expected = [[p.part.key, p.x, p.y, p.width] for p in placed.walk()]
    assert [row[0] for row in found[0]] == [row[0] for row in expected]
    for a, b in zip(found[0], expected):
        assert a[1:] == pytest.approx(b[1:], abs=1e-6)
    lines = sorted([r.wire, [list(p) for p in r.points]] for r in routes(placed))
    assert len(lines) == len(found[1])
    for (wire, points), (other, expected_points) in zip(sorted(found[1]), lines):
        assert wire == other
        flat, expected_flat = (
            [at for point in points for at in point],
            [at for point in expected_points for at in point],
        )
        assert flat == pytest.approx(expected_flat, abs=1e-6)
    page.assert_quiet()


def test_an_untraced_page_says_so(driver, tmp_path):
    x = minidl.randn(3, requires_grad=True)
    page = Page(driver, inspect.export(x.exp().sum(), tmp_path / "trace.html").as_uri())
    assert "Values, lines and modules are not known" in page.find("#untraced p").text
    assert page.find("#untraced pre").text.splitlines() == ["with minidl.inspect.trace():", "    loss = …"]
    assert f"{x.exp().sum().item():.4f}"[:4] in page.text  # the loss is known all the same
    page.press("\ue014")
    assert "not known" in page.text
    page.assert_quiet()


def test_a_traced_page_has_nothing_to_say_at_its_top(page):
    assert not page.all("#untraced")


def test_a_saved_svg_opens_and_closes_its_boxes(driver, recording, tmp_path):
    path = inspect.graph(recording).save(tmp_path / "graph.svg")
    page = Page(driver, path.as_uri())
    before = len(page.all(".card, [data-key^=op]"))
    click = "arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    page.run(click, page.find("[data-key^=box]"))
    assert len(page.all("[data-key^=op]")) == 2  # square and mean
    page.run(click, page.find("[data-key^=box]"))
    assert len(page.all("[data-key^=op]")) == len(recording.nodes.ops)
    assert before >= len(recording.nodes.ops)
    page.assert_quiet()


def test_the_data_is_json(page, recording):
    data = json.loads(page.find("#data").get_attribute("textContent"))
    assert len(data["steps"]) == len(recording)
