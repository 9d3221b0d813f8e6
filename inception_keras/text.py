"""Text from outside, such as names of classes and files, on its way to a terminal or a picture."""

import unicodedata

JOINERS = "\u200c\u200d"  # Persian words and many emoji need them


def is_control(character: str) -> bool:
    """Whether a terminal would obey a character, or turn the text around it."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in JOINERS


def printable(text: object, keep: str = "") -> str:
    """The text with a replacement character for each control character, such as the beginning of an escape.

    Args:
        text: Anything; its `str` is printed.
        keep: Control characters that stay, such as a newline in a sentence of several lines.

    Examples:
        >>> from inception_keras.text import printable
        >>> printable("cat[/b] 고양이")
        'cat[/b] 고양이'
    """
    return "".join("\N{REPLACEMENT CHARACTER}" if is_control(c) and c not in keep else c for c in str(text))
