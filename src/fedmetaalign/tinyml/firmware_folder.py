"""A device's C code, made of its bundle when somebody wants it: the bundle holds all that decides it.

It is the same for the same bundle and version of this package. `bundle.json` names the version and the C
sources that the bundle was made beside, and its golden vectors go with the code, for `main.c` and `verify`.
"""

import json
from pathlib import Path

from fedmetaalign.tinyml import bundle as bundles
from fedmetaalign.tinyml import codegen, golden, windows
from fedmetaalign.tinyml.head import header


def texts(folder: Path) -> dict[str, str]:
    """Returns the C code of a bundle, by file name: that which it brings, or else this version's.

    Raises:
        BundleError: the bundle is damaged, or the firmware has no room for its network.
    """
    content = bundles.read(folder)
    own = folder / bundles.FIRMWARE
    if (own / "fma_model.h").exists():
        return {path.name: path.read_text(encoding="utf-8") for path in sorted(own.iterdir())}
    signal = content.preparation.signal
    return codegen.files(
        content.device,
        content.network,
        content.preparation,
        content.threshold,
        golden.read(folder / "golden.csv", content.preparation, content.labels).raw,
        header(content.network, content.labels),
        content.labels,
        content.reference,
        content.constant,
        None if signal is None else windows.read(folder / windows.NAME, signal),
        content.target,
    )


def unpack(folder: Path, out: Path) -> str | None:
    """Writes the C code of a bundle into a folder.

    Args:
        folder: the bundle.
        out: is made; files of the same names are replaced.

    Returns:
        A sentence where the C sources are not those that the bundle was made beside; else None.

    Raises:
        BundleError: as `texts`.
        OSError: the folder cannot be written.
    """
    found = texts(folder)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in found.items():
        (out / name).write_text(text, encoding="utf-8")
    facts = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    if facts.get("firmware", codegen.sources_digest()) == codegen.sources_digest():
        return None
    made = facts["versions"].get("fedmetaalign", "another version")
    return (
        f"{folder} was made by fedmetaalign {made}, whose C sources are others than this version's, which {out}"
        " has: run `fedmetaalign verify` on the bundle before you deploy it."
    )
