"""What do hostile devices cost the honest ones, by attack and by method or rule?

    python benchmarks/attacks.py --data FOLDER --markdown docs/robustness.md

FOLDER holds the table of the recipe `feeders`: ten devices, of which some are hostile. The accuracy is that of
the honest ones after personalisation. Finished cells are kept in build/attacks.
"""

import argparse
import statistics
from pathlib import Path
from typing import get_args

from markers import replace_between
from online.tables import table

from fedmetaalign import load_recipe
from fedmetaalign.comparison.compare import compare
from fedmetaalign.federation.attacks import hostile
from fedmetaalign.recipe import with_settings
from fedmetaalign.recipe.compare import Attack

KEPT = Path(__file__).parents[1] / "build" / "attacks"
NONE = "none"
RULES = ("similarity", "mean", "fedadp", "median", "trimmed_mean", "krum")
ROWS = {
    "fleet": {"method": "fleet", "recipe": "fleet"},
    "fleet, any reach": {"method": "fleet", "recipe": "fleet", "settings": {"groups.reach": 1e9}},
    **{
        f"fed_meta_align, {rule}": {
            "method": "fed_meta_align",
            "settings": {"parallel.aggregation": rule, "parallel.byzantine": 0.3},
        }
        for rule in RULES
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the table")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--only", default="", help="attacks, by default all")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the table in FILE")
    options = parser.parse_args()
    attacks = options.only.split(",") if options.only else list(get_args(Attack))
    found = {attack: accuracies(attack, options) for attack in (NONE, *attacks)}
    rows = [
        (row, *("diverged" if found[a][row] is None else f"{found[a][row]:.1f}" for a in found))
        for row in ("local_only", *ROWS)
    ]
    text = table((f"{options.seeds} seeds, {100 * options.share:.0f} % hostile", *found), rows)
    print(text)
    if options.markdown:
        replace_between(options.markdown, f"attacks {options.share:g}", text)


def accuracies(attack: str, options: argparse.Namespace) -> dict[str, float | None]:
    """Returns the honest devices' mean accuracy in % by row; None where training diverged on a seed."""
    given = {
        "compare.methods": ["local_only"],
        "compare.learning_rates": [1e-3],
        "compare.variants": ROWS,
        "compare.hostile": options.share,
        **({} if attack == NONE else {"compare.attack": attack}),
    }
    recipe = with_settings(load_recipe("feeders", data=options.data), given)
    judged = compare(recipe, KEPT / f"{attack}-{options.share:g}", options.seeds, cells=KEPT / "cells")
    liars = hostile(tuple(judged["devices"]), options.share) if attack == NONE else ()
    honest = [name for name in judged["devices"] if name not in liars]
    return {
        row: None
        if each["diverged"]
        else 100 * statistics.mean(each["devices"][name]["accuracy"]["mean"] for name in honest)
        for row, each in judged["methods"].items()
    }


if __name__ == "__main__":
    main()
