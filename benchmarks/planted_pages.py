"""The tables and numbers of planted truth in the pages that quote them.

A page marks what is read from benchmarks/results/planted_truth:

    <!-- NAME -->0.98<!-- /NAME -->

NAME is a key of `values`. `write_pages` puts the values of today there (planted_truth_tables.py
calls it), and a test holds the pages against them, so that no number can go stale.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from planted_kinds import EVERYWHERE, KINDS
from planted_measures import REGIONS
from planted_results import RESULTS, read_plates
from planted_truth_tables import BOTH, GROUPS, HONEST, LEARNT, TREATED, UNTREATED

from gradcamo.auditing.verdict import TOGETHER
from gradcamo.errors import GradcamoError
from gradcamo.words import beside

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", *(f"docs/{name}.md" for name in ("planted_truth", "which_number", "causal")))
MARK = re.compile(r"<!-- ([\w-]+) -->(.*?)<!-- /\1 -->", re.S)
DEFAULT, EARLY = "block_2", "block_0"
"""The layer that a checkpoint of these networks names, and the one of the finest grid."""
LAYERS = ("block_0", "block_1", "block_2", "block_3", "block_4", "block_8", "block_10", "head")
FOUND = 0.95
"""AUROC from which, in every pair, a score tells a network from honest ones."""
GRADIENTS = ("averaged", "local")
NOT_RUN = "(not run yet)"
MADE = ("networks", "separation", "groups", "ranks", "shares", "causes")
"""Tables that planted_truth_tables.py makes of the networks' folders."""


def write_pages(root: Path = ROOT, folder: Path = RESULTS) -> list[str]:
    """Put the values of today into the pages; the names of those that changed."""
    told, changed = values(folder), []
    for name in PAGES:
        path = root / name
        before = path.read_text(encoding="utf-8")
        if (after := filled(before, told)) != before:
            path.write_text(after, encoding="utf-8")
            changed.append(name)
    return changed


def filled(page: str, told: Mapping[str, str]) -> str:
    """A page with each mark's value; a mark that nothing stands behind is an error."""
    return MARK.sub(lambda mark: f"<!-- {mark[1]} -->{told[mark[1]]}<!-- /{mark[1]} -->", page)


def values(folder: Path = RESULTS) -> dict[str, str]:
    """Every table and number that pages may quote, as Markdown.

    Raises
    ------
    GradcamoError
        If a table is not there, or damaged.
    """
    tables = {name: read_made(folder / f"{name}.csv") for name in MADE}
    sane = {name: folder / f"sanity_{name}.csv" for name in SANITY}
    tables |= {path.stem: read_made(path) for path in sane.values() if path.is_file()}
    networks = tables["networks"].fillna({"right": ""})
    needed = networks["plate"].unique()
    of_plates, probes = (read_plates(folder, name, needed) for name in ("plates", "probes"))
    of_networks = of_plates[of_plates["plate"].isin(needed)]
    pairs = tables["separation"].fillna({"layer": "", "gradients": ""})
    told = {
        "seeds": seeds(networks),
        "plates": plates(of_networks, probes),
        "networks": accuracies(networks),
        "causal": causal(networks, tables["causes"]),
        "finds": finds(networks, pairs, tables["causes"]),
        "together": together(tables["causes"]),
        "glance": glance(networks, pairs, tables["causes"]),
        "layers": by_layer(pairs),
        "pairs": by_pair(pairs),
        "ranks": by_rank(tables["ranks"]),
        "cutoff": passing(tables["shares"]),
        "loss": in_the_loss(networks, tables["shares"]),
        "cost": f"{networks['cpu_s'].mean() / 60:.0f}",
        **numbers(
            networks, tables["groups"].fillna({"layer": "", "gradients": ""}), tables["ranks"]
        ),
        **read_together(networks, tables["causes"]),
    }
    for name, make in SANITY.items():
        found = tables.get(f"sanity_{name}")
        none = NOT_RUN if name == "by_lot" else block(NOT_RUN)  # the one that is a sentence
        told[f"sanity-{name}"] = none if found is None else make(found)
    return told | sane_numbers(tables)


def read_made(path: Path) -> pd.DataFrame:
    """One of the tables that planted_truth_tables.py makes."""
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise GradcamoError(
            f"{path} cannot be read ({error}): run 'python benchmarks/planted_truth_tables.py', "
            "which makes it of the networks' folders"
        ) from error


def sane_numbers(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Single numbers of planted_sanity.py, as they stand in sentences."""
    none = pd.DataFrame(columns=["kind", "step", "order", "difference"])
    left, told = tables.get("sanity_randomised", none), {}
    untrained = pick(left, kind="background", step="blocks 1 to 15")
    told["untrained-auroc"] = extent(untrained.get("auroc_block_0_local", none["kind"]), two)
    told["untrained-effect"] = extent(
        pick(left, step="blocks 1 to 15").get("effect_left", none["kind"]), two
    )
    told["untrained-answered"] = extent(
        pick(left, step="blocks 1 to 15").get("answered", none["kind"]), percent
    )
    found = tables.get("sanity_faithful", none)
    wide = found.pivot_table(index="order", columns="kind", values="difference", dropna=False)
    maps = wide.drop(index=["random", "true region first"], errors="ignore")
    best = (maps.idxmax() == f"{EARLY}, local").sum() if len(maps) else 0
    told["faithful-best"] = f"{best} of {maps.shape[1]}"
    for kind in ("own", "background", "own-background-3", "vignette"):
        for name, order in (("local", f"{EARLY}, local"), ("random", "random")):
            there = kind in wide and order in wide.index
            told[f"faithful-{kind}-{name}"] = two(wide.at[order, kind] if there else float("nan"))
    return told


def numbers(networks: pd.DataFrame, groups: pd.DataFrame, ranks: pd.DataFrame) -> dict[str, str]:
    """Single numbers, as they stand in sentences."""
    told = {}
    for group in GROUPS:
        for treatment, name in ((TREATED, ""), (BOTH, "-both")):
            of = pick(groups, group=group, treatment=treatment)
            averaged = pick(of, score="grad_camo", layer=DEFAULT, gradients="averaged")
            local = pick(of, score="grad_camo", layer=EARLY, gradients="local")
            causal = pick(of, score="causal_own")
            told |= {
                f"{group}-averaged{name}": spread(averaged),
                f"{group}-local{name}": spread(local),
                f"{group}-causal{name}": spread(causal),
                f"{group}-pairs": f"{causal['pairs'].sum()} pairs of networks",
            }
    asked = networks[networks["right_region"].notna() & (networks["accuracy_paired"] >= LEARNT)]
    shares = asked["right_region"]
    told["right-region"] = f"{percent(shares.median())} ({extent(shares, percent)})"
    told["asked-networks"] = str(len(asked))
    loss = networks[networks["kind"].isin(GROUPS["pleased"])]
    told["pleased-networks"] = f"{(loss['right'] == 'background').sum()} of {len(loss)}"
    plain = pick(networks, kind="own-background")
    told["plain-clouds"] = f"{(plain['right'] == 'background').sum()} of {len(plain)}"
    for kind in ("focus", "vignette"):
        told[f"{kind}-background"] = extent(pick(networks, kind=kind)["background_only"], two)
    mixed = ranks[ranks["kind"] == "all"]
    for layer, gradients in ((DEFAULT, "averaged"), (EARLY, "averaged"), (EARLY, "local")):
        rho = pick(mixed, layer=layer, gradients=gradients)["rho"]
        told[f"rank-{layer.removeprefix('block_')}-{gradients}"] = extent(rho, two)
    return told


def read_together(networks: pd.DataFrame, causes: pd.DataFrame) -> dict[str, str]:
    """Of how many networks the verdict says that regions are read together, by what they use."""
    learnt = networks[networks["accuracy_paired"] >= LEARNT]
    said = causes.groupby(["kind", "seed"])["together"].any().reset_index()
    said = learnt.merge(said, on=["kind", "seed"])
    ways = {
        "everywhere": [kind for kind in KINDS if KINDS[kind].bounds == EVERYWHERE],
        "one": [
            kind
            for kind in KINDS
            if KINDS[kind].right not in ("", "by removal") and not KINDS[kind].network
        ],
        "two": [kind for kind in KINDS if KINDS[kind].right == "by removal"],
    }
    return {
        f"together-{name}": f"{of['together'].sum()} of {len(of)}"
        for name, kinds in ways.items()
        for of in [said[said["kind"].isin(kinds)]]
    }


def seeds(networks: pd.DataFrame) -> str:
    """How many networks of each kind the tables rest on."""
    counts = networks["kind"].value_counts()
    kinds = []
    for kind, count in ((kind, counts.get(kind, 0)) for kind in KINDS):
        of, borrowed = KINDS[kind].seeds, KINDS[kind].network
        told = f"{KINDS[kind].title} {count}" + f" of {of}" * (count < of)
        kinds.append(told + (f" (networks of {KINDS[borrowed].title})" if borrowed else ""))
    n = sum(not KINDS[kind].network for kind in networks["kind"])
    return f"{n} networks: {'; '.join(kinds)}"


def plates(counts: pd.DataFrame, probes: pd.DataFrame) -> str:
    """What was planted, what crops hold, and what linear probes read where."""
    rows = []
    for row in counts.to_dict("records"):
        holds = ["own", "neighbour", "background"]
        treated = " / ".join(str(row[f"treated_{where}"]) for where in holds)
        untreated = " / ".join(str(row[f"untreated_{where}"]) for where in holds)
        read = []
        for region in (*holds, "outlines"):
            of = pick(probes, plate=row["plate"], region=region)
            near = of.loc[of["guard_um"] == 0, "balanced_accuracy"].max()
            far = of.loc[of["guard_um"] == 3, "balanced_accuracy"].max()
            read.append(percent(near) + (f", {percent(far)}" if pd.notna(far) else ""))
        rows.append(
            [
                row["plate"],
                row["says"],
                f"{row['treated_cells']}: {treated}",
                f"{row['untreated_cells']}: {untreated}",
                *read,
            ]
        )
    head = [
        "plate",
        "treated",
        "treated cells: own / neighbour / background hold it",
        "untreated cells",
    ]
    return block(table([*head, "own read", "neighbours", "background", "outlines"], rows))


def accuracies(networks: pd.DataFrame) -> str:
    """Accuracy with and without the shortcut, by kind, in the order of the seeds."""
    rows = [
        [
            KINDS[kind].title,
            *(
                each(of.get(f"accuracy_{way}"), percent)
                for way in ("paired", "removed", "shuffled")
            ),
            each(of["right"].replace("", _nowhere(kind)), str),
            each(of["epochs"], lambda n: f"{n:.0f}"),
        ]
        for kind, of in _by_kind(networks)
    ]
    head = ["network", "as trained", "clouds removed", "dealt by lot", "must use", "epochs"]
    return block(table(head, rows))


def _nowhere(kind: str) -> str:
    """Where the class is that is in no single region."""
    return "everywhere" if KINDS[kind].bounds == EVERYWHERE else "outlines"


def causal(networks: pd.DataFrame, causes: pd.DataFrame) -> str:
    """What predictions owe, by kind: means over networks, and what is said beside the shares."""
    rows = []
    for kind, of in _by_kind(networks):
        title, of = _learnt(kind, of)
        owed = " / ".join(
            two(of[f"{region}_share"].mean()) for region in ("own", "neighbour", "background")
        )
        fills = causes[(causes["kind"] == kind) & causes["seed"].isin(of["seed"])][
            [f"volume_{r}" for r in ("own", "neighbour", "background")]
        ]
        rows.append(
            [
                title,
                extent(of["answered"] / of["asked"], percent),
                owed,
                " / ".join(map(two, fills.mean())),
                extent(of["right_region"].dropna(), percent),
                *(
                    extent(of[name].dropna(), two)
                    for name in ("layout", "swap", "limits", "against")
                ),
            ]
        )
    head = ["network", "answered", "owed to own / neighbour / background", "these fill"]
    return block(table([*head, "right region", "layout", "swap", "limits", "against"], rows))


def together(causes: pd.DataFrame) -> str:
    """What regions are needed for and worth alone, added up, by kind and class."""
    rows = [
        [KINDS[kind].title]
        + [
            extent(pick(of, treatment=treatment)[way].dropna(), two)
            for treatment in (TREATED, UNTREATED)
            for way in ("needed", "alone")
        ]
        for kind, of in _by_kind(causes)
    ]
    head = [f"{way}, {told}" for told in ("treated", "untreated") for way in ("needed", "alone")]
    return block(table(["network", *head], rows))


def finds(networks: pd.DataFrame, pairs: pd.DataFrame, causes: pd.DataFrame) -> str:
    """Which column tells which shortcut: the one that has to, with its bound, and all others."""
    rows = []
    for kind, of in _by_kind(networks):
        bounds = {bound.measure: bound for bound in KINDS[kind].bounds}
        title, of = _learnt(kind, of)
        against = pairs[(pairs["honest"] == "own") & (pairs["other"] == kind)]
        against = against[against["treatment"] == TREATED]
        row = [title]
        for way in SCORED:
            seen = pick(against, **way)
            well = len(seen) and seen["least"].min() >= FOUND
            row.append(spread(seen) + (" ✓" if well else " ✗") * (len(seen) > 0))
        for measure in MEASURES:
            told, bound = extent(of[measure].dropna(), two), bounds.get(measure)
            if bound and len(of):
                told = extent(of[measure].dropna(), lambda v, b=bound.bound: two(v, b))
                sign = {">=": "≥", "<=": "≤"}[bound.comparison]
                holds = _holds(of[measure], bound.comparison, bound.bound)
                told = f"**{told}** ({sign} {bound.bound:g}: {kept(holds)})"
            row.append(told)
        mine = causes[(causes["kind"] == kind) & causes["seed"].isin(of["seed"])]
        most = mine.groupby("seed")[["needed", "alone"]].max().max(axis=1).dropna()
        told = extent(most, two)
        if KINDS[kind].bounds == EVERYWHERE and len(most):
            said = mine.groupby("seed")["together"].any()
            told = f"**{told}** (> {TOGETHER:g} in most cells: {kept(said)})"
        rows.append([*row, told])
    head = ["shortcut", f"Grad-CAMO averaged, {DEFAULT}", f"local, {EARLY}", "`causal_own`"]
    return block(table([*head, *MEASURES.values(), "needed or alone, added up"], rows))


def glance(networks: pd.DataFrame, pairs: pd.DataFrame, causes: pd.DataFrame) -> str:
    """What finds what in ticks and counts of networks: `finds` without its numbers."""
    rows = []
    for kind, of in _by_kind(networks):
        of = _learnt(kind, of)[1]
        against = pick(pairs, honest="own", other=kind, treatment=TREATED)
        told = [KINDS[kind].title]
        for way in SCORED:
            seen = pick(against, **way)
            told.append("✓" if len(seen) and seen["least"].min() >= FOUND else "✗" * len(seen[:1]))
        regions = of[[f"{region}_share" for region in REGIONS]].idxmax(axis=1).value_counts()
        told.append(", ".join(f"{name.removesuffix('_share')} {n}" for name, n in regions.items()))
        together = causes[(causes["kind"] == kind) & causes["seed"].isin(of["seed"])]
        for flagged in (
            of["background_only"] >= 0.9,
            together.groupby("seed")["together"].any(),
            of["layout"] >= 0.5,
        ):
            told.append(f"{flagged.sum()} of {len(of)}")
        rows.append(told)
    head = ["network", "averaged map", "local map", "causal share", "largest share"]
    return block(table([*head, "background alone", "read together", "layout"], rows))


SCORED = (
    {"score": "grad_camo", "layer": DEFAULT, "gradients": "averaged"},
    {"score": "grad_camo", "layer": EARLY, "gradients": "local"},
    {"score": "causal_own", "layer": "", "gradients": ""},
)
"""Averaged maps of the layer that a checkpoint names, local ones of the finest grid, the share."""

MEASURES = {
    "right_region": "right region largest",
    "background_share": "background share",
    "largest_share": "largest share",
    "background_only": "right with background alone",
    "background_only_off": "its distance from guessing, in standard errors",
    "layout": "`causal_layout`",
}
"""Of `planted_measures.measures`, those that bounds are about, as the table heads them."""


def by_layer(pairs: pd.DataFrame) -> str:
    """AUROC of treated cells, own against background, layer by layer; then the causal share."""
    of = pick(pairs, honest="own", other="background", treatment=TREATED)
    rows = [
        [f"`{layer}`"]
        + [
            spread(pick(of, score=score, layer=layer, gradients=gradients))
            for score in ("grad_camo", "attainable")
            for gradients in GRADIENTS
        ]
        for layer in LAYERS
    ]
    rows.append(["`causal_own`, no layer", spread(pick(of, score="causal_own")), "", "", ""])
    head = ["layer", "Grad-CAMO averaged", "local", "`attainable` averaged", "local"]
    return block(table(head, rows))


def by_pair(pairs: pd.DataFrame) -> str:
    """AUROC of networks that can only use the cell against the others, by class."""
    rows, pairs = [], pairs[pairs["honest"].isin(HONEST)]
    for (honest, other), of in pairs.groupby(["honest", "other"], sort=False):
        used = ", used the background" * (KINDS[other].right == "by removal")
        row = [f"{KINDS[honest].title} against {KINDS[other].title}{used}"]
        row.append(str(int(pick(of, score="causal_own")["pairs"].max())))
        for treatment in (TREATED, BOTH):
            mine = of[of["treatment"] == treatment]
            row += [
                spread(pick(mine, score="grad_camo", layer=DEFAULT, gradients="averaged")),
                spread(pick(mine, score="grad_camo", layer=EARLY, gradients="local")),
                spread(pick(mine, score="causal_own")),
            ]
        rows.append(row)
    scores = [f"Grad-CAMO averaged, {DEFAULT}", f"local, {EARLY}", "`causal_own`"]
    head = [
        "AUROC of",
        "pairs",
        *(f"{s}, treated" for s in scores),
        *(f"{s}, both classes" for s in scores),
    ]
    return block(table(head, rows))


def by_rank(ranks: pd.DataFrame) -> str:
    """Spearman's ρ with the causal share: all networks mixed, and within networks of each kind."""
    within = ranks[(ranks["kind"] != "all") & ranks["told"].notna()]
    kinds = list(dict.fromkeys(within["kind"]))
    rows = []
    for layer in LAYERS:
        for gradients in GRADIENTS:
            at = {"layer": layer, "gradients": gradients}
            row = [f"`{layer}`, {gradients}", extent(pick(ranks, kind="all", **at)["rho"], two)]
            rows.append(
                row + [extent(pick(within, kind=kind, **at)["told"], two) for kind in kinds]
            )
    head = ["layer", "all networks mixed", *(f"within {KINDS[kind].title}" for kind in kinds)]
    return block(table(head, rows))


def passing(shares: pd.DataFrame) -> str:
    """Share of treated cells that reach the cut-off of 0.25, and what a flat map scores."""
    rows = []
    for kind, of in _by_kind(shares[shares["treatment"] == TREATED]):
        row = [KINDS[kind].title]
        for layer, gradients in ((DEFAULT, "averaged"), (EARLY, "averaged"), (EARLY, "local")):
            seen = pick(of, layer=layer, gradients=gradients)
            row += [each(seen["passing"], percent), each(seen["grad_camo"], two)]
        rows.append([*row, two(of["chance"].mean())])
    ways = (f"averaged, {DEFAULT}", f"averaged, {EARLY}", f"local, {EARLY}")
    head = ["network", *(text for way in ways for text in (f"reach 0.25: {way}", "mean"))]
    return block(table([*head, "a flat map"], rows))


def in_the_loss(networks: pd.DataFrame, shares: pd.DataFrame) -> str:
    """The plates on which the class can be read twice, without and with Grad-CAMO in the loss."""
    rows = []
    for kind, of in _by_kind(networks[networks["kind"].str.startswith("own-background")]):
        seen = pick(shares, kind=kind, treatment=TREATED)
        rows.append(
            [
                KINDS[kind].title,
                *(
                    each(of.get(f"accuracy_{way}"), percent)
                    for way in ("paired", "removed", "shuffled")
                ),
                *(
                    each(pick(seen, layer=layer, gradients=gradients)["grad_camo"], two)
                    for layer, gradients in (
                        (EARLY, "averaged"),
                        ("block_1", "averaged"),
                        (EARLY, "local"),
                    )
                ),
                each(of["own_share"], two),
                each(of["background_share"], two),
            ]
        )
    head = [
        "network",
        "as trained",
        "clouds removed",
        "dealt by lot",
        f"Grad-CAMO, {EARLY} (in the loss)",
    ]
    head += ["`block_1` (not in it)", f"local, {EARLY} (not in it)", "owed to own", "to background"]
    return block(table(head, rows))


def randomised(found: pd.DataFrame) -> str:
    """What is left when weights are untrained from the top downwards, a kind a row."""
    ways = ("block_2_averaged", "block_0_averaged", "block_0_local")
    columns: dict[str, tuple[str, Callable[[float], str]]] = {
        "effect_left": ("effect left", two),
        "answered": ("answered", percent),
        **{f"{what}_{way}": (f"{head}: {_at(way)}", two) for what, head in HEADS for way in ways},
    }
    rows = []
    for kind, of in _by_kind(found):
        steps = of[of["step"] != "trained"]
        rows.append(
            [KINDS[kind].title]
            + [" / ".join(map(form, steps[name])) for name, (_, form) in columns.items()]
        )
    return block(table(["network", *(head for head, _ in columns.values())], rows))


HEADS = (("rho", "ρ with trained"), ("auroc", "AUROC own against it"))


def _at(way: str) -> str:
    """``block_0_local`` as tables head it."""
    layer, gradients = way.rsplit("_", 1)
    return f"{gradients}, {layer}"


def faithful(found: pd.DataFrame) -> str:
    """Insertion minus deletion, an order a row, a kind a column."""
    wide = found.pivot_table(index="order", columns="kind", values="difference", sort=False)
    kinds = [kind for kind in KINDS if kind in wide]
    rows = [[str(order), *map(two, row)] for order, row in wide[kinds].iterrows()]
    return block(table(["voxels in the order of", *(KINDS[kind].title for kind in kinds)], rows))


def mislabelled(found: pd.DataFrame) -> str:
    """What predictions owe to own / neighbours / background where labels are off."""
    shares = ["causal_own", "causal_neighbour", "causal_background"]
    told = found.assign(told=[" / ".join(map(two, row)) for row in found[shares].to_numpy()])
    wide = told.pivot(index="labels", columns="kind", values="told").reindex(
        told["labels"].unique()
    )
    kinds = [kind for kind in KINDS if kind in wide]
    rows = [[str(labels), *row] for labels, row in wide[kinds].iterrows()]
    return block(table(["labels", *(KINDS[kind].title for kind in kinds)], rows))


def by_lot(found: pd.DataFrame) -> str:
    """One sentence."""
    (row,) = found.to_dict("records")
    return (
        f"{percent(row['answered'])} of {row['cells']} cells are answered, the median effect is "
        f"{two(row['effect'])} logits"
    )


SANITY = {
    "randomised": randomised,
    "faithful": faithful,
    "labels": mislabelled,
    "by_lot": by_lot,
}


def _learnt(kind: str, of: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """Networks of a kind that learnt their class, and the kind's title, which says of how many."""
    learnt = of[of["accuracy_paired"] >= LEARNT]
    left_out = len(of) - len(learnt)
    said = f" ({left_out} of {len(of)} not learnt, left out)" if left_out else ""
    return KINDS[kind].title + said, learnt


def _by_kind(found: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """In the order of `KINDS`."""
    for kind in KINDS:
        if len(of := found[found["kind"] == kind]):
            yield kind, of


def kept(holds: pd.Series) -> str:
    """In how many networks a bound holds."""
    return f"{'✓' if holds.all() else '✗'} {int(holds.sum())} of {len(holds)}"


def _holds(values: pd.Series, comparison: str, bound: float) -> pd.Series:
    return values >= bound if comparison == ">=" else values <= bound


def pick(found: pd.DataFrame, **of: str) -> pd.DataFrame:
    """Rows with these values."""
    for column, value in of.items():
        found = found[found[column] == value]
    return found


def spread(found: pd.DataFrame) -> str:
    """Median AUROC of a row, and its range where there is more than one pair."""
    if found.empty:
        return "–"
    ((median, least, most),) = found[["median", "least", "most"]].to_numpy()
    return two(median) + (f" ({two(least)}–{two(most)})" if two(least) != two(most) else "")


def extent(values: pd.Series, form=None) -> str:
    """One value, or the least and the most of several."""
    form = form or two
    told = [form(value) for value in sorted(values.dropna())]
    if not told:
        return "–"
    return told[0] if told[0] == told[-1] else f"{told[0]} to {told[-1]}"


def each(values: pd.Series | None, form) -> str:
    """The values one by one, in the order of the seeds; a word that is that of all, once."""
    if values is None or values.isna().all():
        return ""
    told = ["–" if pd.isna(value) else form(value) for value in values]
    return told[0] if len({*told}) == 1 and not told[0][0].isdigit() else " / ".join(told)


def two(value: float, bound: float = float("nan")) -> str:
    """Two digits; beside a bound so many that they do not look equal to it."""
    return "–" if pd.isna(value) else beside(value, bound).replace("-", "−")


def percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def block(text: str) -> str:
    """With the empty lines that Markdown wants around a table."""
    return f"\n\n{text}\n\n"
