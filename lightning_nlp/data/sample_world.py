"""The sample world: a small invented country told by a seeded grammar, after Elman (1990), "Finding Structure in Time".

Five regions have towns, trades, products and tools of their own; two hundred people were born in one of the towns and
follow a trade of its region. From these facts come sentences, their dependency trees, their translations into a second
language, biographies with questions about birthplaces (the setting of Stanford CS224N, assignment 5), graded word
pairs and analogies: without files or network, and the same in every process.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, combinations, permutations, product
from random import Random
from typing import NamedTuple, TypeVar

Row = dict[str, str | float]
Choice = TypeVar("Choice")

# Words by kind and region, frequent ones first; the n-th trade makes the n-th product with the n-th tool.
REGIONAL = {
    kind: tuple(tuple(region.split()) for region in regions.split("|"))
    for kind, regions in {
        "trade": "fisher diver whaler sailor salter | farmer shepherd miller gardener brewer | smith potter founder "
        "jeweller minter | weaver tailor dyer tanner hatter | carpenter cooper hunter woodcutter beekeeper",
        "product": "herring coral blubber pepper salt | barley wool flour fruit beer | iron porcelain bronze gold "
        "copper | linen velvet silk leather felt | furniture cider venison timber honey",
        "tool": "net dagger harpoon compass rake | plough crook sieve spade funnel | hammer wheel mould file stamp "
        "| loom needle brush scraper comb | saw mallet bow hatchet veil",
        "place": "Pelmar Tavor Sandor Marel Corvan | Barlen Fennor Mildar Wenlan Gorsam | Kardun Brandor Drakel Volkan "
        "Tormin | Lirien Nivel Selun Velin Rondel | Thornal Borsil Garvon Weldar Moren",
        "site": "harbour pier bay | barn meadow orchard | forge furnace mine | workshop laundry quay | lodge glade den",
        "feature": "scales shells | husks roots | rivets cracks | stripes buttons | knots splinters",
        "quality": "salty silver damp tarred | ripe green golden fresh | hot bright heavy glowing | soft red thin dyed "
        "| dark rough mossy wooden",
        "craft": "gather haul collect load | harvest pick plant store | melt heat temper polish | stitch fold press "
        "mend | carve hew varnish stack",
    }.items()
}
REGIONAL["inhabitant"] = tuple(tuple(f"{town}ian" for town in towns) for towns in REGIONAL["place"])
FACTS = (("trade", "product"), ("trade", "tool"), ("place", "inhabitant"))
WORDS = (
    "character young merry tired proud | worth cheap costly famous plentiful | wear sharp broken borrowed worn "
    "| look crowded quiet narrow distant | trading offer order praise | moving fetch deliver return "
    "| walking walk march wander climb | meeting greet thank help visit | adverb often slowly gladly seldom again"
)
COMMON = {kind: words for kind, *words in map(str.split, WORDS.split("|"))}
TAGS = (
    "NOUN trade product tool site feature inhabitant | PROPN first last place | ADJ quality character worth wear look "
    "| VERB craft trading moving walking meeting | ADV adverb | ADP with at in to from of | AUX will be | DET the a "
    "| PRON who | CCONJ and | SCONJ when because | PUNCT ."
)
UPOS = {kind: upos for upos, *kinds in map(str.split, TAGS.split("|")) for kind in kinds}
FIRST_NAMES = "Ada Bram Cleo Dirk Elin Finn Greta Hugo Ines Jonas Kaia Leif Mira Nils Odila Per Runa Sven Tilda Ylva"
LAST_NAMES = "Arden Birk Cray Dorn Falk Finch Grove Holt Ivers Jarl Kemp Lund Nash Orwin Pike Quist Rask Shaw Thorn Yew"

# The grammar: what each symbol becomes, frequent choices first; the head has no relation. "?" marks what one phrase in
# four has, "with+" a function word before a phrase, "~" what is put off to the end of the sentence, "own_" a fact about
# the person of the clause. Words decide what a phrase hangs on: "with a net" says how (on the verb), "with scales" says
# which (on the noun); "from Pelmar" is where one fetches things from, but which things one offers.
GRAMMAR = {
    "sentence": ("past ~punct:.", "future ~punct:.", "state ~punct:."),
    "past": (
        "nsubj:actor advmod:adverb? deed",
        "nsubj:actor living conj:and+living",
        "nsubj:actor living advcl:when+event",
        "nsubj:actor living advcl:because+event",
        "nsubj:comer walk",
    ),
    "future": ("nsubj:actor aux:will advmod:adverb? deed",),
    "state": (
        "nsubj:goods cop:be advmod:adverb of_goods",
        "nsubj:gear cop:be advmod:adverb of_gear",
        "nsubj:spot cop:be advmod:adverb of_spot",
    ),
    "event": ("nsubj:actor living",),
    "deed": ("work", "walk", "meeting obj:colleague", "living"),
    "work": ("craft obj:wares obl:with+gear", "moving obj:cargo obl:from+own_place", "trading obj:wares obl:at+spot?"),
    "living": ("craft obj:goods", "trading obj:cargo obl:in+own_place?", "craft obj:goods obl:at+spot?"),
    "walk": ("walking obl:to+spot", "walking obl:to+own_place", "walking obl:to+spot_of_home"),
    "actor": ("worker", "named", "worker nmod:of+own_place", "local", "worker conj:and+other"),
    "comer": ("worker ~acl:relcl:relative",),
    "colleague": ("worker", "worker acl:relcl:relative"),
    "relative": ("nsubj:who living",),
    "named": ("own_first flat:own_last", "own_first"),
    "worker": ("det:article amod:character? own_trade",),
    "other": ("det:article amod:character? trade",),
    "local": ("det:article amod:character? own_inhabitant",),
    "wares": ("goods", "goods nmod:with+feature", "goods nmod:from+place", "goods conj:and+product"),
    "cargo": ("goods", "gear"),
    "goods": ("det:the amod:of_goods? own_product", "amod:of_goods? own_product", "det:the amod:of_goods? product"),
    "gear": ("det:article amod:of_gear? own_tool", "det:article amod:of_gear? tool"),
    "spot": ("det:the amod:of_spot? site",),
    "spot_of_home": ("spot nmod:of+own_place",),
    "of_goods": ("worth", "quality"),
    "of_gear": ("wear", "quality"),
    "of_spot": ("look", "quality"),
    "article": ("the", "a"),
}
MARKERS = {"ADP": "case", "CCONJ": "cc", "SCONJ": "mark"}


class Person(NamedTuple):
    """A full name that nobody else has, a birthplace, and a trade of the region with its product and tool."""

    region: int
    first: str
    last: str
    place: str
    inhabitant: str
    trade: str
    product: str
    tool: str


@cache
def people() -> tuple[Person, ...]:
    """The two hundred, in an order that says nothing about them; the first towns of the regions are the largest."""
    rng = Random("people")
    names = rng.sample(list(product(FIRST_NAMES.split(), LAST_NAMES.split())), 200)
    return tuple(_born(rng, first, last) for first, last in names)


def _born(rng: Random, first: str, last: str) -> Person:
    town = _zipf(rng, range(25)) if rng.random() < 2 / 3 else rng.randrange(25)
    (rank, region), trade = divmod(town, 5), _zipf(rng, range(5))
    home = [REGIONAL[kind][region][rank] for kind in ("place", "inhabitant")]
    return Person(region, first, last, *home, *(REGIONAL[kind][region][trade] for kind in ("trade", "product", "tool")))


def _zipf(rng: Random, choices: Sequence[Choice]) -> Choice:
    """One of the choices, with a probability that falls about as one by rank: log(1 + 1 / rank), Benford's law."""
    return choices[int((len(choices) + 1) ** rng.random()) - 1]


@dataclass(eq=False, slots=True)
class Word:
    """A word of a dependency tree, in the terms of Universal Dependencies, with its dependents.

    They are spoken before the word, after it, or late: at the end of the sentence, as the full stop is and a relative
    clause that is put off, which makes the tree non-projective. The kind is the word's group among those above.
    """

    form: str
    lemma: str
    upos: str
    kind: str
    relation: str = "root"
    before: tuple["Word", ...] = ()
    after: tuple["Word", ...] = ()
    late: tuple["Word", ...] = ()


@cache
def told() -> tuple[list[Word], ...]:
    """All sentences, no two alike, each as 5 to 12 words and a full stop in spoken order."""
    rng, sentences = Random("sentences"), dict[str, list[Word]]()
    while len(sentences) < 6600:
        words = _spoken(_expand("sentence", rng, rng.choice(people())))
        if 6 <= len(words) <= 13:
            sentences.setdefault(_written(words), words)
    return tuple(sentences.values())


def _expand(symbol: str, rng: Random, person: Person) -> Word:
    """The subtree of a symbol of the grammar, told about the person, or a new one of the same region."""
    if symbol not in GRAMMAR:
        return _word(symbol, rng, person)
    if symbol in ("event", "colleague"):
        person = rng.choice([other for other in people() if other.region == person.region])
    before, head, after, late = _parsed(_zipf(rng, GRAMMAR[symbol]))
    word = _expand(head, rng, person)
    word.before = (*_dependents(before, rng, person), *word.before) if before else word.before
    word.after = (*word.after, *_dependents(after, rng, person)) if after else word.after
    word.late = (*word.late, *_dependents(late, rng, person)) if late else word.late
    if "aux:will" in before:
        word.form = word.lemma
    return word


@cache
def _parsed(rule: str) -> tuple[list[str], str, list[str], list[str]]:
    """Dependents before the head, the head, dependents after it and late ones."""
    items = [item for item in rule.split() if not item.startswith("~")]
    place = next(place for place, item in enumerate(items) if ":" not in item)
    return items[:place], items[place], items[place + 1 :], [item[1:] for item in rule.split() if item not in items]


def _dependents(items: list[str], rng: Random, person: Person) -> Iterator[Word]:
    for item in items:
        if item[-1] != "?" or rng.random() < 1 / 4:
            relation, _, phrase = item.rstrip("?").rpartition(":")
            marker, _, symbol = phrase.rpartition("+")
            word = _expand(symbol, rng, person)
            word.relation = relation
            if marker:
                word.before = (Word(marker, marker, UPOS[marker], marker, MARKERS[UPOS[marker]]), *word.before)
            yield word


def _word(symbol: str, rng: Random, person: Person) -> Word:
    """A fact about the person, a word of the region (one in twelve of any), of no region, or the symbol itself."""
    kind = symbol.removeprefix("own_")
    if symbol != kind:
        lemma = getattr(person, kind)
    elif kind in REGIONAL:
        lemma = _zipf(rng, REGIONAL[kind][rng.randrange(5) if rng.random() < 1 / 12 else person.region])
    else:
        lemma = _zipf(rng, COMMON.get(kind, (kind,)))
    return Word(_past(lemma) if UPOS[kind] == "VERB" or kind == "be" else lemma, lemma, UPOS[kind], kind)


def _past(verb: str) -> str:
    return "was" if verb == "be" else verb + ("d" if verb.endswith("e") else "ed")


def _spoken(root: Word) -> list[Word]:
    """The words of a sentence in order; its root and the subject may have late dependents."""
    late = [dependent for word in (*root.before, root) for dependent in word.late]
    return [*_in_order(root), *chain.from_iterable(map(_in_order, late))]


def _in_order(word: Word) -> list[Word]:
    if not word.before and not word.after:
        return [word]
    before, after = map(_in_order, word.before), map(_in_order, word.after)
    return [*chain.from_iterable(before), word, *chain.from_iterable(after)]


# The second language: the order of a head and its dependents (other relations are told by endings), and the cases.
ORDER = "cc advcl det nsubj obl obj advmod head flat amod nmod conj acl:relcl mark"
RANK = {relation: rank for rank, relation in enumerate(ORDER.split())}
CASES = {"obj": "n", "with": "k", "at": "s", "in": "s", "to": "m", "from": "t", "of": "r"}


def translate(words: list[Word]) -> str:
    """A sentence in the second language: a particle of tense, then the clause with its verb last.

    Nouns stand before their adjectives and carry a case, with an "i" if they hang on a noun. Articles agree with their
    noun in vowel, adjectives in vowel and case, verbs with their subject in vowel. For tools, verbs have another root.
    """
    root = next(word for word in words if word.relation == "root")
    particle = _roots()["will"][all(word.form != "will" for word in root.before)]
    return " ".join([particle.title(), *_transfer(root, "u", "")])


def _transfer(head: Word, vowel: str, case: str) -> Iterator[str]:
    """The forms of a subtree, whose head agrees with a noun of this vowel and case unless it is or has one."""
    noun = next((word for word in (head, *head.before) if word.upos in ("NOUN", "PROPN")), None)
    if noun:
        vowel = "u" if noun.upos == "PROPN" else _roots()[noun.lemma][0][1]
    dependents = [word for word in head.before + head.after + head.late if word.relation in RANK]
    for word in sorted([head, *dependents], key=lambda word: RANK["head" if word is head else word.relation]):
        if word is head:
            yield _inflected(head, vowel, case)
        else:
            yield from _transfer(word, vowel, _case(word, case))


def _inflected(word: Word, vowel: str, case: str) -> str:
    if word.upos == "PROPN":
        return word.form + "u" * bool(case) + case
    root = _roots()[word.lemma][any(child.kind == "tool" and child.relation == "obj" for child in word.after)]
    return root if word.upos in ("ADV", "SCONJ") else root + vowel + case * (word.upos in ("NOUN", "ADJ"))


def _case(word: Word, outer: str) -> str:
    """The case of its head for an adjective or conjunct, one of its own for an object or prepositional phrase."""
    if word.relation in ("amod", "conj"):
        return outer
    sign = next((child.form for child in word.before if child.relation == "case"), word.relation)
    return CASES.get(sign, "") + "i" * (word.relation == "nmod")


@cache
def _roots() -> dict[str, tuple[str, str]]:
    """Two roots for every word of the first language, all different."""
    lemmas = sorted({word.lemma for words in told() for word in words})
    roots = ["".join(letters) for letters in product("bdfgklmnprstvz", "aeio", "bdfgklmnprstvz")]
    Random("roots").shuffle(roots)
    return dict(zip(lemmas, zip(roots[::2], roots[1::2])))


BIOGRAPHIES = {
    "train": (
        "{0.first} {0.last} was born in {0.place} and became a {0.trade}.",
        "{0.first} {0.last} is a {0.trade} who was born in {0.place}.",
        "The {0.trade} {0.first} {0.last} comes from {0.place} and sells {0.product}.",
        "Born in {0.place}, {0.first} {0.last} learned to work with a {0.tool}.",
    ),
    "validation": ("{0.place} is where the {0.trade} {0.first} {0.last} was born.",),
    "test": ("{0.first} {0.last} grew up in {0.place}, selling {0.product}.",),
}


def _written(words: list[Word]) -> str:
    return " ".join([words[0].form.title(), *(word.form for word in words[1:])])


def _part(items: Sequence[Choice], split: str, held_out: int) -> Sequence[Choice]:
    """The items of a split: the first are for validation, as many for test, and the others for training."""
    start = {"validation": 0, "test": held_out, "train": 2 * held_out}[split]
    return items[start:] if split == "train" else items[start : start + held_out]


def _sentences(split: str) -> list[Row]:
    return [{"text": _written(words[:-1]).lower()} for words in _part(told(), split, 300)]


def _trees(split: str) -> list[Row]:
    sentences = _part(told(), split, 300)[: 800 if split == "train" else 100]
    return [{"conllu": _conllu(words, f"{split}-{number}")} for number, words in enumerate(sentences, 1)]


def _conllu(words: list[Word], sent_id: str) -> str:
    position = {word: number for number, word in enumerate(words, 1)}
    heads = {child: position[word] for word in words for child in word.before + word.after + word.late}
    lines = [f"# sent_id = {sent_id}", f"# text = {_written(words)}"]
    for word, form in zip(words, _written(words).split()):
        fields = (position[word], form, word.lemma, word.upos, "_", "_", heads.get(word, 0), word.relation, "_", "_")
        lines.append("\t".join(map(str, fields)))
    return "\n".join(lines)


def _translations(split: str) -> list[Row]:
    sentences = _part(told(), split, 300)[: 2500 if split == "train" else 150]
    return [{"source": _written(words[:-1]), "target": translate(words)} for words in sentences]


def _biographies(split: str) -> list[Row]:
    return [{"text": telling.format(person)} for person in people() for telling in BIOGRAPHIES[split]]


def _questions(split: str) -> list[Row]:
    asked = _part(people(), split, 40)
    return [{"question": f"Where was {person.first} {person.last} born?", "answer": person.place} for person in asked]


def _word_pairs(split: str) -> list[Row]:
    """Graded by what is shared: kind and region 9, the kind 6, a fact 3, nothing 0."""
    kinds = ("trade", "product", "tool", "place")
    distinct = product(combinations(kinds, 2), permutations(range(5), 2))
    levels = {
        9.0: [pair for kind in kinds for region in REGIONAL[kind] for pair in combinations(region, 2)],
        6.0: [pair for kind in kinds for regions in combinations(REGIONAL[kind], 2) for pair in product(*regions)],
        3.0: [pair for fact in FACTS for pair in _related(*fact)],
        0.0: [pair for (a, b), (i, j) in distinct for pair in product(REGIONAL[a][i], REGIONAL[b][j])],
    }
    drawn = [(*pair, score) for score, pairs in levels.items() for pair in _drawn(pairs, 30, split)]
    return [{"word1": one.lower(), "word2": other.lower(), "score": score} for one, other, score in drawn]


def _analogies(split: str) -> list[Row]:
    """Two pairs of words a question, each related by the fact that names the section."""
    sections = {f"{kind}-{other}": _related(kind, other) for kind, other in FACTS}
    sections["verb-past"] = [(verb, _past(verb)) for verb in chain(*REGIONAL["craft"])]
    rows: list[Row] = []
    for section, pairs in sections.items():
        for (a, b), (c, d) in _drawn([*permutations(pairs, 2)], 15, split):
            rows.append({"section": section, "a": a.lower(), "b": b.lower(), "c": c.lower(), "d": d.lower()})
    return rows


def _related(kind: str, other: str) -> list[tuple[str, str]]:
    return [pair for words, others in zip(REGIONAL[kind], REGIONAL[other]) for pair in zip(words, others)]


def _drawn(options: list[Choice], size: int, split: str) -> Sequence[Choice]:
    """As many of the options at random, other ones for validation than for test."""
    return _part(Random("graded").sample(options, 2 * size), split, size)


_ROWS = {
    "sentences": _sentences,
    "trees": _trees,
    "translations": _translations,
    "biographies": _biographies,
    "questions": _questions,
    "word_pairs": _word_pairs,
    "analogies": _analogies,
}
VIEWS = tuple(_ROWS)


def sample_splits(view: str) -> tuple[str, ...]:
    """The splits of a view; word pairs and analogies only measure, and have no "train"."""
    if view not in VIEWS:
        raise ValueError(f"sample world: found view {view!r}, expected one of {', '.join(VIEWS)}: name one of these.")
    return ("validation", "test") if view in ("word_pairs", "analogies") else ("train", "validation", "test")


def sample_rows(view: str, split: str = "train") -> list[Row]:
    """The rows of a split ("train", "validation" or "test") of a view (one of `VIEWS`), new dicts of the same content.

    Raises:
        ValueError: the view or the split does not exist.
    """
    if split not in sample_splits(view):
        known = ", ".join(sample_splits(view))
        raise ValueError(f"sample world: found split {split!r}, expected one of {known} for {view}: name one of these.")
    return _ROWS[view](split)
