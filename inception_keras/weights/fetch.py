"""Downloads weights files, each once, and keeps them in a folder. A file there is always complete."""

import hashlib
import os
import re
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

if TYPE_CHECKING:
    from http.client import HTTPResponse

_CHUNK = 1 << 20  # bytes
_TIMEOUT = 30  # seconds without any data


def cache_folder() -> Path:
    """The folder for downloaded files: `$INCEPTION_KERAS_HOME`, or the system's cache folder."""
    if home := os.environ.get("INCEPTION_KERAS_HOME"):
        return Path(home)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "inception_keras"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "inception_keras"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "inception_keras"


def fetch(url: str, md5: str = "") -> Path:
    """The local path of a file. The file is downloaded first if it is not in `cache_folder()`.

    Args:
        url: `https://...`, `http://...`, `hf://owner/repository` for the file `model.safetensors` of a repository, or
            `hf://owner/repository/file`. If the file's name ends in `-` and at least 8 hex digits, such as
            `vgg16-397923af.pth`, the digits must be the beginning of its SHA-256.
        md5: The file's MD5, for a file whose name has no such digits.

    Raises:
        ValueError: If the address has another form, or the downloaded file has another checksum than the published one.
        OSError: If the file cannot be downloaded; the message says why.
    """
    source = _address(url)
    parts = urlsplit(source)
    path = [part for part in unquote(parts.path).split("/") if part]
    if parts.scheme not in ("http", "https") or not parts.hostname or not path or ".." in path:
        raise ValueError(f"An address of weights must be https://, http:// or hf://owner/repository, got {url!r}.")
    target = cache_folder().joinpath(parts.hostname, *path)
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        _download(source, target, md5)
    return target


def _address(url: str) -> str:
    if not url.startswith("hf://"):
        return url
    owner, _, rest = url.removeprefix("hf://").partition("/")
    repository, _, file = rest.partition("/")
    if not (owner and repository):
        raise ValueError(f"An address of the hub must be hf://owner/repository, got {url!r}.")
    return f"https://huggingface.co/{owner}/{repository}/resolve/main/{file or 'model.safetensors'}"


def _download(url: str, target: Path, md5: str) -> None:
    """Downloads to a temporary file beside the target, checks the file, and only then renames it."""
    with NamedTemporaryFile(dir=target.parent, prefix=target.name, suffix=".part", delete=False) as part:
        temporary = Path(part.name)
    try:
        # some hosts refuse Python's default user agent
        with urlopen(Request(url, headers={"User-Agent": "inception_keras"}), timeout=_TIMEOUT) as answer:
            _copy(answer, temporary, url)
        _check(temporary, target.name, url, md5)
        temporary.replace(target)
    except HTTPError as error:
        raise OSError(f"{url} could not be fetched: HTTP {error.code} {error.reason}.") from None
    except (URLError, TimeoutError, ConnectionError) as error:
        raise OSError(f"{url} could not be fetched: {getattr(error, 'reason', error)}.") from None
    finally:
        temporary.unlink(missing_ok=True)


def _copy(answer: "HTTPResponse", path: Path, url: str) -> None:
    size = 0
    with path.open("wb") as file:
        while chunk := answer.read(_CHUNK):
            size += file.write(chunk)
    promised = answer.headers.get("Content-Length")
    if promised is not None and size != int(promised):
        raise OSError(f"{url} could not be fetched: the connection broke after {size} of {promised} bytes.")


def _check(path: Path, name: str, url: str, md5: str) -> None:
    """Raises a ValueError if the file's checksum differs from the published one."""
    named = re.search(r"-([0-9a-f]{8,64})(\.\w+)+$", name)
    kind, wanted = ("sha256", named[1]) if named else ("md5", md5)
    if not wanted:
        return
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, kind).hexdigest()
    if not digest.startswith(wanted):
        raise ValueError(f"What came from {url} is damaged: its {kind} is {digest}, not {wanted}.")
