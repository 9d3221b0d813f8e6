"""Fonts for names in any script: DejaVu Sans, which matplotlib carries, and what the system has beside it."""

import unicodedata
import warnings
from collections.abc import Collection, Iterable
from pathlib import Path

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from ..text import JOINERS, is_control

FAMILY = "DejaVu Sans"  # a text in it is as wide everywhere
INVISIBLE = JOINERS + "\ufe0e\ufe0f"  # they join or choose glyphs, and have none of their own
_family_of: dict[str, str | None] = {}  # of each character that was looked for beyond DejaVu Sans


def families(text: str) -> list[str]:
    """The families of fonts that have the characters of a text, DejaVu Sans first, for matplotlib's `fontfamily`."""
    found = _search(text)
    return [FAMILY, *dict.fromkeys(family for character in text if (family := found.get(character)))]


def weight(text: str, bold: bool) -> str:
    """The weight of a text: only DejaVu Sans is known to have bold letters."""
    return "bold" if bold and not _search(text) else "normal"


def shown(text: str) -> str:
    """The text as matplotlib can draw it: a box for each character that no font of this system has."""
    found = _search(text)
    kept = "".join(c for c in text if c not in INVISIBLE or found.get(c, FAMILY))
    return "".join(" " if is_control(c) else c if found.get(c, FAMILY) else "□" for c in kept)


def names_shown(texts: Iterable[str], instead: str = "") -> list[str]:
    """The texts as matplotlib can draw them.

    A text with characters that no font of this system has becomes `instead` with its number in place of "{}", or has
    boxes in their place; a warning says which font to install.
    """
    texts = list(texts)
    found = _search("".join(texts))
    missing = "".join(c for c, family in found.items() if family is None and not is_control(c) and c not in INVISIBLE)
    if missing:
        warnings.warn(
            f"No font of this system has {missing[:20]}{' and more' if len(missing) > 20 else ''}: "
            f"to see these names in pictures, install {_package(missing[0])}.",
            stacklevel=3,
        )
    lost = [instead and any(c in missing for c in text) for text in texts]
    return [instead.format(i) if lost[i] else shown(text) for i, text in enumerate(texts)]


def _search(text: str) -> dict[str, str | None]:
    """The family that has each character that DejaVu Sans lacks; None where no font has it."""
    dejavu = FT2Font(font_manager.findfont(FAMILY))
    wanted = {character for character in set(text) if not dejavu.get_char_index(ord(character))}
    if new := wanted - _family_of.keys():
        _family_of.update(dict.fromkeys(new))
        _look(new)
    return {character: _family_of[character] for character in sorted(wanted, key=text.index)}


def _look(characters: Collection[str]) -> None:
    """Searches the system's fonts; those that have the most of the characters come first."""
    having = {path: had for path in font_manager.findSystemFonts() if (had := _had(path, characters))}
    left = set(characters)
    while having:
        best = max(having, key=lambda path: (len(having[path] & left), _likeness(path)))
        had = having.pop(best) & left
        if not had:
            return
        font_manager.fontManager.addfont(best)
        family = font_manager.get_font(best).family_name
        _family_of.update(dict.fromkeys(had, family))
        left -= had


def _had(path: str, characters: Iterable[str]) -> set[str]:
    try:
        font = FT2Font(path)
    except Exception:  # a font that cannot be read is none
        return set()
    # matplotlib cannot draw fonts of bitmaps, such as coloured emoji
    return {c for c in characters if font.get_char_index(ord(c))} if font.scalable else set()


def _likeness(path: str) -> tuple[bool, bool, str]:
    """How much a font is like DejaVu Sans: first those without serifs, of regular weight."""
    name = Path(path).stem.lower()
    return "sans" in name, "regular" in name, name


def _package(character: str) -> str:
    """A font that has a character, and the package of Debian and Ubuntu that it comes in."""
    if unicodedata.name(character, "").startswith(("HANGUL", "CJK", "HIRAGANA", "KATAKANA")):
        return "Noto Sans CJK (apt install fonts-noto-cjk)"
    if unicodedata.category(character) in ("So", "Sk", "Cn"):  # emoji; coloured ones cannot be drawn
        return "Symbola (apt install fonts-symbola)"
    return "the Noto fonts (apt install fonts-noto-core)"
