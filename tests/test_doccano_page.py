"""The annotation loop through Doccano's own page, in a browser.

With ``--screenshots`` the pictures of docs/annotating.md are taken anew on the way.
"""

import json

import pytest
from typer.testing import CliRunner

from communique.cli import app
from communique.corpus.exchange import read_gold, write_jsonl
from test_doccano_server import ODD, gold, until

SIZE = {"width": 1120, "height": 640}
# The box of the first place of some words on the page, which draws its text as SVG.
BOX = """words => {
  const walk = document.createTreeWalker(document.querySelector('#container'), NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode());) {
    const at = node.data.indexOf(words);
    if (at >= 0) {
      const range = document.createRange();
      range.setStart(node, at);
      range.setEnd(node, at + words.length);
      const box = range.getBoundingClientRect();
      return [box.left, box.top, box.width, box.height];
    }
  }
  return null;
}"""


def run(*args):
    result = CliRunner().invoke(app, ["doccano", *map(str, args)])
    assert result.exit_code == 0, result.output
    return result.output


class Page:
    """Doccano's page as a person uses it."""

    def __init__(self, browser, server, pictures=None):
        self.server, self.pictures = server, pictures
        self.tab = browser.new_context(viewport=SIZE, reduced_motion="reduce").new_page()
        self.tab.set_default_timeout(60_000)
        self.tab.goto(f"{server.url}/auth")
        self.tab.locator("input").first.fill("admin")
        self.tab.locator("input[type=password]").fill(server.password)
        self.tab.keyboard.press("Enter")
        self.tab.wait_for_url("**/projects")

    def open(self, project):
        """The first release of a project, once its spans are drawn."""
        with self.tab.expect_response("**/spans"):
            self.tab.goto(f"{self.server.url}/projects/{project.number}/sequence-labeling?page=1")
        self.tab.locator("#container svg text").first.wait_for()

    def picture(self, name):
        if self.pictures is not None:
            self.tab.mouse.move(5, SIZE["height"] - 5)
            self.tab.wait_for_load_state("networkidle")
            self.tab.screenshot(path=self.pictures / f"{name}.png", animations="disabled", scale="css")

    def select(self, words):
        """Draw the mouse over words; the menu of labels opens."""
        self.tab.wait_for_function(BOX, arg=words)
        left, top, width, height = self.tab.evaluate(BOX, words)
        middle = top + height / 2
        self.tab.mouse.move(left + 1, middle)
        self.tab.mouse.down()
        self.tab.mouse.move(left + width / 2, middle)
        self.tab.mouse.move(left + width - 1, middle, steps=5)
        self.tab.mouse.up()
        self.tab.get_by_text("Select a label").wait_for()

    def label(self, words, label, picture=None):
        self.select(words)
        if picture:
            self.picture(picture)
        with self.tab.expect_response(
            lambda answer: answer.request.method == "POST" and "/spans" in answer.url
        ) as said:
            self.tab.locator(".v-menu__content").get_by_text(label, exact=True).click()
        assert said.value.ok
        self.tab.get_by_text("Select a label").wait_for(state="hidden")

    def confirm(self):
        """The cross above the text, which becomes a tick."""
        with self.tab.expect_response(
            lambda answer: answer.request.method == "POST" and "/states" in answer.url
        ) as said:
            self.tab.locator(".v-main .v-toolbar button").first.click()
        assert said.value.ok


@pytest.fixture
def page(browser, doccano, request, root):
    pictures = None
    if request.config.getoption("--screenshots"):
        pictures = root / "docs" / "annotating"
        pictures.mkdir(exist_ok=True)
    found = Page(browser, doccano, pictures)
    yield found
    found.tab.context.close()


def test_what_is_selected_behind_an_emoji_is_what_comes_back(page, doccano, tmp_path):
    write_jsonl(tmp_path / "gold.jsonl", gold(1))
    run("push", tmp_path / "gold.jsonl", "--gold", "-p", "emoji")
    project = doccano.person().project("emoji")
    page.open(project)
    for words, label in [("Chile", "COUNTRY"), ("Minister", "ROLE")]:
        page.label(words, label)
    page.confirm()
    until(lambda: project.example("r0")["is_confirmed"])
    assert json.loads(run("pull", tmp_path / "o.jsonl", "-p", "emoji", "--json"))["new"] == 1
    (pulled,) = read_gold([tmp_path / "o.jsonl"])
    assert pulled.text == ODD
    found = [(pulled.span_text(m), m.label) for m in pulled.mentions]
    assert found == [
        ("Korea", "COUNTRY"),
        ("Chile", "COUNTRY"),
        ("Minister", "ROLE"),
        ("O’Neill", "PERSON"),
        ("Norway", "COUNTRY"),
        ("Oslo", "PLACE"),
    ]


def test_the_pictures_of_the_docs(page, doccano, root):
    """What they show is what the page shows: a release that the model annotated, the menu of labels, the data set."""
    run("push", root / "examples" / "listing.txt", "-p", "Press releases", "-m", "small")
    project = doccano.person().project("Press releases")
    page.open(project)
    page.picture("annotated")
    page.label("low-carbon", "PLEDGE", picture="menu")
    page.confirm()
    page.tab.goto(f"{doccano.url}/projects/{project.number}/dataset")
    page.tab.get_by_text("Finished", exact=True).first.wait_for()
    page.picture("dataset")
    for name in ("annotated", "menu", "dataset"):
        picture = root / "docs" / "annotating" / f"{name}.png"
        assert picture.stat().st_size < 150_000
