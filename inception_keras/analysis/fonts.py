"""Fonts for names in any script: DejaVu Sans, which comes with matplotlib, and the fonts of the system."""

import unicodedata
import warnings
from collections.abc import Collection, Iterable
from pathlib import Path

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from ..text import JOINERS, is_control

FAMILY = "DejaVu Sans"  # comes with matplotlib, so texts are equally wide on every system
INVISIBLE = JOINERS + "\ufe0e\ufe0f"  # they join or select glyphs and have no glyph themselves
_family_of: dict[str, str | None] = {}  # of each character that was searched outside DejaVu Sans


def families(text: str) -> list[str]:
    """The font families that have the characters of a text, DejaVu Sans first, for matplotlib's `fontfamily`."""
    found = _search(text)
    return [FAMILY, *dict.fromkeys(family for character in text if (family := found.get(character)))]


def weight(text: str, bold: bool) -> str:
    """The font weight for a text. Only DejaVu Sans is known to have bold letters, so other texts are never bold."""
    return "bold" if bold and not _search(text) else "normal"


def shown(text: str) -> str:
    """The text as matplotlib can draw it. A box replaces each character that no font of this system has."""
    found = _search(text)
    kept = "".join(c for c in text if c not in INVISIBLE or found.get(c, FAMILY))
    return "".join(" " if is_control(c) else c if found.get(c, FAMILY) else "□" for c in kept)


def names_shown(texts: Iterable[str], instead: str = "") -> list[str]:
    """The texts as matplotlib can draw them.

    If no font of this system has some character of a text, the text is replaced by `instead`, with its index in place
    of "{}". Without `instead`, boxes replace the characters. A warning says which font to install.
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
    """The font family for each character that DejaVu Sans lacks; None if no font has the character."""
    dejavu = FT2Font(font_manager.findfont(FAMILY))
    wanted = {character for character in set(text) if not dejavu.get_char_index(ord(character))}
    if new := wanted - _family_of.keys():
        _family_of.update(dict.fromkeys(new))
        _look(new)
    return {character: _family_of[character] for character in sorted(wanted, key=text.index)}


def _look(characters: Collection[str]) -> None:
    """Searches the system's fonts for the characters. Fonts that have more of them come first."""
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
    except Exception:  # skip fonts that cannot be read
        return set()
    # matplotlib cannot draw bitmap fonts, such as coloured emoji
    return {c for c in characters if font.get_char_index(ord(c))} if font.scalable else set()


def _likeness(path: str) -> tuple[bool, bool, str]:
    """A sort key for likeness to DejaVu Sans: fonts without serifs and of regular weight rank highest."""
    name = Path(path).stem.lower()
    return "sans" in name, "regular" in name, name


def _package(character: str) -> str:
    """A font that has a character, and the Debian or Ubuntu package with that font."""
    if unicodedata.name(character, "").startswith(("HANGUL", "CJK", "HIRAGANA", "KATAKANA")):
        return "Noto Sans CJK (apt install fonts-noto-cjk)"
    if unicodedata.category(character) in ("So", "Sk", "Cn"):  # emoji; coloured ones cannot be drawn
        return "Symbola (apt install fonts-symbola)"
    return "the Noto fonts (apt install fonts-noto-core)"
