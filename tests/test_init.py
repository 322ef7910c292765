"""A pipeline for other people's labels and gold, from the exchange format to scores."""

import json

import pytest
import spacy
from spacy.util import load_config, load_model_from_config
from typer.testing import CliRunner

from communique.cli import app
from communique.corpus.exchange import read_gold, write_jsonl
from communique.errors import ConfigError
from communique.evaluate.metrics import score_releases
from communique.own.choices import OffBoundaries, Overlaps, Tokens
from communique.own.config import Files, derive_config, read_base, readable, set_encoder
from communique.own.gold import Record, Rules, fit_records
from communique.own.length import Length, Rule, batch_size
from communique.own.scheme import infer_schema, schema_config, unseen
from communique.release import Mention, Relation, Release
from communique.schema import Schema
from communique.tokenizer import PatternTokenizer, boundaries
from conftest import band_releases

RULE = Rule(epochs=20, updates=100, least_batch=200, least_steps=300, evaluations=10)
FEW = ["--set", "training.max_steps=60", "--set", "training.eval_frequency=20"]


def invoke(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


def release(text, mentions, relations=(), name="a"):
    """Mentions as (label, string), in order; relations as (head, type, tail) by number."""
    found, start = [], 0
    for i, (label, string) in enumerate(mentions):
        start = text.index(string, min(start, len(text)) if text.find(string, start) >= 0 else 0)
        found.append(Mention(i, label, start, start + len(string)))
    return Release(
        name, text, mentions=found, relations=[Relation(i, t, h, e) for i, (h, t, e) in enumerate(relations)]
    )


def fitted(one, **rules):
    cut = spacy.blank("en").tokenizer
    return fit_records([Record("g.jsonl", 7, one)], Rules(lambda text: boundaries(cut, text), **rules))


NESTED = release(
    "The hidden Markov model works.",
    [("Method", "hidden Markov model"), ("Term", "Markov"), ("Term", "model")],
    [(0, "OF", 1), (2, "OF", 0)],
)


class TestGold:
    def test_overlaps_are_errors_that_name_file_line_and_mend(self):
        out = fitted(NESTED)
        assert next(str(e) for e in out.errors) == (
            "g.jsonl:7: overlap: 'Markov' (Term) overlaps 'hidden Markov model' (Method) "
            "(--overlaps longest drops the shorter one; --spans LABEL is for labels that enclose others)"
        )
        assert len(out.errors) == 2

    def test_the_longest_is_kept_and_what_is_lost_is_named(self):
        out = fitted(NESTED, overlaps=Overlaps.longest)
        (kept,) = out.records[0].release.mentions
        assert (kept.label, out.records[0].release.relations, out.errors) == ("Method", [], [])
        assert [n.code for n in out.notices] == ["overlap", "overlap", "relation", "relation"]
        assert "'hidden Markov model' (Method) OF 'Markov' (Term) lost an argument; dropped" in out.notices[2].message

    def test_spans_may_enclose_entities(self):
        out = fitted(NESTED, spans=frozenset(["Method"]))
        assert not out.errors and not out.notices and len(out.records[0].release.mentions) == 3

    def test_twins_become_one_and_keep_all_relations(self):
        one = release("Aspirin causes rash.", [("Drug", "Aspirin"), ("Drug", "Aspirin"), ("Effect", "rash")])
        one.relations += [Relation(0, "CAUSES", 1, 2)]
        one.mentions[1] = Mention(1, "Drug", 0, 7)
        out = fitted(one)
        assert not out.errors and [n.code for n in out.notices] == ["twice"]
        (relation,) = out.records[0].release.relations
        assert (relation.head, relation.tail) == (0, 2)

    @pytest.mark.parametrize("policy", list(OffBoundaries))
    def test_off_token_boundaries(self, policy):
        one = release("The interferons helped .", [("Drug", "interferon"), ("Word", "helped ")], [(0, "X", 1)])
        out = fitted(one, off_boundaries=policy)
        texts = [one.text[m.start : m.end] for m in out.records[0].release.mentions]
        if policy is OffBoundaries.error:
            assert out.errors[0].message == (
                "'interferon' (Drug) is off token boundaries: the tokens are 'interferons'"
            )
            assert "--tokenizer" in out.errors[0].mend and len(out.errors) == 2
        elif policy is OffBoundaries.widen:
            assert texts == ["interferons", "helped"] and len(out.notices) == 2
            assert len(out.records[0].release.relations) == 1
        else:
            assert texts == [] and [n.code for n in out.notices] == ["token", "token", "relation"]

    def test_blanks_alone_can_only_be_dropped(self):
        one = Release("a", "A  b", mentions=[Mention(0, "X", 1, 2)])
        assert fitted(one, off_boundaries=OffBoundaries.widen).records[0].release.mentions == []


class TestScheme:
    def test_labels_signatures_and_symmetry(self, root):
        gold = read_gold([root / "examples" / "own" / "train.jsonl"])
        schema = infer_schema(gold, spans=[], symmetric=["WORKED_WITH"])
        assert schema.entities == ("CLOCK", "MAKER", "TOWN") and not schema.spans and not schema.identity
        found = {r.name: (r.heads, r.tails, r.symmetric) for r in schema.relations}
        assert found == {
            "BUILT": (("MAKER",), ("CLOCK",), False),
            "STANDS_IN": (("CLOCK",), ("TOWN",), False),
            "WORKED_WITH": (("MAKER",), ("MAKER",), True),
        }
        assert not infer_schema(gold, spans=[], symmetric=[]).symmetric

    def test_clusters_and_spans(self):
        schema = infer_schema(band_releases(), spans=["PLAN"], symmetric=[])
        assert schema.spans == ("PLAN",) and "PLAN" not in schema.entities
        assert schema.identity == {"BAND", "SONG"}

    @pytest.mark.parametrize("name", ["org.founded_by", "per:title", "Adverse-Effect", "is a", "*", "ü/ö"])
    def test_any_name_survives_the_file(self, tmp_path, name):
        gold = [release("A b", [(name, "A"), ("B", "b")], [(0, name, 1)])]
        schema = infer_schema(gold, spans=[], symmetric=[name])
        (tmp_path / "schema.cfg").write_text(readable(schema_config(schema)), "utf8")
        assert Schema.from_disk(tmp_path / "schema.cfg").to_dict() == schema.to_dict()

    def test_what_other_gold_has_and_it_has_not(self):
        schema = infer_schema([release("A b", [("A", "A"), ("B", "b")], [(0, "R", 1)])], spans=[], symmetric=[])
        other = release("A b c", [("A", "A"), ("B", "b"), ("C", "c")], [(1, "R", 0), (0, "S", 1)])
        assert set(unseen(schema, [other])) == {"the label C", "the signature B R A", "the relation type S"}


class TestTokenizers:
    @pytest.mark.parametrize("text", ["a b . c", " a  b\n c ", "", "\n", "x \n", "a\xa0b", "10mg drug-induced p53_x²"])
    def test_nothing_of_a_text_is_lost(self, text):
        vocab = spacy.blank("en").vocab
        for pattern in (r"\S+", r"[^\W\d_]+|\d+"):
            assert PatternTokenizer(vocab, pattern)(text).text == text

    def test_whitespace(self, tmp_path):
        tokenizer = {"@tokenizers": "communique.WhitespaceTokenizer.v1"}
        nlp = spacy.blank("en", config={"nlp": {"tokenizer": tokenizer}})
        tokens = ["Mr.", "O'Neil", "(", "61", ")", "can't-do", "5.5%", "."]
        assert [t.text for t in nlp(" ".join(tokens))] == tokens
        nlp.to_disk(tmp_path / "model")
        again = spacy.load(tmp_path / "model")
        assert [t.text for t in again(" ".join(tokens))] == tokens
        other = spacy.blank("en", config={"nlp": {"tokenizer": {**tokenizer}}}).from_bytes(nlp.to_bytes())
        assert [d.text for d in other.pipe([" ".join(tokens)] * 3, n_process=2)] == [" ".join(tokens)] * 3

    def test_fine(self, root):
        config = read_base(root / "configs" / "small.cfg", Tokens.fine)
        cut = PatternTokenizer(spacy.blank("en").vocab, config["nlp"]["tokenizer"]["pattern"])
        assert [t.text for t in cut("IL-2Ralpha/10mg p53_x).")] == [
            "IL",
            "-",
            "2",
            "Ralpha",
            "/",
            "10",
            "mg",
            "p",
            "53",
            "_",
            "x",
            ")",
            ".",
        ]


@pytest.mark.parametrize(
    "words, steps, batch", [(400, 300, 200), (30_000, 2000, 300), (100_000, 2000, 1000), (1_000_000, 10_000, 2000)]
)
def test_length_follows_the_size_of_the_gold(words, steps, batch):
    assert Length.by(RULE, words, 2000) == Length(steps, batch, steps // 10)


@pytest.mark.parametrize("base", ["small", "minilm"])
@pytest.mark.parametrize("spans, clusters", [(False, False), (True, True)])
def test_nothing_of_our_labels_is_left(root, tmp_path, schema, base, spans, clusters):
    """Of no base's labels, relation types, scores or registers, and the config is one that spaCy takes."""
    if base == "minilm":
        pytest.importorskip("spacy_transformers")
    gold = band_releases()
    if not clusters:
        gold = [
            Release(r.id, r.text, mentions=[Mention(m.id, m.label, m.start, m.end) for m in r.mentions]) for r in gold
        ]
        gold[0].relations.append(Relation(0, "R", 0, 1))
    own = infer_schema(gold, spans=["PLAN"] if spans else [], symmetric=[])
    files = Files(*(tmp_path / n for n in ("train.spacy", "dev.spacy", "schema.cfg")))
    (tmp_path / "schema.cfg").write_text(readable(schema_config(own)), "utf8")
    config = read_base(root / "configs" / f"{base}.cfg", Tokens.whitespace)
    length = Length.by(RULE, 1000, batch_size(config))
    derived = derive_config(config, own, files, cut_sentences=spans, length=length)
    (tmp_path / "config.cfg").write_text(readable(derived), "utf8")
    full = load_config(tmp_path / "config.cfg", interpolate=True)
    text = json.dumps(full)
    for word in (*schema.labels, *schema.relation_names, schema.span_key, "registers"):
        assert f'"{word}"' not in text and f"_{word}_" not in text, word
    names = full["nlp"]["pipeline"]
    assert ("sentences" in names, "spans" in names, "identity" in names) == (spans, spans, clusters)
    weights = full["training"]["score_weights"]
    assert sum(v for v in weights.values() if v) == pytest.approx(1, abs=1e-3)
    assert ("identity_f" in weights, "spans_spans_overlap_f" in weights) == (clusters, spans)
    assert full["training"]["optimizer"]["learn_rate"]["total_steps"] == full["training"]["max_steps"] == length.steps
    if base == "small":
        assert load_model_from_config(full, auto_fill=True).pipe_names == names


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('factory = "communique_relations"', 'factory = "communique_facts"', "0 components of the factory"),
        ("[training.batcher.size]", "[training.batcher.other]", "no size in \\[training.batcher\\]"),
    ],
)
def test_a_base_that_can_not_be_one_says_why(root, tmp_path, old, new, message):
    text = (root / "configs" / "small.cfg").read_text("utf8")
    (tmp_path / "base.cfg").write_text(text.replace(old, new), "utf8")
    with pytest.raises(ConfigError, match=message):
        read_base(tmp_path / "base.cfg", Tokens.base)


def test_a_rate_of_the_encoder_needs_an_optimizer_that_can_have_one(root):
    config = read_base(root / "configs" / "minilm.cfg", Tokens.base)
    for change in ({"scales": {}}, {"scales": {".": 1.0}, "learn_rate": 0.001}):
        config["training"]["optimizer"].update(change)
        with pytest.raises(ConfigError, match="needs scales and a schedule"):
            set_encoder(config, "other", 1e-4, lambda name: 384)


def test_a_base_keeps_its_dollar_signs(root, tmp_path):
    config = read_base(root / "configs" / "small.cfg", Tokens.base)
    gold = [release("A b", [("A", "A"), ("B", "b")], [(0, "R", 1)])]
    files = Files(tmp_path / "t", tmp_path / "d", tmp_path / "s")
    own = infer_schema(gold, spans=[], symmetric=[])
    derived = derive_config(config, own, files, cut_sentences=True, length=Length.by(RULE, 10, 100))
    (tmp_path / "config.cfg").write_text(readable(derived), "utf8")
    shipped = load_config(root / "configs" / "small.cfg", interpolate=True)
    assert load_config(tmp_path / "config.cfg", interpolate=True)["nlp"]["tokenizer"] == shipped["nlp"]["tokenizer"]


def test_gold_without_clusters_has_no_identity(schema):
    gold = [release("A b", [("PERSON", "A"), ("ROLE", "b")], [(0, "HAS_ROLE", 1)])]
    guess = [Release("a", "A b", mentions=[Mention(0, "PERSON", 0, 1, cluster="x")])]
    scores = score_releases(gold, guess, schema)
    assert not [k for k in scores if k.startswith("identity")]
    assert scores["relations strict"]["r"] == scores["facts"]["r"] == 0.0 and scores["entities"]["r"] == 0.5
    assert score_releases(gold, gold, schema)["facts"]["f"] == 1.0


@pytest.fixture
def at_root(root, monkeypatch):
    monkeypatch.chdir(root)


@pytest.mark.usefixtures("at_root")
class TestCommand:
    own = ("examples/own/train.jsonl", "--dev", "examples/own/dev.jsonl")

    def test_sentences_from_gold_to_scores(self, tmp_path):
        result = invoke("init", *self.own, "-o", tmp_path, "--symmetric", "WORKED_WITH")
        assert result.exit_code == 0, result.output
        assert "WORKED_WITH: MAKER <-> MAKER" in result.output and "left out identity" in result.output
        sets = ["--corpus", self.own[0], *FEW]
        result = invoke("train", tmp_path / "config.cfg", "-o", tmp_path / "model", *sets)
        assert result.exit_code == 0, result.output
        model = tmp_path / "model" / "model-best"
        scores = tmp_path / "scores.json"
        result = invoke("evaluate", self.own[0], "-m", model, "-o", scores)
        assert result.exit_code == 0, result.output
        found = json.loads(scores.read_text("utf8"))["scores"]
        assert found["entities"]["f"] > 0.9 and found["relations strict"]["f"] > 0.8
        assert not [k for k in found if k.startswith(("identity", "pledges", "spans"))]
        meta = json.loads((model / "meta.json").read_text("utf8"))
        assert not [k for k in meta["performance"] if k.startswith(("identity", "spans"))]
        out = tmp_path / "out.jsonl"
        result = invoke("annotate", "examples/own/test.jsonl", "-o", out, "-m", model, "--view")
        assert result.exit_code == 0 and "BUILT" in result.output

    def test_texts_with_spans_and_clusters(self, tmp_path):
        write_jsonl(tmp_path / "bands.jsonl", band_releases())
        args = ("--spans", "PLAN", "--symmetric", "WITH", "--records", "texts")
        gold = tmp_path / "bands.jsonl"
        result = invoke("init", gold, "--dev", gold, "-o", tmp_path / "mine", *args)
        assert result.exit_code == 0, result.output
        config = tmp_path / "mine" / "config.cfg"
        result = invoke("train", config, "-o", tmp_path / "model", "--corpus", gold, *FEW)
        assert result.exit_code == 0, result.output
        result = invoke("evaluate", gold, "-m", tmp_path / "model" / "model-best")
        assert result.exit_code == 0, result.output
        for layer in ("entities", "spans exact", "spans overlap", "relations strict", "facts", "identity muc"):
            assert f"\n{layer}" in result.output
        assert "pledges" not in result.output
        scores = json.loads(invoke("evaluate", gold, "-m", tmp_path / "model" / "model-best", "--json").stdout)[
            "scores"
        ]
        assert scores["entities"]["f"] > 0.8 and scores["relations strict"]["f"] > 0.3

    def test_what_a_record_is_can_be_told_or_asked(self, tmp_path):
        two = [
            release("Ann met Ben. It rained.", [("X", "Ann"), ("X", "Ben")], [(0, "R", 1)], name=str(i))
            for i in range(3)
        ]
        gold = tmp_path / "gold.jsonl"
        write_jsonl(gold, two)
        for how, there in (("auto", True), ("sentences", False), ("texts", True)):
            result = invoke("init", gold, "--dev", gold, "-o", tmp_path / how, "--records", how)
            assert result.exit_code == 0, result.output
            assert ("sentences" in load_config(tmp_path / how / "config.cfg")["nlp"]["pipeline"]) == there

    def test_relations_out_of_reach_are_named(self, tmp_path):
        far = release("A came. " + "It rained. " * 9 + "B left.", [("X", "A"), ("X", "B")], [(0, "R", 1)])
        write_jsonl(tmp_path / "gold.jsonl", [far])
        result = invoke("init", tmp_path / "gold.jsonl", "--dev", tmp_path / "gold.jsonl", "-o", tmp_path / "mine")
        assert result.exit_code == 0 and "reach: 'A' R 'B' is out of reach" in result.output

    def test_bad_gold_is_named_by_line_and_nothing_is_written(self, tmp_path):
        gold = tmp_path / "gold.jsonl"
        lines = ['{"text": "a"}', '{"id": "x", "text": "a"}', '{"id": "x", "text": "b"}', "{"]
        gold.write_text("\n".join(lines), "utf8")
        result = invoke("init", gold, "--dev", gold, "-o", tmp_path / "mine")
        assert result.exit_code == 1
        for start in (':1: record: no "id"', ":3: duplicate-id: the id 'x' stands on line 2", ":4: record"):
            assert f"{gold}{start}" in result.output
        write_jsonl(gold, [NESTED])
        result = invoke("init", gold, "--dev", gold, "-o", tmp_path / "mine", "--show", "1")
        assert result.exit_code == 1 and "overlap: 4, the first 1 named above" in result.output
        assert not (tmp_path / "mine").exists()

    def test_which_tokenizer_the_gold_goes_with(self, tmp_path):
        gold = tmp_path / "gold.jsonl"
        write_jsonl(gold, [release("5mg of x_y", [("X", "mg"), ("X", "x")], [(0, "R", 1)])])
        result = invoke("init", gold, "--dev", gold, "-o", tmp_path / "mine", "--tokenizer", "whitespace")
        assert result.exit_code == 1
        assert (
            f"{gold}: tokenizer: mentions off token boundaries: 1 with base, 2 with whitespace, 0 with fine"
            in result.output
        )
        result = invoke("init", gold, "--dev", gold, "-o", tmp_path / "mine", "--tokenizer", "fine")
        assert result.exit_code == 0

    @pytest.mark.parametrize(
        "args, message",
        [
            (["--spans", "PLEDGE"], "--spans PLEDGE: the gold has none; known: CLOCK"),
            (["--symmetric", "MARRIED"], "--symmetric MARRIED: the gold has none"),
            (["--base", "configs/schema.cfg"], "no [paths] section"),
            (["--encoder", "no/such-encoder-anywhere"], "--encoder"),
        ],
    )
    def test_wrong_usage(self, tmp_path, args, message):
        result = invoke("init", *self.own, "-o", tmp_path / "mine", *args)
        assert result.exit_code == 2 and message in result.output and not (tmp_path / "mine").exists()

    def test_edited_files_are_not_written_over(self, tmp_path):
        assert invoke("init", *self.own, "-o", tmp_path).exit_code == 0
        result = invoke("init", *self.own, "-o", tmp_path)
        assert result.exit_code == 2 and "--force" in result.output
        assert invoke("init", *self.own, "-o", tmp_path, "--force").exit_code == 0

    def test_another_encoder(self, tmp_path, tiny_encoder):
        base = ("--base", "configs/minilm.cfg", "--encoder", tiny_encoder, "--encoder-rate", "5e-5")
        result = invoke("init", *self.own, "-o", tmp_path, *base)
        assert result.exit_code == 0, result.output
        optimizer = load_config(tmp_path / "config.cfg", interpolate=True)["training"]["optimizer"]
        rate = optimizer["learn_rate"]["initial_rate"] * max(optimizer["scales"].values())
        assert rate == pytest.approx(5e-5)
        sets = ["--set", "training.max_steps=2", "--set", "training.eval_frequency=1"]
        result = invoke("train", tmp_path / "config.cfg", "-o", tmp_path / "model", "--corpus", self.own[0], *sets)
        assert result.exit_code == 0, result.output
        result = invoke("evaluate", self.own[0], "-m", tmp_path / "model" / "model-best")
        assert result.exit_code == 0 and "relations strict" in result.output

    def test_evaluation_needs_ids_of_their_own(self, tmp_path, bands):
        bands.to_disk(tmp_path / "model")
        write_jsonl(tmp_path / "gold.jsonl", [NESTED, NESTED])
        result = invoke("evaluate", tmp_path / "gold.jsonl", "-m", tmp_path / "model")
        assert result.exit_code == 2 and "stands twice" in result.output


def test_a_rate_without_its_encoder_is_wrong_usage(tmp_path):
    result = invoke("init", "gold.jsonl", "--dev", "dev.jsonl", "-o", tmp_path / "own", "--encoder-rate", "5e-5")
    assert result.exit_code == 2 and "--encoder names" in result.output
    assert not (tmp_path / "own").exists()
