"""The page of a report in Chromium, where there is one: its behaviour and its looks."""

import json
import re

import chromium
import pytest
import scored_experiments
from made_reports import LENGTH

from local.scoring import score_table


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if chromium.find() is None:
        pytest.skip("no Chromium here")
    with chromium.browser(tmp_path_factory.mktemp("chromium") / "profile") as tab:
        yield tab


@pytest.fixture
def tab(browser, made_report):
    """The page, freshly loaded, on a desk."""
    browser.resize(1280, 900)
    browser.log.clear()
    browser.requests.clear()
    browser.open(made_report[2] / "index.html")
    yield browser
    assert browser.log == []
    assert all(url.startswith(("file:", "data:")) for url in browser.requests)


CARDS = "[...document.querySelectorAll('.example')].filter(e => !e.hidden)"


def seen(tab, what):
    """A property of each example shown, in the order shown."""
    return tab.evaluate(f"{CARDS}.map(e => {what})")


def choose(tab, **fields):
    for name, value in fields.items():
        tab.evaluate(
            f"(e => {{ e.value = {json.dumps(value)};"
            "e.dispatchEvent(new Event('input', {bubbles: true})); })"
            f"(document.getElementById('{name}'))"
        )


def test_browser_sorts_by_snr_and_by_any_score(tab, made_report):
    scores = score_table.read_scores(made_report[2] / "scores.csv").set_index(["id", "source"])
    name = "e.querySelector('h3').textContent"
    snrs = seen(tab, "Number(e.dataset.snr)")
    assert snrs == sorted(snrs)
    assert len(snrs) >= 10
    choose(tab, order="snr down")
    assert seen(tab, "Number(e.dataset.snr)") == sorted(snrs, reverse=True)
    for source, metric in (("voice", "si_sdr"), ("noise", "sdr_v4_imp")):
        for way, reverse in (("up", False), ("down", True)):
            choose(tab, score=f"{source} {metric}", order=f"score {way}")
            values = [scores.loc[(example, source), metric] for example in seen(tab, name)]
            assert values == sorted(values, reverse=reverse)
            assert len(values) == len(snrs)
    shown = seen(tab, "e.querySelector('.shown').textContent")[0]
    assert shown == f"noise: SDR (v4) improvement {values[0]:.2f} dB"


def test_browser_filters_by_snr_and_score_and_shows_all_again(tab):
    count = len(seen(tab, "1"))
    choose(tab, level="-5")
    assert set(seen(tab, "e.dataset.level")) == {"-5"}
    assert tab.evaluate("document.getElementById('count').textContent").startswith(
        f"{len(seen(tab, '1'))} of {count}"
    )
    choose(tab, level="", score="voice si_sdr", least="8")
    value = "JSON.parse(e.dataset.scores)['voice si_sdr']"
    high = seen(tab, value)
    assert high
    assert min(high) >= 8
    choose(tab, least="", most="8")
    low = seen(tab, value)
    assert max(low) <= 8
    assert len(low) + len(high) == count
    choose(tab, least="1000", most="")
    assert seen(tab, "1") == []
    assert not tab.evaluate("document.getElementById('none').hidden")
    tab.evaluate("document.querySelector('button[type=reset]').click()")
    assert tab.evaluate(f"new Promise(done => setTimeout(() => done({CARDS}.length)))") == count


def test_browser_puts_failed_scores_last_and_outside_every_range(tab):
    tab.evaluate(
        "(e => { const s = JSON.parse(e.dataset.scores); s['voice si_sdr'] = null;"
        "e.dataset.scores = JSON.stringify(s); })(document.querySelector('.example'))"
    )
    # the script read the page when it was loaded: let it read again
    tab.evaluate("(0, eval)(document.querySelector('script').textContent)")
    count = len(seen(tab, "1"))
    for way in ("up", "down"):
        choose(tab, score="voice si_sdr", order=f"score {way}")
        assert seen(tab, "JSON.parse(e.dataset.scores)['voice si_sdr']")[-1] is None
    choose(tab, least="-1000")
    assert len(seen(tab, "1")) == count - 1


def test_browser_is_used_by_keyboard(tab):
    reached = []
    tab.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    assert tab.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    tab.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "content"
    tab.evaluate("document.getElementById('level').focus()")
    tab.press("ArrowDown")
    assert set(seen(tab, "e.dataset.level")) == {"-5"}
    for _ in range(12):
        reached.append(tab.evaluate("document.activeElement.id || document.activeElement.tagName"))
        style = "getComputedStyle(document.activeElement)"
        assert tab.evaluate(f"parseFloat({style}.outlineWidth)") >= 2 or reached[-1] == "AUDIO"
        tab.press("Tab")
    assert reached[:5] == ["level", "score", "least", "most", "order"]
    assert {"BUTTON", "AUDIO"} <= set(reached)
    tab.evaluate("document.querySelector('.example summary').focus()")
    tab.press("Enter")
    assert tab.evaluate("document.querySelector('.example details').open")


@pytest.mark.parametrize("width", [320, 375, 768, 1280])
def test_browser_page_is_never_wider_than_the_window(tab, width):
    tab.resize(width, 800)
    tab.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    small = "[...document.querySelectorAll('select, input, button, audio')]"
    heights = tab.evaluate(f"{small}.filter(e => e.offsetParent).map(e => e.offsetHeight)")
    assert min(heights) >= 40


TEXTS = ["p", "th", "td", "a", "figcaption", ".why", "dt", "summary", "label", "select", "output"]
CONTRAST = """(names) => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const luminance = (colour) => {
        const [r, g, b] = parts(colour).map((v) => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (e) => {
        const colour = getComputedStyle(e).backgroundColor;
        return parts(colour)[3] === 0 ? ground(e.parentElement) : colour;
    };
    return names.map((name) => {
        const e = document.querySelector(`main ${name}`) ?? document.querySelector(name);
        const both = [getComputedStyle(e).color, ground(e)].map(luminance);
        return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    });
}"""  # of text, as WCAG 2 defines it


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_browser_text_has_contrast_in_light_and_dark(tab, scheme):
    tab.prefer(scheme)
    tab.evaluate("document.querySelector('main details').open = true")
    ratios = tab.evaluate(f"({CONTRAST})({json.dumps(TEXTS)})")
    assert min(ratios) >= 4.5
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground))) < 380) == (scheme == "dark")


def test_browser_plays_one_recording_and_goes_on_where_the_other_was(tab):
    state = tab.evaluate(
        """(async () => {
        const [first, second] = document.querySelectorAll('.example audio');
        const other = document.querySelectorAll('.example')[1].querySelector('audio');
        const playing = (e) => new Promise((done, no) => {
            e.addEventListener('playing', done, {once: true});
            e.addEventListener('error', () => no(new Error(e.error.message)), {once: true});
            e.play().catch(() => {}); });
        const begin = [];
        first.loop = second.loop = true;
        first.currentTime = 0.1;
        await playing(first);
        second.addEventListener('seeking', () => begin.push(second.currentTime), {once: true});
        await playing(second);
        const paused = [first.paused, second.paused];
        await playing(other);
        return [...paused, second.paused, first.duration, begin[0] ?? second.currentTime];
        })()"""
    )
    assert state[:3] == [True, False, True]
    assert state[3] == pytest.approx(LENGTH / scored_experiments.triplet_trees.RATE, abs=0.01)
    assert state[4] >= 0.09
