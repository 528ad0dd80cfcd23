"""Wrong studies, one mistake each: what is changed in a right one. Their texts stand in `wrong_specs.txt`."""

from __future__ import annotations

RIGHT = """\
name: right
data: {phantom: nodule, size: 64, train: 200, validation: 50, test: 100, target: malignant, core: margin}
environments:
  train: {association: {texture: 0.9}}
  same: {like: train}
  reversed: {association: {texture: -0.9}}
recipe:
  loss: [cross-entropy, supcon]
  epochs: [10, 20]
  batch_size: 64
seeds: 3
probes: [performance]
contrasts:
  - {axis: loss, against: cross-entropy, measure: auroc, environment: reversed, where: {epochs: 20}}
scales:
  quick: {seeds: 2}
"""

EIGHT = """\
probes: [performence]
recipe:
  loss: [cross-entropy, supcn]
  batchsize: 64
  epochs: 0
environments:
  train: {association: {texture: 1.9}}
  same: {lik: train}
data: {phantom: nodule, size: 3, core: margin}
seeds: 0
"""
"""Eight mistakes, whose lines are in another order than the parts of a study in which they are looked for."""

DATA = "{phantom: nodule, size: 64, train: 200, validation: 50, test: 100, target: malignant, core: margin}"
FILES = "{folder: images, target: ill, patient: who, factors: {texture: {unit: HU}, sex: categorical}}"
"""A folder whose `data.csv` has the columns image, ill, who, texture, age and sex."""

EDITS: dict[str, tuple[str, str]] = {
    "unknown key at the top": ("recipe:\n", "recepie:\n"),
    "a mistyped section with a mistake in it": (
        "recipe:\n  loss: [cross-entropy, supcon]",
        "recepie:\n  loss: [cross-entropy, supcn]",
    ),
    "unknown key in recipe": ("batch_size: 64", "batchsize: 64"),
    "a dotted key": ("seeds: 3\n", "seeds: 3\nrecipe.optimizer.sgd: {lr: 0.1}\n"),
    "unknown key in data": ("core: margin", "cor: margin"),
    "unknown key in an environment": ("{like: train}", "{lik: train}"),
    "unknown key in a contrast": ("measure: auroc", "metric: auroc"),
    "unknown key in grid": ("seeds: 3", "seeds: 3\ngrid: {zipped: []}"),
    "a number with underscores": ("batch_size: 64", "batch_size: '6_4'"),
    "an association with underscores": ("{association: {texture: 0.9}}", "{association: {texture: 0.0_9}}"),
    "an association in full with underscores": (
        "{association: {texture: 0.9}}",
        "{association: {texture: {strength: 0.0_9}}}",
    ),
    "a contrast by maps that no probe reads": (
        "[performance]\ncontrasts:\n  - {axis: loss, against: cross-entropy, measure: auroc,",
        "[representation]\ncontrasts:\n"
        "  - {axis: loss, against: cross-entropy, measure: condition-number-maps, layer: trunk,",
    ),
    "a grid beyond measure": ("epochs: [10, 20]", f"epochs: {[*range(20, 170)]}\n  threads: {[*range(1, 71)]}"),
    "a name that goes on and on": ("supcon]", f"{'x' * 400}]"),
    "a name over two lines": ("supcon]", '"a\\nb"]'),
    "unknown loss": ("supcon]", "supcn]"),
    "unknown phantom": ("phantom: nodule", "phantom: noduel"),
    "unknown probe": ("[performance]", "[performence]"),
    "unknown argument of a loss": ("supcon]", "{supcon: {temprature: 0.1}}]"),
    "unknown intervention": ("{association: {texture: 0.9}}", "{interventions: {tga: {size: 0.1}}}"),
    "unknown optimizer": ("batch_size: 64", "optimizer: adamm"),
    "unknown choice": ("batch_size: 64", "selection: best"),
    "patience without a score": ("batch_size: 64", "patience: 3"),
    "no patience at all": ("batch_size: 64", "selection: best-validation-loss\n  patience: 0"),
    "unknown mitigation": ("batch_size: 64", "mitigation: [none, reweight]"),
    "a mitigation without groups": ("batch_size: 64", "mitigation: [none, group-balanced-sampling]"),
    "a mitigation that weighs images with a loss of pairs": (
        "batch_size: 64",
        "mitigation: [none, reweighting]\n  groups: texture",
    ),
    "a loss for networks of another kind": ("supcon]", "masked-autoencoder]"),
    "groups by an unknown factor": ("batch_size: 64", "mitigation: group-balanced-sampling\n  groups: textur"),
    "groups that nothing uses": ("batch_size: 64", "groups: texture"),
    "a confounder to augment with that is not there": (
        "batch_size: 64",
        "mitigation: {confounder-augmentation: {intervention: {tga: {}}}}",
    ),
    "unknown factor": ("{texture: -0.9}", "{textur: -0.9}"),
    "a core that is no factor": ("core: margin", "core: margn"),
    "a phantom without a core": (", core: margin", ""),
    "unknown level": ("{association: {texture: -0.9}}", "{where: {texture: sold}}"),
    "unknown level as high": ("{texture: -0.9}", "{texture: {strength: -0.9, high: [ground]}}"),
    "a range of a categorical factor": ("{association: {texture: -0.9}}", "{where: {texture: {min: solid}}}"),
    "a range upside down": ("{association: {texture: -0.9}}", "{where: {size: {min: 9, max: 7}}}"),
    "a word for a number of a factor": ("{association: {texture: -0.9}}", "{where: {size: large}}"),
    "difficulty of an unknown factor": ("{association: {texture: -0.9}}", "{difficulty: {margn: 0.5}}"),
    "shares of a continuous factor": ("{texture: -0.9}", "{size: {share: {positive: 1, negative: 0}}}"),
    "shares of one class": ("{texture: -0.9}", "{texture: {share: {positive: 1}}}"),
    "shares above 1": ("{texture: -0.9}", "{texture: {share: {positive: 1.5, negative: 0}}}"),
    "shares and a strength": ("{texture: -0.9}", "{texture: {strength: 0.5, share: {positive: 1, negative: 0}}}"),
    "shares of an intervention as an association": (
        "{association: {texture: -0.9}}",
        "{interventions: {tag: 0}, association: {tag: {share: {positive: 1, negative: 0}}}}",
    ),
    "rows of nothing": ("{association: {texture: 0.9}}", "{association: {texture: 0.9}, rows: 0}"),
    "rows of a test environment": ("{association: {texture: -0.9}}", "{like: train, rows: 100}"),
    "strength above 1": ("{texture: 0.9}", "{texture: 1.9}"),
    "strength in per cent": ("{texture: 0.9}", "{texture: 90%}"),
    "strength missing": ("{texture: 0.9}", "{texture: {high: [solid]}}"),
    "share above 1": ("{association: {texture: 0.9}}", "{interventions: {tag: {share: 1.5}}}"),
    "share of a class above 1": ("{association: {texture: 0.9}}", "{interventions: {tag: {share: {benign: 7}}}}"),
    "empty axis": ("[10, 20]", "[]"),
    "a value twice on an axis": ("[10, 20]", "[10, 20, 10]"),
    "the same value in two spellings": ("supcon]", "supcon, {supcon: {temperature: 0.1}}]"),
    "a list within an axis": ("[10, 20]", "[10, [20, 40]]"),
    "a size that the phantom does not draw": ("nodule, size: 64", "nodule, size: 20"),
    "a size that the phantom of a source does not draw": (
        "seeds: 3",
        "sources: {nat: {data: {phantom: natural, size: 20, target: kind, core: kind}, recipe: {epochs: 1}}}\nseeds: 3",
    ),
    "a misspelt target of a source": (
        "seeds: 3",
        "sources: {nat: {data: {phantom: natural, target: knd, core: kind}, recipe: {epochs: 1}}}\nseeds: 3",
    ),
    "a dose like that of no environment": (
        "  reversed: {association: {texture: -0.9}}",
        "  reversed: {association: {texture: -0.9}}\n  clean: {like: trian, dose: {p: 0}}",
    ),
    "an axis where none may be": ("nodule, size: 64", "nodule, size: [32, 64]"),
    "an axis in a test environment": ("{texture: -0.9}", "{texture: [-0.9, -0.5]}"),
    "zip of no axis": ("seeds: 3", "seeds: 3\ngrid: {zip: [[loss, nothing]]}"),
    "zip of unequal axes": (
        "  epochs: [10, 20]\n  batch_size: 64\n",
        "  epochs: [10, 20, 30]\ngrid: {zip: [[loss, recipe.epochs]]}\n",
    ),
    "only what is not there": ("seeds: 3", "seeds: 3\ngrid: {only: [{loss: triplet}]}"),
    "text that YAML takes for a number": (
        "batch_size: 64",
        f"initialization: {{download: {{url: 'https://a.org/w.pt', sha256: {'0' * 64}}}}}",
    ),
    "size too small": ("nodule, size: 64", "nodule, size: 3"),
    "size with a unit": ("nodule, size: 64", "nodule, size: 64px"),
    "size as a truth value": ("nodule, size: 64", "nodule, size: true"),
    "no training images": ("train: 200", "train: 0"),
    "negative learning rate": ("batch_size: 64", "optimizer: {adamw: {lr: -0.001}}"),
    "learning rate with a decimal comma": ("batch_size: 64", "optimizer: {adamw: {lr: '0,001'}}"),
    "epochs not whole": ("[10, 20]", "[10, 20, 2.5]"),
    "epochs as a word": ("[10, 20]", "[10, 20, many]"),
    "no seeds": ("seeds: 3", "seeds: 0"),
    "seeds as a word": ("seeds: 3", "seeds: three"),
    "not a number": ("{texture: 0.9}", "{texture: .nan}"),
    "infinite": ("batch_size: 64", "optimizer: {adamw: {lr: .inf}}"),
    "like an environment that is not there": ("like: train", "like: trian"),
    "like an environment that is not there, whose interventions are tied anew": (
        "train: {association: {texture: 0.9}}\n  same: {like: train}",
        "train: {interventions: {tag: {}}}\n  same: {like: trian, association: {tag: 0.5}}\n  more: {like: same}",
    ),
    "like a list": ("same: {like: train}", "same: {like: [train]}"),
    "like each other": (
        "{like: train}\n  reversed: {association: {texture: -0.9}}",
        "{like: reversed}\n  reversed: {like: same}",
    ),
    "train like another": ("train: {association: {texture: 0.9}}", "train: {like: reversed}"),
    "no training environment": ("  train: {association", "  training: {association"),
    "no environments": (
        "environments:\n  train: {association: {texture: 0.9}}\n  same: {like: train}\n"
        "  reversed: {association: {texture: -0.9}}\n",
        "",
    ),
    "environment not a mapping": ("{association: {texture: -0.9}}", "turned round"),
    "a contrast along no axis": ("axis: loss", "axis: los"),
    "a contrast against no value": ("against: cross-entropy", "against: cross_entropy"),
    "a contrast of a value that is not there": ("against: cross-entropy", "against: cross-entropy, levels: [supcn]"),
    "a contrast of a value with itself": ("against: cross-entropy", "against: cross-entropy, levels: [cross-entropy]"),
    "a contrast where nothing is": ("where: {epochs: 20}", "where: {epochs: 30}"),
    "a contrast at several values": ("where: {epochs: 20}", "where: {epochs: [10, 20]}"),
    "a contrast by no measure": ("measure: auroc", "measure: aucroc"),
    "a contrast by a measure of no probe": ("measure: auroc", "measure: flip-rate, factor: texture"),
    "a contrast in no environment": ("environment: reversed", "environment: reverse"),
    "a contrast without an environment": (", environment: reversed", ""),
    "a contrast in rows that its measure is not taken in": ("environment: reversed", "environment: (neutral)"),
    "a contrast of a factor by a measure of the whole": (
        "environment: reversed",
        "environment: reversed, factor: texture",
    ),
    "a contrast of decodability where no probe decodes": (
        "[performance]\ncontrasts:\n  - {axis: loss, against: cross-entropy, measure: auroc,",
        "[decodability]\ncontrasts:\n"
        "  - {axis: loss, against: cross-entropy, measure: decodability, factor: texture, layer: trunk,",
    ),
    "a contrast of Sobol' indices in an environment": (
        "[performance]\ncontrasts:\n  - {axis: loss, against: cross-entropy, measure: auroc,",
        "[reliance]\ncontrasts:\n  - {axis: loss, against: cross-entropy, measure: sobol-total, factor: texture,",
    ),
    "a contrast of Sobol' indices that are left out": (
        "[performance]\ncontrasts:\n  - {axis: loss, against: cross-entropy, measure: auroc, environment: reversed,",
        "[{reliance: {sobol: false}}]\ncontrasts:\n"
        "  - {axis: loss, against: cross-entropy, measure: sobol-total, factor: texture,",
    ),
    "a contrast without an axis": ("axis: loss, ", ""),
    "matched fit at one budget": ("where: {epochs: 20}", "where: {epochs: 20}, at: matched-fit"),
    "a dose-response without doses": ("where: {epochs: 20}", "where: {epochs: 20}, at: dose-response"),
    "a margin of nothing": ("where: {epochs: 20}", "margin: 0"),
    "a dotted path to no module": ("supcon]", "'no_such_losses:Mine']"),
    "a dotted path to no class": ("supcon]", "'json:Mine']"),
    "a dotted path to a module without a file": ("supcon]", "'sys:exit']"),
    "a dotted path without a colon": ("supcon]", "my.losses.Mine]"),
    "two components in one": ("supcon]", "{supcon: {}, triplet: {}}]"),
    "arguments that are none": ("supcon]", "{supcon: 0.1}]"),
    "a probe twice": ("[performance]", "[performance, performance]"),
    "a probe in no environment": ("[performance]", "[performance, {decodability: {environment: sane}}]"),
    "one probe, not in a list": ("[performance]", "performance"),
    "a severity that is none": ("[performance]", "[performance, {robustness: {severities: [0]}}]"),
    "no severity": ("[performance]", "[performance, {robustness: {severities: []}}]"),
    "no source of images": ("phantom: nodule, ", ""),
    "two sources of images": ("phantom: nodule, ", "phantom: nodule, folder: /, "),
    "a folder that is not there": (DATA, "{folder: nowhere}"),
    "a variable that is not set": (DATA, "{folder: '${NO_SUCH_VARIABLE}/a'}"),
    "a table that is not there": (DATA, FILES.replace("{folder: images", "{folder: images, table: dat.csv")),
    "a target that is no column": (DATA, FILES.replace("target: ill", "target: il")),
    "a patient that is no column": (DATA, FILES.replace("patient: who", "patient: nobody")),
    "a factor that is no column": (DATA, FILES.replace("sex: cat", "sexe: cat")),
    "rows by no column": (DATA, FILES.replace("patient: who", "patient: who, where: {sexes: F}")),
    "a factor of no kind": (DATA, FILES.replace("sex: categorical", "sex: category")),
    "a high level that is no level": (
        DATA,
        FILES.replace("sex: categorical", "sex: {kind: categorical, levels: [F, M], high: [male]}"),
    ),
    "a test on training rows": ("same: {like: train}", "same: {like: train, split: train}"),
    "training on test rows": ("train: {association", "train: {split: test, association"),
    "two folds": (DATA, FILES.replace("patient: who", "patient: who, split: {folds: 2}")),
    "a phantom's key with files": (DATA, FILES.replace("patient: who", "core: sex, train: 100")),
    "an association with no declared factor": (DATA, FILES.replace("texture", "age")),
    "a column that is used everywhere and declared nowhere": (
        RIGHT[RIGHT.index(DATA) : RIGHT.index("recipe:")],
        f"{FILES.replace(', factors: {texture: {unit: HU}, sex: categorical}', '')}\n"
        "environments:\n  train: {dose: {confounder: {sex: {high: [F]}}, p: [0, 1]}}\n  same: {like: train}\n"
        "  reversed: {association: {sex: -1}, where: {sex: F}}\n",
    ),
    "difficulty of real images": (
        RIGHT[RIGHT.index(DATA) : RIGHT.index("recipe:")],
        f"{FILES}\nenvironments: {{train: {{difficulty: {{sex: 0.5}}}}, same: {{}}, reversed: {{}}}}\n",
    ),
    "crops of images without masks": (
        RIGHT[RIGHT.index(DATA) : RIGHT.index("recipe:")],
        f"{FILES}\nenvironments: {{train: {{}}, same: {{crop: lesion-free}}, reversed: {{}}}}\n",
    ),
    "crops of another name": ("reversed: {association", "reversed: {crop: lesion_free, association"),
    "columns where there is no table": (DATA, FILES.replace("target: ill, patient: who", "table: '', mask: outline")),
    "training on crops": ("train: {association", "train: {crop: lesion-free, association"),
    "rows that are tested only by no factor": (
        RIGHT[RIGHT.index(DATA) : RIGHT.index("recipe:")],
        f"{FILES.replace('patient: who', 'patient: who, split: {test_only: {sexe: F}}')}\n"
        "environments: {train: {}, same: {}, reversed: {}}\n",
    ),
    "the lesions of no masks": (DATA, FILES.replace("target: ill", "target: lesion")),
    "a table's key with a phantom": ("core: margin", "patient: id"),
    "a name that is no name": ("name: right", "name: a/b"),
    "a tab": ("  epochs", "\tepochs"),
    "a key twice": ("seeds: 3", "seeds: 3\nseeds: 4"),
    "brackets left open": ("[10, 20]", "[10, 20"),
    "an endless alias": ("seeds: 3", "seeds: &a [*a]"),
    "a Python object": ("seeds: 3", "seeds: !!python/object/apply:os.system [ls]"),
    "two documents": ("seeds: 3", "---\nseeds: 3"),
    "a list for a study": (RIGHT, "- name: right\n"),
    "nothing": (RIGHT, "# nothing\n"),
}

_DOSES = ("environments.train={dose: {confounder: tag, p: [0, 1]}}", "contrasts.0.at=dose-response")
"""What makes the right study's contrast one along doses."""
_MATCHED = (
    "environments.train={dose: {confounder: tag, p: [0, 1]}, rows: [50, 100]}",
    "contrasts.0.at=matched-clean",
    "contrasts.0.clean=same",
)
"""And one where both are equally good without a dose."""
_PRIMARY = ["contrasts.0.role=primary", "contrasts.0.margin=0.05"]
_FIRST = "{axis: loss, against: cross-entropy, environment: reversed, where: {epochs: 20},"
_OTHER = "{axis: loss, against: cross-entropy, environment: same, where: {epochs: 20},"
_ORDERED = "family: {name: main, correction: fixed-order, order: 1}"
REQUESTS: dict[str, dict[str, object]] = {
    "a built-in study that is not there": {"source": "nodul-loss"},
    "a file that is not there": {"source": "stude.yaml"},
    "a folder for a study": {"source": "images"},
    "a scale that is not there": {"scale": "quik"},
    "an override without a value": {"overrides": ["recipe.epochs"]},
    "an override of an unknown key": {"overrides": ["recipe.epoch=3"]},
    "an override of a wrong value": {"overrides": ["recipe.epochs=[5, ten]", "contrasts=[]"]},
    "an override of a whole number with a comma": {"overrides": ["recipe.batch_size=64,5"]},
    "an override of a whole number in percent": {"overrides": ["recipe.batch_size=50%"]},
    "an override beside mistakes of the file": {
        "source": "eight.yaml",
        "overrides": ["seeds=3", "data.size=64", "environments.same.like=train"],
    },
    "an override that a contrast does not follow": {"overrides": ["recipe.epochs=5"]},
    "an override that takes a contrast its budgets": {
        "overrides": [
            "recipe.epochs=5",
            "contrasts.0={axis: loss, against: cross-entropy, at: matched-fit, measure: auroc}",
        ]
    },
    "an override of an axis that a contrast does not follow": {"overrides": ["recipe.epochs=[5, 10]"]},
    "an override that takes a contrast its axis": {"overrides": ["recipe.loss=supcon"]},
    "a primary contrast without a margin": {"overrides": ["contrasts.0.role=primary"]},
    "more than four primary comparisons": {
        "overrides": ["recipe.loss=[cross-entropy, supcon, triplet, arcface, focal, n-pair]", *_PRIMARY]
    },
    "a family with two roles": {
        "overrides": [f"contrasts=[{_FIRST} role: primary, margin: 0.05, family: main}}, {_OTHER} family: main}}]"]
    },
    "a family with two corrections": {"overrides": [f"contrasts=[{_FIRST} family: main}}, {_OTHER} {_ORDERED}}}]"]},
    "a fixed order without a place": {"overrides": ["contrasts.0.family={name: main, correction: fixed-order}"]},
    "a place in no fixed order": {"overrides": ["contrasts.0.family={name: main, order: 1}"]},
    "two contrasts with one place in a fixed order": {
        "overrides": [f"contrasts=[{_FIRST} {_ORDERED}}}, {_OTHER} {_ORDERED}}}]"]
    },
    "a family of Assay's own name": {"overrides": ["contrasts.0.family=stated"]},
    "a positive control without a sign": {"overrides": ["contrasts.0.role=positive-control"]},
    "a sign of no control": {"overrides": ["contrasts.0.expected=lower"]},
    "a control with a family": {
        "overrides": ["contrasts.0.role=positive-control", "contrasts.0.expected=lower", "contrasts.0.family=main"]
    },
    "an A/A comparison of two recipes": {"overrides": ["contrasts.0.role=a-a"]},
    "a mean over no axis": {"overrides": ["contrasts.0.mean_over=[los]"]},
    "a mean over one value": {"overrides": ["contrasts.0.mean_over={loss: [supcon]}"]},
    "a mean over a value that is not there": {"overrides": ["contrasts.0.mean_over={loss: [supcon, supcn]}"]},
    "a mean over an axis that is held": {"overrides": ["contrasts.0.mean_over=[epochs]"]},
    "a mean over environments besides one": {"overrides": ["contrasts.0.mean_over={environment: [same, reversed]}"]},
    "a mean over an environment that is not there": {
        "overrides": ["contrasts.0.environment=''", "contrasts.0.mean_over={environment: [same, reverse]}"]
    },
    "an override of no item": {"overrides": ["probes.reliance.samples=64"]},
    "an override inside a number": {"overrides": ["seeds.many=3"]},
    "an override that is no YAML": {"overrides": ["recipe.epochs=[3"]},
    "seeds of the command line": {"seeds": 0},
    "a dose-response without p = 0": {"overrides": [*_DOSES, "environments.train.dose.p=[0.5, 1]"]},
    "a dose-response at one dose": {"overrides": [*_DOSES, "contrasts.0.where={p: 1}"]},
    "a dose above 1": {"overrides": [*_DOSES, "environments.train.dose.p=[0, 1.5]"]},
    "a dose with a wrong argument, which other environments inherit": {
        "overrides": [
            *_DOSES,
            "environments.train.dose.confounder=[{tag: {contrst: 1}}, poisson-noise]",
            "environments.train.dose.p=[0, 0.5, 1]",
            "environments.reversed={like: train, dose: {p: 0}}",
        ]
    },
    "a dose of nothing known": {"overrides": [*_DOSES, "environments.train.dose.confounder=textur"]},
    "a dose of what may be either": {"overrides": [*_DOSES, "environments.train.dose.confounder=blurr"]},
    "a dose of what defines the target": {"overrides": [*_DOSES, "environments.train.dose.confounder=margin"]},
    "a dose of a factor with a wrong argument": {
        "overrides": [*_DOSES, "environments.train.dose.confounder={texture: {levels: [solid]}}"]
    },
    "a dose of a factor by an unknown scheme": {
        "overrides": [*_DOSES, "environments.train.dose.confounder={texture: {scheme: onesided}}"]
    },
    "a dose of a continuous factor on one side": {
        "overrides": [*_DOSES, "environments.train.dose.confounder={size: {scheme: one-sided}}"]
    },
    "a dose of a level that is not there": {
        "overrides": [*_DOSES, "environments.train.dose.confounder={texture: {high: [soild]}}"]
    },
    "a dose of a level that is a number": {
        "overrides": [*_DOSES, "environments.train.dose.confounder={texture: {high: 0}}"]
    },
    "a dose on a mapping of classes": {"overrides": [*_DOSES, "environments.train.dose.on={positive: 1}"]},
    "a dose of a factor that is tied too": {
        "overrides": [*_DOSES, "environments.train.dose.confounder=texture", "environments.train.association.texture=1"]
    },
    "a dose-response of a measure beyond 1": {"overrides": [*_DOSES, "contrasts.0.measure=log-loss"]},
    "matched performance of one amount": {"overrides": [*_MATCHED, "environments.train.rows=100"]},
    "matched performance of no amount": {"overrides": [*_MATCHED, "environments.train.rows=[100, null]"]},
    "matched performance at one amount": {"overrides": [*_MATCHED, "contrasts.0.where={rows: 100}"]},
    "matched performance nowhere": {"overrides": [*_MATCHED, "contrasts.0.clean=''"]},
    "matched performance in no environment": {"overrides": [*_MATCHED, "contrasts.0.clean=sane"]},
    "matched performance of no performance": {
        "overrides": [*_MATCHED, "contrasts.0.measure=flip-rate", "contrasts.0.factor=texture", "probes=[reliance]"]
    },
    "clean images of a plain dose-response": {"overrides": [*_DOSES, "contrasts.0.clean=same"]},
    "a complex number from Python": {"source": {"name": "mine", "data": {"size": 3 + 4j}}},
    "two mistakes and more": {
        "overrides": ["data.size=3", "seeds=0", "recipe.batch_size=1", "probes=[nothing]", "keep=some", "name=a b"]
    },
    "eight mistakes, the first five by line": {"source": "eight.yaml"},
}
"""What else `parse_study` may be asked, of the right study unless it says otherwise."""
