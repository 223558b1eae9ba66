"""Zips that are damaged or made to do harm: each is refused with one sentence, and nothing of it is ever written."""

from __future__ import annotations

import io
import json
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load, save

from core import RunError
from core.runs.archive_zip import import_zip, opened
from core.runs.file_names import METRICS, PREDICTIONS, RECORD, WEIGHTS
from core.utils.fingerprint import fingerprint

Files = dict[str, bytes]
ENDS = "; pack the run again where it came from"


def zipped(files: Files, folder: str = "digits/", pack: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", pack) as made:
        for name, data in files.items():
            made.writestr(folder + name, data)
    return out.getvalue()


def with_more(name: str, data: bytes = b"x", **info: int) -> Callable[[Files], bytes]:
    """A good zip with one more member, under exactly this name."""

    def make(files: Files) -> bytes:
        out = io.BytesIO(zipped(files))
        entry = zipfile.ZipInfo("placeholder")
        entry.filename = entry.orig_filename = name  # the constructor would mend the name
        for key, value in info.items():
            setattr(entry, key, value)
        with zipfile.ZipFile(out, "a") as made, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python itself warns of a name that comes twice
            made.writestr(entry, data)
        return out.getvalue()

    return make


def changed(name: str, change: Callable[[bytes], bytes], pack: int = zipfile.ZIP_STORED) -> Callable[[Files], bytes]:
    return lambda files: zipped({**files, name: change(files[name])}, pack=pack)


def record(**entries: object) -> Callable[[Files], bytes]:
    return changed(RECORD, lambda data: json.dumps({**json.loads(data), **entries}).encode())


def weights(change: Callable[[dict[str, np.ndarray]], object]) -> Callable[[Files], bytes]:
    """Other weights, with the checksum in run.json that goes with them."""

    def make(files: Files) -> bytes:
        arrays = load(files[WEIGHTS])
        change(arrays)
        told = {**json.loads(files[RECORD]), "weights_sha256": fingerprint(arrays)}
        return zipped({**files, WEIGHTS: save(arrays, {"format": "pt"}), RECORD: json.dumps(told).encode()})

    return make


def header(change: Callable[[dict], object]) -> Callable[[Files], bytes]:
    """Another header of the weights' file."""

    def edit(data: bytes) -> bytes:
        (length,) = struct.unpack("<Q", data[:8])
        found = json.loads(data[8 : 8 + length])
        change(found)
        text = json.dumps(found).encode()
        return struct.pack("<Q", len(text)) + text + data[8 + length :]

    return changed(WEIGHTS, edit)


def table(change: Callable[[pa.Table], pa.Table]) -> Callable[[bytes], bytes]:
    def edit(data: bytes) -> bytes:
        out = io.BytesIO()
        pq.write_table(change(pq.read_table(io.BytesIO(data))), out)
        return out.getvalue()

    return edit


def poke(signature: bytes, offset: int, value: bytes, after: str = RECORD) -> Callable[[Files], bytes]:
    """A good zip with bytes replaced in the entry of `after` in its list of contents (or its last record)."""

    def make(files: Files) -> bytes:
        data = bytearray(zipped(files))
        at = data.rfind(after.encode()) - 46 - len("digits/") if signature == b"PK\1\2" else data.rfind(signature)
        assert data[at : at + 4] == signature
        data[at + offset : at + offset + len(value)] = value
        return bytes(data)

    return make


def overlapping(found: dict) -> None:
    names = [name for name in found if name != "__metadata__" and len(found[name]["shape"]) == 2]
    for name in names[1:2]:
        start = found[names[0]]["data_offsets"][0]
        size = found[name]["data_offsets"][1] - found[name]["data_offsets"][0]
        found[name]["data_offsets"] = [start, start + size]


def first(arrays: dict[str, np.ndarray]) -> str:
    return min(name for name in arrays if arrays[name].ndim == 2)


LINK = (stat.S_IFLNK | 0o777) << 16
HOSTILE: dict[str, tuple[Callable[[Files], bytes], str]] = {
    "a path out of the folder": (with_more("digits/../../evil.json"), r"'digits/\.\./\.\./evil\.json' leads out"),
    "an absolute path": (with_more("/etc/run.json"), r"'/etc/run\.json' leads out of its folder"),
    "a drive letter": (with_more("C:run.json"), r"'C:run\.json' leads out of its folder"),
    "backslashes": (with_more("..\\..\\run.json"), r"leads out of its folder"),
    "a link": (with_more("digits/notes.json", b"/etc/passwd", external_attr=LINK), r"notes\.json' is a link, not a"),
    "a device": (with_more("digits/notes.json", external_attr=(stat.S_IFCHR | 0o666) << 16), r"is a folder or device"),
    "a bomb by ratio": (
        changed(WEIGHTS, lambda data: bytes(300 * 2**20), zipfile.ZIP_DEFLATED),
        r"model\.safetensors would grow more than 200 times when it is unpacked",
    ),
    "a bomb by its own account": (poke(b"PK\1\2", 24, b"\xfe\xff\xff\xff"), r"run\.json would have 4,294,967,294 byte"),
    "a bomb by count": (
        lambda files: zipped({**files, **{f"{k}": b"" for k in range(10_000)}}),
        r"its list of contents has [\d,]+ bytes, more than the 65,536 it may",
    ),
    "more files than a run has": (
        lambda files: zipped({**files, **{f"{k}": b"" for k in range(90)}}),
        r"it holds \d+ files, more than the 64 it may",
    ),
    "the kind for huge files": (poke(b"PK\5\6", 12, b"\xff\xff\xff\xff"), r"\(zip64\)"),
    "a zip in a zip": (lambda files: zipped({"digits.zip": zipped(files)}, ""), r"'digits\.zip', which is no file of"),
    "another schema": (record(schema=99), r"run\.json has schema 99, this version reads up to 1"),
    "no schema": (record(schema=None), r"run\.json has no schema version"),
    "a pickle": (with_more("digits/model.pkl"), r"'digits/model\.pkl', which is no file of a run"),
    "a program": (with_more("digits/load.py"), r"'digits/load\.py', which is no file of a run"),
    "wrong shapes": (weights(lambda a: a.update({first(a): a[first(a)].T.copy()})), r"has shape .*, the layout needs"),
    "a missing tensor": (weights(lambda a: a.pop(first(a))), r"model\.safetensors lacks tensor"),
    "an extra tensor": (weights(lambda a: a.update(extra=np.zeros(3, np.float32))), r"tensor 'extra', which the lay"),
    "weights that are no numbers": (weights(lambda a: a[first(a)].__setitem__(0, np.nan)), r"are not finite"),
    "other weights": (
        changed(WEIGHTS, lambda data: data[:-4] + b"\0\0\x80\x3f"),
        r"does not hold the weights that run\.json describes",
    ),
    "a truncated table": (changed(METRICS, lambda data: data[: len(data) // 2]), r"metrics\.parquet is not a readable"),
    "a table of other columns": (changed(METRICS, table(lambda t: t.drop(["bytes"]))), r"metrics\.parquet lacks bytes"),
    "a table without intervals": (
        changed(METRICS, table(lambda t: t.drop(["accuracy_low"]))),
        r"metrics\.parquet lacks accuracy_low",
    ),
    "a table of words": (
        changed(PREDICTIONS, table(lambda t: t.set_column(0, "example", [["x"] * len(t)]))),
        r"predictions\.parquet holds something other than numbers",
    ),
    "a huge header": (
        changed(WEIGHTS, lambda data: struct.pack("<Q", 2**40) + data[8:]),
        r"model\.safetensors is not a readable safetensors file",
    ),
    "tensors that overlap": (header(overlapping), r"model\.safetensors is not a readable safetensors file"),
    "a name twice": (with_more("digits/run.json"), r"it holds run\.json twice"),
    "names that differ in case": (with_more("digits/RUN.json"), r"'digits/RUN\.json', which is no file of a run"),
    "two folders": (with_more("other/notes.json", b"{}"), r"not all in one folder"),
    "folders in folders": (lambda files: zipped(files, "a/b/"), r"not all in one folder"),
    "control characters": (with_more("digits/no\x1b[2Jtes.json"), r"'digits/no\\x1b\[2Jtes\.json' holds a control"),
    "a NUL": (with_more("digits/notes.json\0.exe"), r"holds a control character"),
    "an encrypted file": (poke(b"PK\1\2", 8, b"\1"), r"run\.json is encrypted"),
    "another packing": (poke(b"PK\1\2", 10, b"\x0c"), r"run\.json is packed in a way that is not read here"),
    "a wrong checksum": (poke(b"PK\1\2", 16, b"\0\0\0\0"), r"it is damaged \(Bad CRC-32 for file"),
    "cut short": (lambda files: zipped(files)[:-3000], r"it is no zip file, or its end is missing"),
    "its beginning missing": (lambda files: zipped(files)[3000:], r"it is damaged|no file of a run|Bad magic"),
    "no zip": (lambda files: b"GIF89a" + bytes(900), r"it is no zip file, or its end is missing"),
    "nothing": (lambda files: b"", r"it is no zip file"),
    "an empty zip": (lambda files: zipped({}), r"it is empty"),
    "no record": (lambda files: zipped({WEIGHTS: files[WEIGHTS]}), r"it holds no run\.json"),
    "a record of 100 MB": (
        lambda files: zipped({**files, RECORD: b" " * (100 * 2**20)}, pack=zipfile.ZIP_DEFLATED),
        r"run\.json would have 104,857,600 bytes, more than the 8,388,608 it may",
    ),
    "a record that nests": (changed(RECORD, lambda data: b"[" * 10**6), r"run\.json is not JSON"),
    "a folder that is no name": (lambda files: zipped(files, "..x y/"), r"its folder '\.\.x y' can't name a run"),
    "a polished point that is none": (
        with_more("digits/polished.safetensors", b"junk" * 9),
        r"polished\.safetensors is not a readable",
    ),
    "notes that are none": (with_more("digits/notes.json", b"[]"), r"notes\.json holds no notes"),
    "notes that are a book": (with_more("digits/notes.json", b" " * 70_000), r"notes\.json would have 70,000 bytes"),
}


@pytest.fixture(scope="module")
def files(whole: Path) -> Files:
    return {file.name: file.read_bytes() for file in sorted(whole.iterdir())}


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in [folder, *folder.rglob("*")]}


@pytest.mark.slow
@pytest.mark.parametrize("how", HOSTILE)
def test_refused_with_one_sentence_and_nothing_written(files, store, put, tmp_path, how) -> None:
    make, reason = HOSTILE[how]
    put("other")
    data = io.BytesIO(make(files))
    before = listing(tmp_path)
    with pytest.raises(RunError, match=reason) as looked, opened(data, "digits.zip"):
        pass
    with pytest.raises(RunError, match=reason) as imported:
        import_zip(store, data, "digits.zip")
    for refused in (str(looked.value), str(imported.value)):
        assert refused.startswith("this zip is not taken in: ")
        assert refused.endswith(ENDS)
        assert refused.count(";") <= 2
        assert refused.isprintable()
        assert len(refused) < 300
        assert str(tmp_path) not in refused
    after = listing(tmp_path)
    assert after.keys() == before.keys()
    assert all(after[name] == before[name] for name in before if name != str(store.folder)), "its own time may change"


def test_the_same_without_harm_is_taken_in(files, store) -> None:
    """What the hostile ones are made from is refused for nothing else."""
    import_zip(store, io.BytesIO(zipped(files)), "digits.zip")
    import_zip(store, io.BytesIO(zipped(files, "", zipfile.ZIP_DEFLATED)), "my digits (1).zip")
    mac = with_more("__MACOSX/digits/._run.json")(files)
    import_zip(store, io.BytesIO(mac), "digits.zip", "from-a-mac")
    assert sorted(store.ids()) == ["digits", "from-a-mac", "my-digits-1"]
    for name in store.ids():
        assert {path.name: path.read_bytes() for path in (store.folder / name).iterdir()} == files
