"""A bundle: one folder with all that turns a crop into a vector, and a record that binds the parts together.

``bundle.json`` says how images are prepared and which weights belong to that; it quotes the checksum of
every other file and ends in one of its own. So a file that was exchanged, and a setting that was edited,
are refused before anything is computed. This module needs no torch.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from drfm.config.schema import ImagesConfig
from drfm.errors import DrfmError
from drfm.files import fingerprint, read_json, sha256_file, write_atomic, write_error, write_json
from drfm.gallery.modelcard import model_card

RECORD, CARD, WEIGHTS, SR = "bundle.json", "README.md", "model.safetensors", "sr"
FORMAT = 1
_SEAL = 64
_MEND = "copy the whole folder again, or make it again with `drfm bundle`"


@dataclass(frozen=True)
class Preprocessing:
    """What is done to a crop before the network sees it.

    Attributes:
        images: sizes, kernel, rates and super-resolution back end.
        lr_below: a crop with fewer rows than this is an LR capture.
        features: test feature that is the vector, a key of :data:`drfm.evaluation.protocol.FEATURES`.
        flip: the vector is averaged with that of the mirrored crop.
        mean, std: of RGB values in 0..1, subtracted and divided by.
    """

    images: ImagesConfig
    lr_below: int
    features: str
    flip: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Preprocessing":
        """What :meth:`to_dict` gave, after its way through JSON."""
        images: dict[str, Any] = {
            key: tuple(item) if isinstance(item, list) else item for key, item in value["images"].items()
        }
        pixels = {key: tuple(value[key]) for key in ("mean", "std")}
        return cls(ImagesConfig(**images), value["lr_below"], value["features"], value["flip"], **pixels)


@dataclass(frozen=True)
class Bundle:
    """A bundle whose record and files agree.

    Attributes:
        folder: where it lies.
        record: the content of ``bundle.json``.
    """

    folder: Path
    record: dict[str, Any]

    @property
    def id(self) -> str:
        """16 hexadecimal digits that change with any weight and any step of the preparation.

        Vectors of two bundles with one id can be compared; those of others cannot. A new calibration
        does not change it.
        """
        return str(self.record["id"])

    @property
    def preprocessing(self) -> Preprocessing:
        """How crops are prepared."""
        return Preprocessing.from_dict(self.record["encoder"]["preprocessing"])


def write_bundle(out: Path, record: Mapping[str, Any], files: Mapping[str, Path]) -> Bundle:
    """Write a bundle that appears at once or not at all.

    Args:
        out: its folder; must not be there yet.
        record: ``encoder`` (``model``, ``preprocessing``, ``sr``), ``training``, ``licence`` and so on,
            without format, id and checksums.
        files: name below the folder to the file that is copied.

    Raises:
        DrfmError: ``out`` exists, or cannot be written.
    """
    out = Path(out)
    if out.exists():
        raise DrfmError(f"{out}: exists already; choose another --out folder, or remove it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    except OSError as error:
        raise write_error(out, error) from error
    try:
        for name, source in files.items():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, made / name)
        sums = {name: sha256_file(made / name) for name in files}
        whole = {**record, "format": FORMAT, "id": fingerprint(record["encoder"]), "files": sums}
        _write_record(made, whole)
        made.chmod(0o755)
        made.rename(out)
    except OSError as error:
        raise write_error(out, error) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return read_bundle(out)


def read_bundle(folder: Path) -> Bundle:
    """Open a bundle and compare every file with its checksum.

    Raises:
        DrfmError: a part is missing, damaged, exchanged or edited, or of another version of drfm.
    """
    folder = Path(folder)
    if not (folder / RECORD).is_file():
        raise DrfmError(
            f"{folder}: is no bundle ({RECORD} is missing); `drfm bundle RUN --out {folder}` makes one"
        )
    record = check_record(read_json(folder / RECORD), folder / RECORD)
    for name, expected in record["files"].items():
        accepted = {expected, record.get("earlier_card", expected)} if name == CARD else {expected}
        if _checksum(folder / name) not in accepted:
            raise DrfmError(f"{folder / name}: is missing, or not the file of this bundle; {_MEND}")
    return Bundle(folder, record)


def check_record(record: Any, source: Path) -> dict[str, Any]:
    """``record`` if it is what :func:`write_bundle` wrote, to the last digit.

    Raises:
        DrfmError: it is of another format, or was edited or damaged; ``source`` is named.
    """
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        found = record.get("format") if isinstance(record, dict) else None
        raise DrfmError(
            f"{source}: format {found}, this version of drfm reads {FORMAT}; use the version that wrote it"
        )
    if record.get("checksum") != _seal(record) or record.get("id") != fingerprint(record.get("encoder")):
        raise DrfmError(f"{source}: was changed after it was written (its checksum does not fit); {_MEND}")
    try:
        Preprocessing.from_dict(record["encoder"]["preprocessing"])
    except (KeyError, TypeError) as error:
        raise DrfmError(
            f"{source}: its preparation does not fit this version of drfm ({error}); "
            "use the version that wrote it"
        ) from None
    return record


def write_calibration(bundle: Bundle, calibration: Mapping[str, Any]) -> Bundle:
    """Put a calibration into the record and the card; weights, preparation and id stay as they are."""
    record = {**bundle.record, "calibration": dict(calibration)}
    # The record goes first and vouches for the card of before too: a crash between the two does no harm.
    record["earlier_card"] = record["files"][CARD]
    _write_record(bundle.folder, record)
    return read_bundle(bundle.folder)


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    card = model_card(record)
    record["files"] = {**record["files"], CARD: hashlib.sha256(card.encode()).hexdigest()}
    record["checksum"] = _seal(record)
    write_json(folder / RECORD, record)
    write_atomic(folder / CARD, card)


def _seal(record: Mapping[str, Any]) -> str:
    return fingerprint({key: value for key, value in record.items() if key != "checksum"}, _SEAL)


def _checksum(path: Path) -> str | None:
    try:
        return sha256_file(path)
    except OSError:
        return None
