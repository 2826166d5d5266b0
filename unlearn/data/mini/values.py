"""Every name part, attribute value and visible feature of the mini benchmark, as data.

Each value is one word that starts with a consonant sound (so that "a" fits before it): one token, and no grammar that
gives an answer away.
"""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    "Bela Cora Dario Fenna Galen Hanna Jovan Kira Lenz Mirel Nadia Pavel Quinn Rosa Silas Tamar Viggo Wanda Yara Zeno "
    "Brisa Corin Delia Farid Greta Hugo Juno Kasper Lotte Marek Nuria Petra Rafael Selma Timon Vera Wim Xenia "
    "Yorick Zora"
)
LAST_NAMES = _words(
    "Barlow Castell Dremmel Falk Gorski Hartig Jansen Kovar Lindqvist Moreau Nyberg Pellan Quist Renner Sandoz Tarnow "
    "Vasari Weller Yilmaz Zander Brandt Corvino Dorsey Fontane Gallo Hobbs Jarvi Kestner Lomax Mandel Novik Petrov "
    "Rossi Salter Thorne Varga Wolfe Xavier Yates Zeller"
)
CELEBRITY_FIRST = _words("Bruno Celeste Dante Felicia Gideon Helena Jasper Lucinda Magnus Noemi")
CELEBRITY_LAST = _words(
    "Blackwood Carmichael Fairfax Goldwyn Hawthorne Kingsley Lancaster Montrose Pemberton Winterbourne"
)

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "town": _words(
        "Brennick Calvera Dunmoor Fellin Gravholm Harrowby Jastrow Korvik Lorne Mistral Norvale Pinsk "
        "Rostrand Selby Tervon Velmar"
    ),
    "profession": _words(
        "baker carpenter dentist farmer gardener judge locksmith miner nurse painter potter sailor tailor "
        "teacher weaver welder"
    ),
    "hobby": _words(
        "chess climbing cycling dancing fencing fishing gliding juggling knitting pottery reading rowing "
        "sailing sculpting surfing theatre"
    ),
    "pet": _words(
        "canary cat dog donkey ferret frog goat goldfish hamster lizard parrot pony rabbit snake tortoise turkey"
    ),
    "dish": _words(
        "bread cheese curry dumplings goulash kebab lasagne mushrooms noodles pancakes pizza risotto salad soup "
        "stew waffles"
    ),
}
"""Facts about a life, uniform and independent of each other, of the name and of the face."""

FEATURES: dict[str, tuple[str, ...]] = {
    "skin": ("pale", "tan", "brown", "dark"),
    "hair": ("black", "brown", "blond", "red", "white", "blue", "green", "pink"),
    "style": ("short", "long", "curly", "tufted", "spiky", "braided"),
    "shape": ("round", "narrow", "square"),
    "glasses": ("no", "round", "square", "dark"),
    "hat": ("no", "cap", "topper", "beret", "headband", "crown"),
    "hatcolour": ("red", "yellow", "green", "blue", "white", "black"),
    "beard": ("no", "moustache", "goatee", "full"),
    "clothes": ("red", "orange", "yellow", "green", "blue", "purple", "white", "black"),
    "pattern": ("plain", "striped", "dotted", "checked"),
    "extra": ("nothing", "scarf", "necklace", "tie", "earrings"),
}
"""Visible identity: what stays the same in every picture of one person."""

PLACES = ("garden", "beach", "library", "street", "night", "snow", "kitchen", "studio")
MOODS = ("smiling", "serious", "laughing", "surprised")
LANDMARKS = ("lighthouse", "windmill", "pyramid", "bridge", "castle", "rocket", "boat", "tent")
LANDMARK_COLOURS = ("red", "yellow", "green", "blue", "purple", "white")
