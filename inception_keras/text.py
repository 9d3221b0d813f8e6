"""What is shown where: notebooks, and text from outside that is made safe for terminals and images."""

import unicodedata

JOINERS = "\u200c\u200d"  # Persian words and many emoji need them


def in_notebook() -> bool:
    """Whether this process is a Jupyter kernel, which shows pictures and tables inline."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return type(get_ipython()).__name__ == "ZMQInteractiveShell"


def is_control(character: str) -> bool:
    """Whether a character controls a terminal, or changes the direction of the text around it."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in JOINERS


def printable(text: object, keep: str = "") -> str:
    """Replaces each control character, such as the beginning of an escape sequence, by a replacement character.

    Args:
        text: Any object; its `str` is used.
        keep: Control characters to keep, such as a newline in a message of several lines.

    Examples:
        >>> from inception_keras.text import printable
        >>> printable("cat[/b] 고양이")
        'cat[/b] 고양이'
    """
    return "".join("\N{REPLACEMENT CHARACTER}" if is_control(c) and c not in keep else c for c in str(text))
