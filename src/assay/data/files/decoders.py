"""Decoders of compressed DICOM and TIFF files: which are installed, and those of imagecodecs for pydicom."""

from __future__ import annotations

import struct
from contextlib import suppress
from importlib import import_module
from typing import Any, Literal

from assay.core.errors import DISTRIBUTION, ExtraError, extra
from assay.data.files.pictures import check_scans
from assay.data.files.table import Unreadable

with extra("medical"):
    import tifffile
    from pydicom import uid
    from pydicom.encaps import generate_frames
    from pydicom.pixels.decoders.base import get_decoder

# pydicom and tifffile are partly untyped: unknown types are let through in this adapter alone.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

_LIBRARY = "imagecodecs"
_SYNTAXES = {
    "JPEG Lossless": uid.JPEGLosslessSV1,
    "JPEG of 12 bit": uid.JPEGExtended12Bit,
    "JPEG-LS": uid.JPEGLSLossless,
    "JPEG 2000": uid.JPEG2000Lossless,
    "HTJ2K": uid.HTJ2KLossless,
}
"""Compressions of DICOM that `assay doctor` names."""
_CODECS = {
    **dict.fromkeys((uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGExtended12Bit), "jpeg_decode"),
    **dict.fromkeys(uid.JPEGLSTransferSyntaxes, "jpegls_decode"),
    **dict.fromkeys((uid.JPEG2000Lossless, uid.JPEG2000), "jpeg2k_decode"),
    **dict.fromkeys((uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K), "jpeg2k_decode"),
}
"""Compression of DICOM -> the function of imagecodecs that decodes it."""
DECODER_DEPENDENCIES = dict.fromkeys(_CODECS, (_LIBRARY,))
"""See `pydicom.pixels.decoders.base.Decoder.add_plugin`."""


def is_available(syntax: str) -> bool:
    """Return whether imagecodecs decodes a compression here."""
    with suppress(ImportError):
        return syntax in _CODECS and bool(import_module(_LIBRARY))
    return False


def decode_frame(source: bytes, runner: Any) -> bytes:
    """Return the values of a frame for pydicom, which mends signs and unused bits."""
    codec = _CODECS[runner.transfer_syntax]
    if codec == "jpeg2k_decode":
        source = _codestream(source)
    check_coded(source, runner.rows * runner.columns * runner.samples_per_pixel)
    values = getattr(import_module(_LIBRARY), codec)(source)
    runner.set_option("bits_allocated", 8 * values.itemsize)
    runner.set_option("planar_configuration", 0)
    if str(runner.photometric_interpretation) in ("YBR_ICT", "YBR_RCT"):
        runner.set_option("photometric_interpretation", "RGB")
    return values.tobytes()


_CODESTREAM = b"\xff\x4f\xff\x51"
"""How JPEG 2000 begins: its size follows."""


def _codestream(source: bytes) -> bytes:
    """Return JPEG 2000 without the boxes that a whole JP2 file has before it; others as they are."""
    return source[max(0, source.find(_CODESTREAM)) :] if source[:2] != b"\xff\xd8" else source


def check_frames(dataset: Any) -> None:
    """Raise Unreadable where the first frame of a compressed DICOM file states more values than its header."""
    if dataset.file_meta.TransferSyntaxUID in (*_CODECS, uid.JPEGBaseline8Bit) and "PixelData" in dataset:
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        check_coded(_codestream(frame), dataset.Rows * dataset.Columns * dataset.SamplesPerPixel)


def contradicts_sign(dataset: Any) -> bool:
    """Return whether the JPEG 2000 of a DICOM file has a sign where the header has none, or none where it has one."""
    if dataset.file_meta.TransferSyntaxUID not in _CODECS or "PixelData" not in dataset:
        return False
    frame = _codestream(next(generate_frames(dataset.PixelData, number_of_frames=1)))
    return frame.startswith(_CODESTREAM) and bool(frame[42] >> 7) != bool(dataset.get("PixelRepresentation"))


_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Markers of JPEG and JPEG-LS that a size follows."""
_SCAN = 0xDA


def too_long() -> Unreadable:
    """Return the refusal of packed pixels that are more than the header of the file says."""
    return Unreadable("it unpacks to more than its header says (a decompression bomb?)", "copy or export it again")


def check_coded(source: bytes, most: int) -> None:
    """Raise Unreadable where a JPEG, JPEG-LS or JPEG 2000 image states more values than `most`, or no size."""
    if source.startswith(_CODESTREAM):
        right, bottom, left, top = struct.unpack(">4I", source[8:24])
        count = (right - left) * (bottom - top) * int.from_bytes(source[40:42])
    else:
        count, at, marker = 0, 2, 0
        while source[at : at + 1] == b"\xff" and marker != _SCAN:
            marker = source[at + 1]
            if marker in _FRAMES:
                height, width, samples = struct.unpack(">HHB", source[at + 5 : at + 10])
                count = max(count, height * width * samples)
            at += 1 if marker == 0xFF else 2 + int.from_bytes(source[at + 2 : at + 4])
    if not 0 < count <= most:
        raise too_long()
    check_scans(source)


_VALUE_BYTES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
"""Bytes of a value of each type of TIFF."""
_NESTED = (34665, 34853, 40965)
"""Tags whose value is the place of further tags: EXIF, GPS, interoperability."""


def check_tags(data: bytes) -> None:
    """Raise Unreadable where tags of a TIFF state more values than the file has, such as one block for many tags."""
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    wide = int.from_bytes(data[2:4], order) == 43
    head, entry, word = (8, 20, 8) if wide else (2, 12, 4)
    total = 0

    def integer_at(start: int, count: int) -> int:
        return int.from_bytes(data[start : start + count], order)

    def count_from(at: int, nested: bool) -> int:
        """Count the tags from a place on, and return where the next ones are."""
        nonlocal total
        count = min(integer_at(at, head), len(data) // entry)
        for start in range(at + head, at + head + count * entry, entry):
            kind = integer_at(start + 2, 2)
            values = (_VALUE_BYTES[kind] if kind < len(_VALUE_BYTES) else 0) * integer_at(start + 4, word)
            total += entry + (values if values > word else 0)
            if total > len(data):
                raise Unreadable("its tags hold more values than the file", "copy or export it again")
            if not nested and integer_at(start, 2) in _NESTED:
                count_from(integer_at(start + 4 + word, word), nested=True)
        return integer_at(at + head + count * entry, word)

    at, visited = integer_at(8 if wide else 4, word), set[int]()
    while at and at not in visited:
        visited.add(at)
        at = count_from(at, nested=False)


for _syntax in _CODECS:
    get_decoder(_syntax).add_plugin(_LIBRARY, (__name__, "decode_frame"))


def missing() -> dict[str, bool]:
    """Return for each compression whether it needs a library that is not installed."""
    lacking = {name: not _plugin(syntax, 12) for name, syntax in _SYNTAXES.items()}
    return {**lacking, "LZW of TIFF": not _unpacks(5, 1, 16)}


def install() -> str:
    """Return the line that installs decoders."""
    return f"pip install '{DISTRIBUTION}[medical]'"


def _absent(compression: str) -> ExtraError:
    return ExtraError(f"it is compressed as {compression}, which needs the library {_LIBRARY}: {install()}")


def plugin_of(dataset: Any) -> str:
    """Return the library by which pydicom decodes the pixels of a file; empty where they are not compressed.

    Raises:
        ExtraError: If it is not installed.
        Unreadable: If none decodes them.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        if not get_decoder(syntax).is_encapsulated:
            return ""
    except NotImplementedError:
        what = f"it is compressed as {syntax.name}, which pydicom does not decode"
        raise Unreadable(what, "export it without compression") from None
    plugin = _plugin(syntax, int(dataset.get("BitsStored", 8)))
    if not plugin:
        raise _absent(syntax.name)
    return plugin


def _plugin(syntax: uid.UID, bits: int) -> str:
    """Return the surest of the installed libraries; GDCM ends the whole process where a file contradicts itself."""
    narrow = ("pillow", "gdcm") if syntax == uid.JPEGExtended12Bit and bits > 8 else ()
    plugins = [name for name in get_decoder(syntax).available_plugins if name not in narrow]
    return min(plugins, key=lambda name: (name != _LIBRARY, name == "gdcm"), default="")


def check_tiff(page: Any, bits: int) -> None:
    """Raise ExtraError where a library is missing for a page, and Unreadable where none unpacks it."""
    if not _unpacks(page.compression, page.predictor, bits):
        if is_available(uid.JPEG2000):
            what = f"its compression {page.compression} is not read by tifffile"
            raise Unreadable(what, "export it without compression")
        raise _absent(getattr(page.compression, "name", str(page.compression)))


def _unpacks(compression: int, predictor: int, bits: int) -> bool:
    with suppress(KeyError):
        _ = tifffile.TIFF.DECOMPRESSORS[compression], tifffile.TIFF.UNPREDICTORS[predictor]
        return bits in (8, 16, 32, 64) or is_available(uid.JPEG2000)
    return False
