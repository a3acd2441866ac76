"""The model card of a bundle: what it was made from, what it can do, and what it must not be used for.

The sections are those of Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019).
"""

from collections.abc import Mapping
from typing import Any

TERMS = {
    "market1501": "Market-1501: its makers allow research only, and neither distribution nor commercial use.",
    "cuhk03": "CUHK03: for research; its makers ask to respect the privacy of the students in it.",
    "cuhk03-np": "CUHK03: for research; its makers ask to respect the privacy of the students in it.",
    "caviar": "CAVIAR4REID: for research, not for commercial use; its clips ask for an acknowledgement.",
    "msmt17": "MSMT17: handed out under a signed agreement for research.",
}
"""Terms of data sets as their makers or those who hand them on state them, by the name of the reader."""

_OWN = (
    "The training images were collected by whoever trained this model. Whether it may be passed on depends "
    "on what the people in them were told and on the law of the place."
)
_RESEARCH = (
    "{name}: its terms were not read for this card; most data sets of this field are for research only. "
    "Read them before passing the weights on."
)
_OWN_KINDS = {"market-style", "folder-per-person", "folder", "csv"}


def licence_notes(
    kind: str, weights: Mapping[str, Any], sr: Mapping[str, Any], drawn: bool = False
) -> list[str]:
    """What is known of the terms that a bundle inherits, one sentence or two each.

    Args:
        kind: reader of the training data, or an empty string where it is not known.
        weights: ``source`` of the weights that training began with.
        sr: facts of the super-resolution back end.
        drawn: the training images are drawn pedestrians.
    """
    notes = ["The software is under Apache-2.0. These weights are not part of it."]
    if drawn:
        notes.append("Training images: drawn by the software; nobody is in them.")
    elif kind in TERMS:
        notes.append(f"Training images: {TERMS[kind]} Weights trained on them inherit that.")
    else:
        notes.append(_OWN if kind in _OWN_KINDS else _RESEARCH.format(name=kind or "Training images"))
    if weights.get("source", "random") != "random":
        notes.append(f"First weights: {weights['source']}, under the terms of their publisher.")
    if "sr_model" in sr:
        notes.append(
            f"Super-resolution: {sr['sr_model']}, a copy of which is in this folder, under its own licence."
        )
    return notes


def model_card(record: Mapping[str, Any]) -> str:
    """The card of a bundle as Markdown, made from its record alone."""
    encoder, training = record["encoder"], record["training"]
    parts = [
        _details(record["id"], encoder, training),
        _USE,
        _factors(encoder["preprocessing"], encoder["sr"]),
        _metrics(training),
        _calibration(record.get("calibration")),
        _ETHICS,
        "## Licences\n\n" + "\n".join(f"- {note}" for note in record["licence"]),
    ]
    return "\n\n".join(parts) + "\n"


def _details(identity: str, encoder: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    benchmark, pairs, software = training["benchmark"], training["pairs"], training["software"]
    how = (
        "with true identities (a supervised ceiling)" if training["supervised"] else "without identity labels"
    )
    backbone = encoder["model"]["backbone"]
    rows = {
        "method": f"{training['method']}, {how}",
        "backbone": f"{backbone}, {training['model'].get('parameters', 0):,} parameters in all",
        "first weights": training["weights"].get("source", "unknown"),
        "trained on": f"{benchmark['name']} (id {benchmark['id']}, split {benchmark['split']}): "
        f"{pairs['train']:,} pairs, {pairs['train_hr']:,} of them sharp captures",
        "seed": training["seed"],
        "software": f"drfm {software.get('drfm', '?')}, torch {software.get('torch', '?')}",
        "begun": training["started"],
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"""# Model card: {backbone} for cross-resolution person re-identification

Bundle `{identity}`. `drfm.load("FOLDER").encode(files)` gives one vector of {encoder["dimension"]} numbers
for each crop.

## Model details

| | |
|---|---|
{table}"""


_USE = """## Intended use

To rank crops of people, from a few cameras and over a short time, by how alike they look, so that somebody
can look at the first of them. The query may be much blurrier than the gallery.

What it compares is **appearance, mostly clothing**. It can bring images of one outing together, across
cameras and resolutions. It cannot

- say who somebody is, or that two images show the same person: a high similarity is a reason to look, never a
  finding;
- tell people in the same clothes apart, or follow somebody through a change of clothes or over days;
- say that a person is not in the gallery: a ranked list has a first entry in any case.

**Out of scope:** identifying named people, decisions about anybody, evidence in any proceeding, law
enforcement, watching employees, following people covertly."""


def _factors(preparation: Mapping[str, Any], sr: Mapping[str, Any]) -> str:
    images = preparation["images"]
    hr, lr = ("x".join(map(str, images[name])) for name in ("hr_size", "lr_size"))
    made = f"by a network, {sr['sr_model']}" if "sr_checksum" in sr else "by interpolation"
    rate = "1/3" if images["twin_rates"] == "random" else f"1/{images['twin_rate']}"
    rate += "" if images["twin_rates"] == "fixed" else " (1/2 to 1/4 in training)"
    return f"""## Factors

A crop of fewer than {preparation["lr_below"]} rows is taken as blurry, any other as sharp. A sharp crop gets
a blurry twin of {rate} of its size, a blurry one one that is {images["sr_rate"]} times larger, made {made}.
Both are brought to {hr} and {lr} pixels.

**Super-resolved detail is invented, and no evidence.** The larger twin of a blurry crop helps the
network; it is no picture of what was there. Do not show it as such, and do not run face recognition on it.

What moves the result: native height above all, then camera, light, occlusion, and how different people dress.
The public data sets of this field come from a few places, and nobody balanced age, skin colour or dress in
them. How errors differ between groups of people **was not measured** here."""


def _metrics(training: Mapping[str, Any]) -> str:
    result = training.get("result")
    if not result:
        return """## Metrics

This model was not tested: its data have no labelled test images. Nothing is known of its accuracy."""
    scores = ("rank1", "rank5", "rank10", "map")
    rows = "\n".join(
        f"| {stage} | " + " | ".join(f"{100 * row[name]:.1f}" for name in scores) + " |"
        for stage, row in result["rows"].items()
    )
    return f"""## Metrics

| {result["features"]} features | Rank-1 | Rank-5 | Rank-10 | mAP |
|---|---:|---:|---:|---:|
{rows}

Percent; exact expectation over galleries of one image a person. {result["queries"]:,} queries,
{result["persons"]:,} persons. The last epoch, not the best, was tested.
Protocol: {result["protocol"]}.

These figures hold for that data set. On other cameras expect less."""


def _calibration(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return """## Calibration

None: no similarity of this model means anything by itself yet. `drfm calibrate` finds thresholds from
labelled or unlabelled pairs."""
    # Without labels the verdict "likely" is never given.
    names, rates = ("possible", "likely") if found["labelled"] else ("possible",), found["rates"]
    rows = "\n".join(
        f"| {band['low']} to {band['high']} | " + " | ".join(_level(band[name]) for name in names) + " |"
        for band in found["bands"]
    )
    heads = " | ".join(f"{name}: {rates[name]:.2%} false | matches found" for name in names)
    rule = "|---|" + "---:|---:|" * len(names)
    notes = "\n".join(f"- {note}" for note in found["notes"])
    return f"""## Calibration

| rows of the query | {heads} |
{rule}
{rows}

Similarity from which a pair is called {" or ".join(names)}, with its {found["confidence"]:.0%} interval;
verdicts use the upper end. The rates are for **one** comparison: among 10,000 images of other people expect
{10000 * rates[names[-1]]:,.0f} to be called {names[-1]}.

{notes}"""


def _level(level: Mapping[str, float]) -> str:
    return f"{level['threshold']:.3f} ({level['low']:.3f} to {level['high']:.3f}) | {level['found']:.0%}"


_ETHICS = """## Ethics and law

No labels does not mean no personal data: an image in which somebody can be recognised is personal data, and
so is a vector that finds it again. In the European Union the GDPR applies; systematic watching of public
places calls for a data protection impact assessment first. The AI Act (Regulation 2024/1689) prohibits some
uses of remote biometric identification and counts others as high-risk. Whether matching clothes falls under
it is a question for a lawyer; do not assume that it does not. Other places have other laws. This card is no
legal advice."""
