"""A manifest of the sources under the GPL or GFDL, which the weights that ship never saw.

    python tests/benchmarks/unseen_sources.py MORE OUT

MORE is the folder of further sources with its manifest.csv, which the data's make_triplets.py joins
with ``--more``; OUT/manifest.csv is then what its ``--src OUT`` reads. Left out are music, babble
(mixed from other voices), and speakers or recordings that also have files of another licence. Of
each kind every third speaker or recording, by name, is for test, the next for valid, the rest for
train.
"""

import csv
import sys
from pathlib import Path

WORDS = ("GPL", "GFDL")
LEFT_OUT = ("music", "babble")
SPLITS = ("test", "valid", "train")


def main() -> None:
    """Write the manifest."""
    more, out = (Path(word).resolve() for word in sys.argv[1:])
    with open(more / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] in ("voice", "noise")]
    unseen = [row for row in rows if any(word in row["licence"] for word in WORDS)]
    seen = {(row["kind"], row["id"]) for row in rows if row not in unseen}
    kept = [row for row in unseen if (row["kind"], row["id"]) not in seen
            and not any(word in row["label"] for word in LEFT_OUT)]  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [*rows[0], "est_snr_db"])
        table.writeheader()
        for kind in ("voice", "noise"):
            own = [row for row in kept if row["kind"] == kind]
            names = sorted({row["id"] for row in own})
            split = {name: SPLITS[i % 3] for i, name in enumerate(names)}
            for row in own:
                path = str(more / row["path"])
                table.writerow(row | {"path": path, "split": split[row["id"]], "est_snr_db": 99})


if __name__ == "__main__":
    main()
