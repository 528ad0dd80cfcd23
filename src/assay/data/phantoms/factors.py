"""The factors of each phantom, in a place that a catalogue can import: checking a spec needs no PyTorch."""

from __future__ import annotations

from assay.core.types import Factor

NODULE = (
    Factor("margin", "continuous", "core", range=(0.0, 1.0), description="0 smooth to 1 spiculated"),
    Factor(
        "texture",
        "categorical",
        levels=("solid", "part-solid", "ground-glass"),
        high=("part-solid", "ground-glass"),
        description="how dense the nodule is",
    ),
    Factor("size", "continuous", unit="mm", range=(6.0, 18.0), description="diameter of the circle of equal area"),
    Factor("contrast", "continuous", unit="HU", range=(550.0, 950.0), description="solid part over parenchyma"),
    Factor("position_x", "continuous", unit="mm", range=(-6.0, 6.0), description="to the right of the middle"),
    Factor("position_y", "continuous", unit="mm", range=(-6.0, 6.0), description="below the middle"),
    Factor("elongation", "continuous", range=(1.0, 1.6), description="long over short axis, at equal area"),
    Factor("vessel", "categorical", levels=("none", "attached"), high=("attached",), description="a feeding vessel"),
)

CHEST = (
    Factor(
        "mass", "categorical", "core", levels=("absent", "present"), high=("present",), description="a mass in a lung"
    ),
    Factor("size", "continuous", unit="mm", range=(29.0, 67.0), description="diameter of the circle of equal area"),
    Factor(
        "contrast",
        "continuous",
        range=(0.2, 0.5),
        description="attenuation that the mass adds, the whole chest's being 1",
    ),
    Factor("edge", "continuous", range=(0.0, 1.0), description="0 sharp to 1 ill-defined"),
    Factor(
        "side", "categorical", levels=("right", "left"), high=("left",), description="the patient's side of the mass"
    ),
    Factor("zone", "ordinal", levels=("upper", "middle", "lower"), description="third of the lung with the mass"),
    Factor("sex", "categorical", levels=("F", "M"), high=("M",), description="breasts, width of the thorax"),
    Factor("age", "continuous", unit="years", range=(20.0, 90.0), description="bone, cartilage, aorta, lung marks"),
    Factor(
        "view", "categorical", levels=("PA", "AP"), high=("AP",), description="heart, shoulder blades, collar bones"
    ),
    Factor(
        "scanner", "categorical", levels=("computed", "direct"), high=("direct",), description="grain, sharpness, tone"
    ),
    Factor("habitus", "continuous", range=(0.0, 1.0), description="0 slender to 1 heavy"),
    Factor("exposure", "continuous", range=(-1.0, 1.0), description="-1 dark to 1 bright"),
)

ENDOSCOPY = (
    Factor("lesion", "categorical", "core", levels=("absent", "present"), high=("present",), description="a polyp"),
    Factor("size", "continuous", range=(0.14, 0.62), description="diameter of the circle of equal area, image side 1"),
    Factor("shape", "continuous", range=(0.0, 1.0), description="0 flat over 0.5 sessile to 1 on a stalk"),
    Factor("contrast", "continuous", range=(0.0, 1.0), description="colour against the mucosa, 0 none"),
    Factor("texture", "continuous", range=(0.0, 1.0), description="surface, 0 smooth to 1 lobulated"),
    Factor("position_x", "continuous", range=(-0.2, 0.2), description="to the right of the middle, image side 1"),
    Factor("position_y", "continuous", range=(-0.2, 0.2), description="below the middle, image side 1"),
    Factor("count", "ordinal", levels=("one", "two", "three"), description="polyps where there are any"),
    Factor("hue", "continuous", range=(-1.0, 1.0), description="mucosa, -1 pale to 1 red"),
    Factor("illumination", "continuous", range=(-1.0, 1.0), description="-1 dark to 1 bright"),
    Factor("folds", "continuous", range=(0.0, 1.0), description="depth of the folds, 0 none"),
    Factor("distance", "continuous", range=(0.0, 1.0), description="0 close to the wall to 1 down the lumen"),
    Factor("bubbles", "continuous", range=(0.0, 1.0), description="0 none to 1 many"),
    Factor("highlights", "continuous", range=(0.0, 1.0), description="share of the wet surface that glints"),
)

FOOT = (
    Factor(
        "lesion",
        "categorical",
        "core",
        levels=("absent", "present"),
        high=("present",),
        description="an ulcer on the foot",
    ),
    Factor(
        "size",
        "continuous",
        range=(0.03, 0.24),
        description="diameter of the circle of equal area, of the largest ulcer, image side 1",
    ),
    Factor("contrast", "continuous", range=(0.45, 1.0), description="0 the colour of the skin around to 1 of a wound"),
    Factor("slough", "continuous", range=(0.0, 1.0), description="share of the bed under yellow slough"),
    Factor("rim", "continuous", range=(0.0, 1.0), description="0 no rim to 1 a broad pale one"),
    Factor("irregularity", "continuous", range=(0.0, 1.0), description="0 a smooth to 1 a ragged outline"),
    Factor("position_x", "continuous", range=(-1.0, 1.0), description="-1 left to 1 right on the foot"),
    Factor("position_y", "continuous", range=(-1.0, 1.0), description="-1 top to 1 bottom of the foot"),
    Factor("count", "ordinal", levels=("one", "two", "three"), description="how many ulcers"),
    Factor("skin_tone", "continuous", range=(0.0, 1.0), description="0 lightest to 1 darkest"),
    Factor(
        "background",
        "categorical",
        levels=("white", "coloured", "none"),
        high=("coloured", "none"),
        description="the cloth under the foot",
    ),
    Factor("illumination", "continuous", range=(-1.0, 1.0), description="-1 dim to 1 glaring"),
    Factor(
        "view",
        "categorical",
        levels=("sole", "heel", "side", "top"),
        high=("side", "top"),
        description="from where the foot is seen",
    ),
)

FUNDUS = (
    Factor(
        "grade",
        "ordinal",
        "core",
        levels=("0", "1", "2", "3", "4"),
        description="international scale: 0 none, 1 mild, 2 moderate, 3 severe, 4 proliferative",
    ),
    Factor("microaneurysms", "continuous", range=(0.0, 1.0), description="fewest to most that the grade allows"),
    Factor("haemorrhages", "continuous", range=(0.0, 1.0), description="fewest to most that the grade allows"),
    Factor("exudates", "continuous", range=(0.0, 1.0), description="hard ones, fewest to most that the grade allows"),
    Factor("cotton_wool", "continuous", range=(0.0, 1.0), description="spots, fewest to most that the grade allows"),
    Factor("new_vessels", "continuous", range=(0.0, 1.0), description="tufts, fewest to most that the grade allows"),
    Factor("lesion_size", "continuous", range=(0.7, 1.5), description="of all lesions, 1 usual"),
    Factor("lesion_contrast", "continuous", range=(0.5, 1.0), description="of all lesions, 0 none"),
    Factor("centrality", "continuous", range=(0.0, 1.0), description="lesions 0 far from to 1 near the fovea"),
    Factor("side", "categorical", levels=("left", "right"), high=("right",), description="which eye"),
    Factor("camera", "categorical", levels=("round", "cut"), high=("cut",), description="field of view and colours"),
    Factor("pigment", "continuous", range=(0.0, 1.0), description="0 blond to 1 dark fundus"),
    Factor("cup", "continuous", range=(0.2, 0.8), description="diameter of the cup over the disc's"),
    Factor("calibre", "continuous", range=(0.8, 1.25), description="width of all vessels, 1 usual"),
    Factor("illumination", "continuous", range=(-1.0, 1.0), description="-1 dark to 1 bright"),
)
