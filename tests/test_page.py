"""The page of the HTTP service, in a browser: what it asks, what it shows, and what it says when that fails."""

import json
import random
import re
from contextlib import contextmanager
from time import monotonic

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from communique.annotate.run import annotate, load_model
from communique.release import Release

MODEL = {"name": "small", "version": "1.0"}
PHONE = {"width": 360, "height": 740}
TOKEN = "s3cret"


# --- a service to ask


@contextmanager
def serve(nlp, token=None):
    """The address of a service that holds the pipeline."""
    for needed in ("fastapi", "uvicorn", "httptools", "prometheus_client"):
        pytest.importorskip(needed)
    from serving import LocalPool, serving

    with serving(lambda tell: LocalPool(nlp, name="small"), token=token) as running:
        yield f"{running.url}/"


@pytest.fixture(scope="module")
def nlp():
    return load_model("small")


@pytest.fixture(scope="module")
def service(nlp):
    with serve(nlp) as address:
        yield address


@pytest.fixture(scope="module")
def guarded(nlp):
    """The address of one that wants a token."""
    with serve(nlp, TOKEN) as address:
        yield address


@pytest.fixture(scope="module")
def most():
    """Characters of a text that the service takes, as it comes."""
    pytest.importorskip("pydantic")
    from communique.serve.settings import load_settings

    return load_settings().limits.chars


@pytest.fixture
def open_page(browser, service):
    """Opens the page. A test that uses it fails if the page says something on the console or asks another host."""
    tabs, said, asked, expected, addresses = [], [], [], [], []

    def open_it(*, errors=(), address=service, **options):
        expected.extend(errors)
        addresses.append(address)
        tab = browser.new_context(reduced_motion="reduce", **options).new_page()
        tab.set_default_timeout(20_000)
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        with tab.expect_response("**/labels"):
            tab.goto(address)
        tabs.append(tab)
        return tab

    yield open_it
    for tab in tabs:
        tab.context.close()
    assert [words for words in said if not any(re.search(e, words) for e in expected)] == []
    assert {url for url in asked if not url.startswith((*addresses, "blob:"))} == set()


@pytest.fixture
def tab(open_page):
    return open_page()


# --- what a person does


def button(tab, name):
    return tab.get_by_role("button", name=name, exact=True)


def field(tab):
    return tab.get_by_role("textbox", name="Press release")


def put(tab, text):
    """Put a text in at once, as pasting does; `fill` types it, which takes the browser minutes where it is long."""
    field(tab).evaluate("(area, text) => { area.value = text; area.dispatchEvent(new Event('input')); }", text)


def read(tab, text=None):
    """Ask for a text; the service's answer, once it is shown."""
    if text is not None:
        put(tab, text)
    with tab.expect_response("**/annotate") as response:
        button(tab, "Read it").click()
    done(tab)
    return response.value.json()["releases"][0]


def read_example(tab):
    button(tab, "Example").click()
    return read(tab)


def done(tab):
    tab.get_by_role("status").filter(has_text="Done in").wait_for()


def answer_with(tab, body=None, *, status=200, headers=None, times=None):
    """Let the next requests be answered so, by whatever service."""
    text = body if isinstance(body, str) else json.dumps(body)
    kind = "text/html" if isinstance(body, str) else "application/json"

    def fulfil(route):
        route.fulfill(status=status, headers={"Content-Type": kind, **(headers or {})}, body=text)

    tab.route("**/annotate", fulfil, times=times)


def answer_of(text, entities=(), facts=(), **more):
    release = {"id": "a", "text": text, "entities": list(entities), "relations": [], "facts": list(facts), **more}
    return {"releases": [release], "model": MODEL}


def mention(id, label, start, end, **more):
    return {"id": id, "label": label, "start_offset": start, "end_offset": end, **more}


MARKS = """() => {
  const found = new Map();
  const before = (node) => {
    const range = document.createRange();
    range.setStart(document.getElementById("words"), 0);
    range.setEndBefore(node);
    return range.toString();
  };
  return [...document.querySelectorAll("#words mark:not(.off)")].map(
    (m) => [before(m), m.textContent, m.dataset.label, m.classList.contains("again"), m.title]);
}"""


def shown_marks(tab):
    """(start, end, label) of the marks in code points, those that were cut put together, and the text's words."""
    found = []
    for before, text, label, again, _ in tab.evaluate(MARKS):
        span = (len(before), len(before) + len(text), label)
        if again:  # goes on from the piece that ends where it begins
            cut = next(i for i, (_, end, name) in enumerate(found) if end == span[0] and name == label)
            span = (found.pop(cut)[0], *span[1:])
        found.append(span)
    return sorted(found)


def marks_of(release):
    return sorted((e["start_offset"], e["end_offset"], e["label"]) for e in release["entities"])


def shown_text(tab):
    return tab.evaluate("document.getElementById('words').textContent")


def shown_facts(within):
    """[score, head, type, tail] of each row of a tab, or a part of it."""
    parts = "['.score', '.head', '.type', '.tail'].map((part) => row.querySelector(part).textContent)"
    return within.locator("button.fact").evaluate_all(f"rows => rows.map((row) => {parts})")


def facts_of(release):
    def name(thing):
        norm = thing.get("norm")
        return f"{thing['name']} [{norm}]" if norm and norm != thing["name"] else thing["name"]

    return [[f"{f['score']:.2f}", name(f["head"]), f["type"], name(f["tail"])] for f in release["facts"]]


def wait_for_count(tab, words):
    tab.wait_for_function("words => document.getElementById('count').textContent === words", arg=words)


def widths(tab):
    return tab.evaluate("[document.documentElement.scrollWidth, innerWidth]")


# --- reading


def test_an_empty_text_is_not_sent(tab):
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    for text in ("", " \n\t "):
        field(tab).fill(text)
        button(tab, "Read it").click()
        assert "Paste a press release first" in tab.locator("#text-problem").inner_text()
        assert field(tab).get_attribute("aria-invalid") == "true"
        assert tab.evaluate("document.activeElement.id") == "text"
    assert not [url for url in asked if url.endswith("/annotate")]
    field(tab).fill("Oslo")
    assert tab.locator("#text-problem").inner_text() == "" and field(tab).get_attribute("aria-invalid") == "false"


def test_the_example_is_shown_as_the_service_answers(tab):
    release = read_example(tab)
    assert len(release["facts"]) > 8 and {e["label"] for e in release["entities"]} > {"PERSON", "PLEDGE", "MONEY"}
    assert shown_text(tab) == release["text"]
    assert shown_marks(tab) == marks_of(release)
    assert sorted(shown_facts(tab)) == sorted(facts_of(release))
    said = {" ".join(f["evidence"][0]["text"].split()) for f in release["facts"]}
    assert set(tab.locator("q").all_inner_texts()) == said
    for row in tab.locator(".group").all():
        (fact,) = {
            f["evidence"][0]["text"] for f in release["facts"] if facts_of({"facts": [f]})[0] == shown_facts(row)[0]
        }
        assert row.locator("q").inner_text() == " ".join(fact.split())
    sizes = {e["cluster"]: 0 for e in release["entities"] if "cluster" in e}
    for entity in release["entities"]:
        if "cluster" in entity:
            sizes[entity["cluster"]] += 1
    counts = [int(words.split()[0]) for words in tab.locator("button.thing small").all_inner_texts()]
    assert counts == sorted(sizes.values(), reverse=True)
    assert re.fullmatch(r"Read by the pipeline small \d[\d.]*\.", tab.locator("#model").inner_text())
    assert tab.get_by_role("heading", level=2).inner_text() == release["text"].split("\n")[0]


def test_the_date_is_sent_and_norms_are_shown(tab):
    button(tab, "Example").click()
    tab.get_by_label("Released on").fill("2025-01-02")
    release = read(tab)
    norms = {e["norm"] for e in release["entities"] if e["label"] == "DATE"}
    assert "2025-01-02" in norms
    titles = [title for *_, title in tab.evaluate(MARKS)]
    for entity, title in zip(sorted(release["entities"], key=lambda e: (e["start_offset"], -e["end_offset"])), titles):
        parts = [entity["label"], f"confidence {entity['score']:.2f}", entity.get("norm")]
        assert title == ", ".join(p for p in parts if p)


def test_the_example_gives_the_text_back_that_it_replaced(tab):
    field(tab).fill("Mine")
    button(tab, "Example").click()
    assert field(tab).input_value().startswith("Canada and Chile")
    button(tab, "Your text again").click()
    assert field(tab).input_value() == "Mine"


def test_ctrl_enter_reads(tab, most):
    field(tab).fill("Norway and Chile met in Oslo.")
    wait_for_count(tab, f"29 of {most:,} characters")
    field(tab).press("Control+Enter")
    done(tab)
    assert shown_text(tab) == "Norway and Chile met in Oslo."


def test_nothing_found_is_said(tab):
    answer_with(tab, answer_of("So it goes.\n"))
    read(tab, "So it goes.")
    assert tab.locator("#summary").inner_text() == "Nothing was found in this text."
    assert tab.get_by_role("heading", name="No facts").is_visible()
    assert shown_text(tab) == "So it goes.\n" and not tab.locator("#legend").is_visible()


# --- choosing


def test_a_fact_shows_where_it_stands(tab):
    release = read_example(tab)
    for number, row in enumerate(tab.locator("button.fact").all()):
        row.click()
        shown = shown_facts(tab)[number]
        (fact,) = [f for f in release["facts"] if facts_of({"facts": [f]})[0] == shown]
        for end in ("head", "tail"):
            spans = {release["text"][slice(*e[end])] for e in fact["evidence"]}
            assert set(tab.locator(f"mark.{end}").evaluate_all("all => all.map(m => m.textContent)")) == spans
        chosen = tab.locator(".sentence.chosen").evaluate_all("all => all.map(m => m.textContent)")
        assert {" ".join(c.split()) for c in chosen} == {" ".join(e["text"].split()) for e in fact["evidence"]}
        assert tab.locator("button.fact[aria-pressed=true]").count() == 1
    tab.keyboard.press("Escape")
    assert tab.locator(".chosen, mark.head, mark.tail, button.fact[aria-pressed=true]").count() == 0


def test_a_fact_of_several_sentences_leads_to_each(tab):
    release = read_example(tab)
    number, fact = next((i, f) for i, f in enumerate(map(tuple, shown_facts(tab))) if f[2] == "HAS_ROLE")
    (fact,) = [f for f in release["facts"] if tuple(facts_of({"facts": [f]})[0]) == fact]
    assert len(fact["evidence"]) > 1
    tab.set_viewport_size({"width": 1100, "height": 330})
    in_sight = """text => {
      const sentence = [...document.querySelectorAll(".sentence.chosen")].find((s) => s.textContent === text);
      const [own, panel] = [sentence, document.getElementById("marked")].map((e) => e.getBoundingClientRect());
      return own.top >= panel.top && own.top < panel.bottom;
    }"""
    seen = []
    for evidence in [*fact["evidence"], fact["evidence"][0]]:
        tab.locator("button.fact").nth(number).click()
        seen.append([tab.evaluate(in_sight, e["text"]) for e in (evidence, fact["evidence"][-1])])
    assert all(own for own, _ in seen) and not seen[0][1]


def test_a_mark_shows_the_facts_of_its_thing(tab):
    release = read_example(tab)
    tab.locator("mark", has_text="Chile").first.click(position={"x": 6, "y": 8})
    cluster = next(e["cluster"] for e in release["entities"] if e.get("norm") == "CL")
    own = [f for f in release["facts"] if cluster in (f["head"].get("cluster"), f["tail"].get("cluster"))]
    assert sorted(shown_facts(tab)) == sorted(facts_of({"facts": own})) and 0 < len(own) < len(release["facts"])
    assert tab.locator("mark.same").count() == sum(e.get("cluster") == cluster for e in release["entities"])
    tab.keyboard.press("Escape")
    assert len(shown_facts(tab)) == len(release["facts"])
    assert tab.evaluate("document.activeElement.textContent") == "Chile"


def test_a_mark_without_a_cluster_shows_its_own_facts(tab):
    release = read_example(tab)
    tab.locator("mark[data-label=MONEY]").click()
    own = [f for f in release["facts"] if f["type"] == "WORTH"]
    assert shown_facts(tab) == facts_of({"facts": own}) and own
    tab.get_by_role("button", name="Show all facts").click()
    assert len(shown_facts(tab)) == len(release["facts"])


def test_a_thing_shows_its_mentions(tab):
    release = read_example(tab)
    name = next(f["head"]["name"] for f in release["facts"] if f["head"]["label"] == "PERSON")
    thing = tab.get_by_role("button", name=re.compile(f"^{name} .*mention"))
    thing.click()
    assert all(name in fact for fact in shown_facts(tab))
    assert tab.locator("mark.same").count() == int(re.search(r"(\d+) mention", thing.inner_text())[1])
    tab.keyboard.press("Escape")
    assert name in tab.evaluate("document.activeElement.textContent")


def test_the_legend_switches_labels_off(tab):
    release = read_example(tab)
    switch = tab.get_by_role("button", name=re.compile("^PERSON"))
    assert switch.get_attribute("aria-pressed") == "true"
    switch.click()
    assert switch.get_attribute("aria-pressed") == "false"
    assert shown_marks(tab) == [m for m in marks_of(release) if m[2] != "PERSON"]
    assert shown_text(tab) == release["text"]
    read(tab)  # stays off
    assert not any(label == "PERSON" for *_, label in shown_marks(tab))
    tab.get_by_role("button", name=re.compile("^PERSON")).click()
    assert shown_marks(tab) == marks_of(release)


def test_the_uncertain_is_left_out_as_annotate_leaves_it_out(tab, nlp, tmp_path):
    release = read_example(tab)
    scores = sorted(f["score"] for f in release["facts"])
    least = round(scores[len(scores) // 2], 2)
    tab.get_by_label("Leave out what is less certain than").fill(str(least))
    (want,) = annotate(nlp, [Release("release", release["text"], None, release.get("date"))], min_confidence=least)
    tab.wait_for_function("n => document.querySelectorAll('button.fact').length === n", arg=len(want.facts))
    want = want.to_dict()
    assert 0 < len(want["facts"]) < len(release["facts"]) and len(want["entities"]) < len(release["entities"])
    assert shown_marks(tab) == marks_of(want) and sorted(shown_facts(tab)) == sorted(facts_of(want))
    with tab.expect_download() as download:
        button(tab, "Download JSON").click()
    assert download.value.suggested_filename == "canada-and-chile-agree-to-work-together-on.json"
    taken = json.loads((download.value.path()).read_text("utf8"))
    assert taken == {**want, "id": taken["id"]}


def test_json_can_be_copied(open_page):
    tab = open_page(permissions=["clipboard-read", "clipboard-write"])
    release = read_example(tab)
    button(tab, "Copy JSON").click()
    tab.get_by_text("Copied.").wait_for()
    assert json.loads(tab.evaluate("navigator.clipboard.readText()")) == release


# --- texts of all kinds


def test_html_is_shown_and_never_run(tab):
    text = "<script>window.ran = 1</script> Norway <img src=x onerror='window.ran = 2'> met\n<b>Chile</b> &amp; Peru"
    hostile = "<img src=x onerror='window.ran = 3'>"
    start = text.index(hostile[:10])
    thing = {"name": hostile, "label": hostile, "cluster": "c", "norm": hostile}
    evidence = {"head": [0, 8], "tail": [start, start + 4], "start": 0, "end": len(text), "text": text}
    entities = [
        mention(0, hostile, 0, 8, cluster="c", score=0.5, norm=hostile),
        mention(1, "B", start, start + 4, cluster="d"),
    ]
    fact = {"type": hostile, "score": 0.5, "head": thing, "tail": {"name": "x", "label": "B"}, "evidence": [evidence]}
    answer_with(tab, answer_of(text, entities, [fact], title=hostile))
    read(tab, text)
    assert shown_text(tab) == text
    assert tab.get_by_role("heading", level=2).inner_text() == hostile
    assert shown_facts(tab) == [["0.50", f"{hostile}", hostile, "x"]]
    tab.locator("button.fact").click()
    tab.locator("button.thing").first.click()
    tab.wait_for_timeout(200)
    assert tab.evaluate("window.ran") is None
    assert tab.locator("main img, main script, main b").count() == 0


TEXTS = {
    "emoji": "🇳🇴 Norway 👩🏽‍🚀 met Chile 🎉🎉 in Oslo.",
    "combining": "Ñandu and Éire met in Málagà — Zürich.",
    "rtl": "التقى الوزير נורווגיה Norway في Oslo.\nNorway.",
    "newlines": "\n\nA title\n\n\n  Norway met.  \n\tChile\n",
    "carriage": "Norway met\r\nChile\r\rand Peru\r\n",
    "nul": "Norway\0 met \x0b Chile \u2028 and \ufeffPeru",
}


def random_mentions(text, seed):
    """Spans anywhere, nested and crossing, of entity labels and of one that may enclose others."""
    rng = random.Random(seed)
    spans = set()
    for _ in range(12):
        start, end = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
        if start < end:
            spans.add((start, end, rng.choice(["PERSON", "COUNTRY", "PLEDGE"])))
    order = sorted(spans, key=lambda s: (s[0], -s[1], s[2]))
    return [mention(i, label, start, end) for i, (start, end, label) in enumerate(order)]


@pytest.mark.parametrize("name", TEXTS)
def test_offsets_are_code_points(tab, name):
    text = TEXTS[name]
    entities = [mention(0, "COUNTRY", *re.search("Norway|Éire|Ñandu", text).span())]
    answer_with(tab, answer_of(text, entities))
    read(tab, "whatever")
    assert shown_text(tab) == text
    assert tab.locator("mark").evaluate("m => m.textContent") == text[slice(*shown_marks(tab)[0][:2])]
    assert shown_marks(tab) == marks_of({"entities": entities})


def test_html_is_refused_by_the_service_and_that_is_told_as_text(open_page):
    tab = open_page(errors=["Failed to load resource"])
    put(tab, "<script>window.ran = 1</script> Norway met <img src=x onerror='window.ran = 1'> Chile</b>")
    button(tab, "Read it").click()
    words = "The service can’t use this: HTML (<script>) where text was expected: give its text only."
    assert problem(tab) == words == tab.locator("#text-problem").inner_text()
    assert field(tab).get_attribute("aria-invalid") == "true"
    assert tab.evaluate("[document.activeElement.id, window.ran ?? null]") == ["text", None]
    assert tab.locator("main script").count() == 0
    assert read(tab, "Norway met Chile.")["entities"]
    assert tab.locator("#text-problem").inner_text() == ""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(
        st.sampled_from("ab \n\r\0é\u0301😀👩\u200d🚀א") | st.characters(exclude_categories=["Cs"]),
        min_size=1,
        max_size=80,
    ),
    st.integers(0, 999),
)
def test_any_spans_of_any_text_are_marked(drawing_tab, text, seed):
    entities = random_mentions(text * (1 + seed % 3 * 40), seed)
    text *= 1 + seed % 3 * 40
    sentences = [{"evidence": [{"start": s["start_offset"], "end": s["end_offset"]}]} for s in entities[::3]]
    release = {"text": text, "entities": entities, "facts": sentences}
    slices, whole = drawing_tab.evaluate("release => window.drawn(release)", release)
    assert whole == text
    want = {
        f"{e['start_offset']}:{e['end_offset']} {e['label']}": text[e["start_offset"] : e["end_offset"]]
        for e in entities
    }
    assert slices == want


@pytest.fixture(scope="module")
def drawing_tab(browser, service):
    """A tab in which `drawn(release)` draws and returns the text of each mention's marks, and the whole text."""
    tab = browser.new_page()
    tab.goto(service)
    tab.evaluate("""async () => {
      const [{ MarkedText }, { CodePointText }, { Labels }] = await Promise.all(
        ["marks", "offsets", "labels"].map((name) => import(`/page/${name}.js`)));
      const root = document.getElementById("words");
      const marked = new MarkedText(root, () => {});
      const labels = new Labels({ entities: ["PERSON", "COUNTRY"], spans: { labels: ["PLEDGE"] } });
      window.drawn = (release) => {
        marked.draw(release, new CodePointText(release.text), labels);
        const slices = {};
        for (const [mark, m] of marked.mentions) {
          const key = `${m.start_offset}:${m.end_offset} ${m.label}`;
          slices[key] = (slices[key] ?? "") + mark.textContent;
        }
        return [slices, root.textContent];
      };
    }""")
    yield tab
    tab.close()


def test_characters_are_counted_as_python_counts_them(tab, most):
    for text in TEXTS.values():
        shown = text.replace("\r\n", "\n").replace("\r", "\n")  # as a text field holds it
        put(tab, text)
        wait_for_count(tab, f"{len(shown)} of {most:,} characters")


# --- long texts


@pytest.fixture(scope="module")
def whole(service):
    """The address of the service as users start it, its processes and their time limits with it."""
    from serving import command, ready

    with command("--model", "small", "--workers", "1") as (_, url, _):
        ready(url)
        yield f"{url}/"


def test_a_text_as_long_as_the_service_takes(open_page, whole, most):
    tab = open_page(address=whole)
    button(tab, "Example").click()
    example = field(tab).input_value()
    text = (example * (most // len(example) + 1))[:most]
    put(tab, text)
    wait_for_count(tab, f"{most:,} of {most:,} characters")
    tab.set_default_timeout(60_000)
    release = read(tab)
    assert release["text"] == text == shown_text(tab) and len(release["facts"]) > 1000
    assert tab.locator("mark:not(.again)").count() == len(release["entities"])
    assert tab.locator("#summary").inner_text().startswith(f"{len(release['entities']):,} marks")


def test_a_text_that_is_longer_is_refused_and_can_be_cut(open_page, most):
    tab = open_page(errors=["Failed to load resource"])
    text = "Norway met Chile.\n" * (most // 18 + 1)
    put(tab, text)
    wait_for_count(tab, f"{len(text):,} of {most:,} characters, {len(text) - most} too many")
    button(tab, "Read it").click()
    assert problem(tab) == f"The service can’t use this: {len(text):,} characters, more than {most:,}: split it."
    assert tab.evaluate("document.activeElement.id") == "text"
    put(tab, "Norway met Chile.")
    wait_for_count(tab, f"17 of {most:,} characters")
    read(tab)


def repeated(release, times, newline="\n"):
    """An answer to the same release many times over, each time of other things."""
    size = len(release["text"])
    out = {
        "id": "long",
        "text": release["text"].replace("\n", newline) * times,
        "entities": [],
        "relations": [],
        "facts": [],
    }
    for i in range(times):
        by = i * size

        def moved(thing, i=i):
            return {**thing, "cluster": f"{thing['cluster']}-{i}"} if "cluster" in thing else thing

        for e in release["entities"]:
            place = {"start_offset": e["start_offset"] + by, "end_offset": e["end_offset"] + by}
            out["entities"].append({**moved(e), **place, "id": len(out["entities"])})
        for f in release["facts"]:
            evidence = [
                {
                    **e,
                    "head": [v + by for v in e["head"]],
                    "tail": [v + by for v in e["tail"]],
                    "start": e["start"] + by,
                    "end": e["end"] + by,
                }
                for e in f["evidence"]
            ]
            out["facts"].append({**f, "head": moved(f["head"]), "tail": moved(f["tail"]), "evidence": evidence})
    return {"releases": [out], "model": MODEL}


@pytest.mark.parametrize("newline", ["\n", " "])
def test_a_long_text_stays_usable(tab, newline):
    answer = repeated(read_example(tab), 340, newline)
    release = answer["releases"][0]
    assert len(release["text"]) > 300_000 and len(release["entities"]) > 10_000
    answer_with(tab, answer)
    button(tab, "Example").click()
    start = monotonic()
    read(tab, release["text"])
    tab.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    assert monotonic() - start < 30
    assert tab.locator("mark:not(.again)").count() == len(release["entities"])
    assert tab.evaluate("document.getElementById('words').textContent.length") == len(release["text"])
    steps = [
        lambda: tab.locator("button.fact").nth(50).click(),
        lambda: tab.get_by_role("button", name=re.compile("^PLEDGE")).click(),
        lambda: tab.get_by_label("Leave out what is less certain than").fill("0.9"),
        lambda: tab.locator("mark:not(.off)").first.click(position={"x": 5, "y": 8}),
        lambda: tab.keyboard.press("Escape"),
    ]
    for step in steps:
        start = monotonic()
        step()
        tab.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        assert monotonic() - start < 10
    assert widths(tab)[0] <= widths(tab)[1]


def test_long_lists_are_shown_a_page_at_a_time(tab):
    answer = repeated(read_example(tab), 40)
    answer_with(tab, answer)
    read(tab)
    groups = len({(e["start"], e["end"]) for f in answer["releases"][0]["facts"] for e in f["evidence"][:1]})
    assert tab.locator(".group").count() == 100 < groups
    tab.get_by_role("button", name=f"Show 100 more of {groups} sentences").click()
    assert tab.locator(".group").count() == 200
    assert tab.evaluate("document.activeElement.closest('.group') === document.querySelectorAll('.group')[100]")
    while tab.get_by_role("button", name=re.compile("more of .* sentences")).count():
        tab.get_by_role("button", name=re.compile("more of .* sentences")).click()
    assert len(shown_facts(tab)) == len(answer["releases"][0]["facts"])


# --- refusals


def problem(tab):
    tab.get_by_role("alert").filter(has_text=re.compile(".")).wait_for()
    (found,) = [words for words in tab.get_by_role("alert").all_inner_texts() if words]
    assert tab.get_by_role("status").first.inner_text() == "" and not button(tab, "Cancel").is_visible()
    return found


def error_body(message, field=None):
    return {"error": {"code": "some-code", "message": message, **({"field": field} if field else {})}}


@pytest.mark.parametrize(
    "status, headers, body, words, place",
    [
        (
            413,
            {},
            error_body("2,000 characters, more than 1,000"),
            "too long: 2,000 characters, more than 1,000.",
            "text",
        ),
        (413, {}, "<html>nginx</html>", "The text is too long.", "text"),
        (422, {}, error_body("HTML where text was expected", "text"), "HTML where text was expected.", "text"),
        (422, {}, error_body("no such day", "body.date"), "no such day.", "date"),
        (400, {}, error_body("no JSON"), "The service can’t use this: no JSON.", None),
        (
            503,
            {"Retry-After": "7"},
            error_body("too many requests wait"),
            "can’t take this now: too many requests wait. Try again in 7 seconds.",
            None,
        ),
        (503, {}, "gone", "The service can’t take this now. Try again in a moment.", None),
        (429, {"Retry-After": "1"}, error_body("slow down"), "Try again in 1 second.", None),
        (500, {}, error_body("the model failed"), "The service failed (500): the model failed.", None),
        (502, {}, "<html>bad gateway</html>", "The service failed (502).", None),
        (200, {}, "<html>a portal</html>", "no JSON", None),
        (200, {}, {"hello": 1}, "holds no annotated text", None),
        (
            200,
            {},
            {"releases": [{"id": "a", **error_body("the model failed")}]},
            "can’t use this text: the model failed.",
            "text",
        ),
    ],
)
def test_refusals_are_told_in_words(open_page, status, headers, body, words, place):
    tab = open_page(errors=["Failed to load resource"])
    answer_with(tab, body, status=status, headers=headers, times=1)
    field(tab).fill("Norway met Chile.")
    button(tab, "Read it").click()
    assert words in problem(tab)
    assert tab.locator("[aria-invalid=true]").count() == (place is not None)
    if place:
        assert tab.evaluate("document.activeElement.id") == place
        assert words in tab.locator(f"#{place}-problem").inner_text()
    assert field(tab).input_value() == "Norway met Chile."
    read(tab)
    assert [words for words in tab.get_by_role("alert").all_inner_texts() if words] == []


def test_a_service_that_is_away_is_told(open_page):
    tab = open_page(errors=["Failed to load resource"])
    tab.route("**/annotate", lambda route: route.abort("connectionrefused"), times=1)
    field(tab).fill("Norway")
    button(tab, "Read it").click()
    assert "can’t be reached" in problem(tab)
    read(tab)


def test_a_token_is_asked_for_sent_and_kept_nowhere(open_page, guarded, most):
    tab = open_page(errors=["Failed to load resource"], address=guarded)
    asked = []
    tab.on("request", lambda request: asked.append((request.url, request.headers.get("authorization"))))
    token = tab.get_by_label("Token of the service")
    token.wait_for()
    assert tab.locator("#count").inner_text() == "0 characters"
    field(tab).fill("Norway met Chile.")
    button(tab, "Read it").click()
    assert "asks for a token" in problem(tab)
    assert token.get_attribute("type") == "password" and tab.evaluate("document.activeElement.id") == "token"
    token.fill("wrong")
    button(tab, "Read it").click()
    tab.get_by_text("does not know this token").wait_for()
    token.fill(TOKEN)
    token.press("Enter")
    done(tab)
    tokens = [token for url, token in asked if url.endswith(("annotate", "labels"))]
    assert tokens == [None, "Bearer wrong", f"Bearer {TOKEN}", f"Bearer {TOKEN}"]  # the last is for the labels
    wait_for_count(tab, f"17 of {most:,} characters")
    kept = tab.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie, location.href, history.state])")
    assert TOKEN not in kept


def test_a_token_is_not_asked_for_where_none_is_needed(tab):
    read(tab, "Norway met Chile.")
    assert not tab.get_by_label("Token of the service").is_visible()


def test_labels_have_colours_without_the_label_scheme(open_page):
    tab = open_page(errors=["Failed to load resource"])
    tab.route("**/labels", lambda route: route.fulfill(status=500, json=error_body("no")))
    tab.reload()
    release = read_example(tab)
    assert shown_marks(tab) == marks_of(release)


# --- several requests


class Held:
    """Requests that are answered when the test says so."""

    def __init__(self, tab):
        self.tab, self.routes = tab, []
        tab.route("**/annotate", lambda route: self.routes.append(route))

    def wait(self, number):
        start = monotonic()
        while len(self.routes) < number:
            assert monotonic() - start < 20
            self.tab.wait_for_timeout(20)

    def answer(self, number, text):
        self.routes[number].fulfill(json=answer_of(text))


@pytest.mark.parametrize("how", ["button", "Escape"])
def test_a_request_can_be_cancelled(tab, how):
    read(tab, "Norway met Chile.")
    held = Held(tab)
    failed = []
    tab.on("requestfailed", lambda request: failed.append(request.failure))
    field(tab).fill("Something else")
    button(tab, "Read it").click()
    held.wait(1)
    assert tab.locator("#status").inner_text() == "Reading 14 characters …"
    if how == "button":
        button(tab, "Cancel").click()
    else:
        tab.keyboard.press("Escape")
    assert tab.locator("#status").inner_text() == "Cancelled." and not button(tab, "Cancel").is_visible()
    tab.wait_for_timeout(100)
    assert failed == ["net::ERR_ABORTED"]
    assert shown_text(tab) == "Norway met Chile." and field(tab).input_value() == "Something else"


def test_the_newest_request_wins(tab):
    held = Held(tab)
    given_up = []
    tab.on("requestfailed", lambda request: given_up.append(request.post_data_json["text"]))
    for number, text in enumerate(("first", "second"), 1):
        field(tab).fill(text)
        button(tab, "Read it").click()
        held.wait(number)
    held.answer(1, "second")
    done(tab)
    assert shown_text(tab) == "second"
    held.answer(0, "first")  # it was given up; a late answer changes nothing
    tab.wait_for_timeout(200)
    assert shown_text(tab) == "second" and "Done in" in tab.locator("#status").inner_text()
    assert given_up == ["first"]


# --- for everybody


def test_a_phone_needs_no_sideways_scrolling(open_page):
    tab = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    assert widths(tab) == [360, 360]
    read_example(tab)
    tab.locator("button.fact").last.click()
    assert widths(tab) == [360, 360]
    head, kind, tail = (tab.locator(f"button.fact .{part}").first.bounding_box() for part in ("head", "type", "tail"))
    assert head["y"] < kind["y"] < tail["y"] and head["x"] == kind["x"] == tail["x"]
    word = "x" * 300
    thing = {"name": word, "label": "PERSON", "cluster": "p", "norm": word}
    entities = [mention(0, "PERSON", 0, 300, cluster="p")]
    fact = {
        "type": "T" * 60,
        "head": thing,
        "tail": thing,
        "evidence": [{"start": 0, "end": 300, "text": word, "head": [0, 300], "tail": [0, 300]}],
    }
    answer_with(tab, answer_of(word, entities, [fact]))
    read(tab)
    assert widths(tab) == [360, 360]


@pytest.mark.parametrize("width, height", [(640, 360), (320, 256), (1280, 900)])  # 1280 by 720 at 200 %, at 400 %
def test_zoomed_pages_need_no_sideways_scrolling(open_page, width, height):
    tab = open_page(viewport={"width": width, "height": height})
    read_example(tab)
    assert widths(tab)[0] <= width
    last = tab.locator("button.fact").last
    last.focus()
    assert tab.evaluate("""() => {
      const { left, top, width, height } = document.activeElement.getBoundingClientRect();
      const found = document.elementFromPoint(left + width / 2, top + height / 2);
      return document.activeElement.contains(found);
    }"""), "what has the focus is hidden behind something"


def press_until(tab, key, wanted, most=80):
    for _ in range(most):
        tab.keyboard.press(key)
        if tab.evaluate(f"document.activeElement.matches({json.dumps(wanted)})"):
            return
    raise AssertionError(f"{key} does not lead to {wanted}")


def test_the_keyboard_alone_goes_the_whole_way(tab):
    press_until(tab, "Tab", "#text")
    tab.keyboard.type("x")
    tab.keyboard.press("Control+a")
    tab.keyboard.press("Delete")
    press_until(tab, "Tab", "#example")
    tab.keyboard.press("Enter")
    press_until(tab, "Shift+Tab", "button.main")
    tab.keyboard.press("Enter")
    done(tab)
    order = []
    for _ in range(60):
        tab.keyboard.press("Tab")
        order.append(tab.evaluate("document.activeElement.id || document.activeElement.className.split(' ')[0]"))
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        if order[-1] == "thing":
            break
    stops = list(dict.fromkeys(re.sub(r"colour-\d+", "mark", o) for o in order))
    assert stops == ["example", "least", "download", "copy", "switch", "marked", "mark", "fact", "thing"]
    press_until(tab, "Shift+Tab", "button.fact")
    assert tab.locator(".sentence.chosen").count() >= 1 and tab.locator("mark.head").count() >= 1
    press_until(tab, "Shift+Tab", "mark")
    texts = tab.locator("mark").evaluate_all("all => all.map(m => m.textContent)")
    assert tab.evaluate("document.activeElement.textContent") == texts[0]
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("document.activeElement.textContent") == texts[1]
    tab.keyboard.press("End")
    assert tab.evaluate("document.activeElement.textContent") == texts[-1]
    tab.keyboard.press("Enter")
    assert tab.locator("#about").is_visible() and tab.evaluate("document.activeElement.id") == "facts-title"
    tab.keyboard.press("Escape")
    assert not tab.locator("#about").is_visible()
    assert tab.evaluate("document.activeElement.textContent") == texts[-1]


def test_everything_has_a_name(tab):
    read_example(tab)
    tab.evaluate("document.querySelectorAll('[hidden]').forEach(e => e.hidden = false)")
    controls = tab.locator("button, input, textarea")
    for control in controls.all():
        role = {"TEXTAREA": "textbox", "BUTTON": "button"}.get(control.evaluate("c => c.tagName"))
        words = control.inner_text().strip() if role == "button" else control.evaluate("c => c.labels[0]?.textContent")
        assert words, control.evaluate("c => c.outerHTML")
    for role in ("banner", "main", "contentinfo", "form"):
        assert tab.get_by_role(role).count() == 1
    for name in ("Marked text", re.compile("facts$"), re.compile("things$")):
        assert tab.get_by_role("region", name=name).count() == 1
    assert tab.get_by_role("slider", name="Leave out what is less certain than").count() == 1
    assert tab.get_by_role("group", name="Labels shown").count() == 1
    assert tab.evaluate("document.documentElement.lang") == "en"
    levels = tab.locator("h1, h2, h3, h4").evaluate_all("all => all.map(h => Number(h.tagName[1]))")
    assert levels == [1, 2, 3, 3]
    ids = tab.locator("[id]").evaluate_all("all => all.map(e => e.id)")
    assert len(ids) == len(set(ids))
    named = tab.locator("[aria-describedby], [aria-labelledby], [for]").evaluate_all(
        "all => all.flatMap(e => ['aria-describedby', 'aria-labelledby', 'for'].flatMap(a => (e.getAttribute(a) ?? '').split(' ').filter(Boolean)))"
    )
    assert set(named) <= set(ids)


CONTRASTS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const layers = (e) => (e ? [...layers(e.parentElement), getComputedStyle(e).backgroundColor] : ["Canvas"]);
  const paint = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const c of colours) { canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const found = [];
  for (const e of document.body.querySelectorAll("*")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !e.checkVisibility() || e.closest(".unseen, noscript")) continue;
    const behind = layers(e);
    for (const part of e.matches("mark") ? [null, "::after"] : [null]) {
      const colour = getComputedStyle(e, part).color;
      found.push([ratio(light(paint([...behind, colour])), light(paint(behind))), e.outerHTML.slice(0, 90)]);
    }
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_words_stand_out_from_what_is_behind_them(open_page, scheme):
    tab = open_page(color_scheme=scheme)
    read_example(tab)
    tab.locator("button.fact").nth(2).click()
    tab.get_by_role("button", name=re.compile("^PERSON")).click()
    tab.evaluate("document.getElementById('problem').textContent = 'Something'")
    contrasts = tab.evaluate(CONTRASTS)
    assert len(contrasts) > 100 and [found for found in contrasts if found[0] < 4.5] == []
