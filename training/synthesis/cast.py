"""Who is in the cast: every choice that makes a person, drawn from their number alone."""

import functools
from dataclasses import dataclass

import numpy as np

SPLITS = ("train", "heldout")
TRAIN_PEOPLE, HELDOUT_PEOPLE = 72, 24
CAST_SEED = 20_107
Pools = dict[str, dict[str, tuple[str, ...]]]  # split, sex, names

# Only names of MakeHuman's own core set (CC0); the package also holds clothes of other authors.
SKINS: Pools = {
    "train": {
        "male": (
            "young_caucasian_male/young_lightskinned_male_diffuse",
            "young_asian_male/young_lightskinned_male_diffuse3",
            "young_african_male/young_darkskinned_male_diffuse",
            "middleage_caucasian_male/middleage_lightskinned_male_diffuse",
            "middleage_african_male/middleage_darkskinned_male_diffuse",
            "old_asian_male/old_lightskinned_male_diffuse2",
            "old_caucasian_male/old_lightskinned_male_diffuse",
        ),
        "female": (
            "young_caucasian_female/young_lightskinned_female_diffuse",
            "young_asian_female/young_lightskinned_female_diffuse3",
            "young_african_female/young_darkskinned_female_diffuse",
            "middleage_caucasian_female/middleage_lightskinned_female_diffuse",
            "middleage_african_female/middleage_darkskinned_female_diffuse",
            "old_asian_female/old_lightskinned_female_diffuse2",
            "old_caucasian_female/old_lightskinned_female_diffuse",
        ),
    },
    "heldout": {
        "male": (
            "young_caucasian_male/young_lightskinned_male_diffuse2",
            "middleage_asian_male/middleage_lightskinned_male_diffuse2",
            "old_african_male/old_darkskinned_male_diffuse",
        ),
        "female": (
            "young_caucasian_female/young_lightskinned_female_diffuse2",
            "middleage_asian_female/middleage_lightskinned_female_diffuse2",
            "old_african_female/old_darkskinned_female_diffuse",
        ),
    },
}
CLOTHES: Pools = {
    "train": {
        "male": (
            "male_casualsuit01",
            "male_casualsuit02",
            "male_casualsuit04",
            "male_casualsuit06",
            "male_elegantsuit01",
        ),
        "female": (
            "female_casualsuit01",
            "female_elegantsuit01",
            "female_sportsuit01",
            "male_casualsuit02",
            "male_casualsuit06",
        ),
    },
    "heldout": {
        "male": ("male_casualsuit03", "male_casualsuit05", "male_worksuit01"),
        "female": ("female_casualsuit02", "male_casualsuit03", "male_casualsuit05"),
    },
}
HAIR: Pools = {  # only cuts that leave the face free
    "train": {
        "male": ("short02", "short04", "afro01", "none"),
        "female": ("long01", "long01", "Braid01", "afro01", "short04"),
    },
    "heldout": {"male": ("short01", "short01", "none"), "female": ("ponytail01", "short01")},
}
EYES = ("brown_eye", "brownlight_eye", "grey_eye", "blue_eye", "green_eye", "deepblue_eye")
HAIR_COLOURS = (  # linear-ish RGB of a mid strand, with how common it is
    ((28, 22, 20), 0.40),
    ((50, 36, 28), 0.27),
    ((95, 65, 42), 0.14),
    ((150, 115, 70), 0.08),
    ((125, 122, 118), 0.07),
    ((80, 38, 22), 0.04),
)
PATTERNS = ("plain", "stripes", "checks", "print", "two tone", "original")


@dataclass(frozen=True)
class Person:
    """One member of the cast.

    Sliders are those of the body generator, 0..1 (gender 0 is male). skin, hair, clothes, eyes
    and brows are names inside the asset package. Colours are RGB 0..255; skin_tint is a factor.
    """

    number: int
    split: str
    sex: str
    sliders: dict[str, float]
    skin: str
    skin_tint: tuple[float, float, float]
    stubble: float
    hair: str
    hair_colour: tuple[int, int, int]
    eyes: str
    brows: str
    clothes: str
    pattern: str
    cloth_colours: tuple[tuple[int, int, int], tuple[int, int, int]]
    seed: int

    @property
    def name(self) -> str:
        return f"{self.split}{self.number:03d}"


@functools.cache
def people(split: str) -> tuple[Person, ...]:
    """The cast of a split ("train" or "heldout"); the two share no skin, outfit or person."""
    count = TRAIN_PEOPLE if split == "train" else HELDOUT_PEOPLE
    return tuple(_person(split, i) for i in range(count))


def _person(split: str, number: int) -> Person:
    seed = CAST_SEED + 1000 * SPLITS.index(split) + number
    rng = np.random.default_rng(seed)
    sex = "male" if number % 2 == 0 else "female"
    skins, garments, hair = SKINS[split][sex], CLOTHES[split][sex], HAIR[split][sex]
    skin = skins[number // 2 % len(skins)]
    age_word = skin.split("_")[0]
    low, high = {"young": (0.5, 0.66), "middleage": (0.62, 0.78), "old": (0.75, 0.9)}[age_word]
    clothes = garments[int(rng.integers(len(garments)))]
    brightness = rng.uniform(0.78, 1.08)
    warmth = rng.normal(0, 0.02, 3)
    tint = tuple(float(x) for x in brightness * (np.array([1.0, 0.97, 0.93]) + warmth))
    pattern = PATTERNS[int(rng.choice(len(PATTERNS), p=(0.34, 0.14, 0.12, 0.16, 0.1, 0.14)))]
    colours = _colour(rng), _colour(rng)
    chances = [share for _, share in HAIR_COLOURS]
    hair_colour = HAIR_COLOURS[int(rng.choice(len(HAIR_COLOURS), p=chances))][0]
    if age_word == "old" and rng.random() < 0.6:
        hair_colour = (125, 122, 118)
    return Person(
        number=number,
        split=split,
        sex=sex,
        sliders=_sliders(rng, sex, skin, (low, high)),
        skin=skin,
        skin_tint=(tint[0], tint[1], tint[2]),
        stubble=float(rng.uniform(0, 0.5)) if sex == "male" and rng.random() < 0.5 else 0.0,
        hair=hair[int(rng.integers(len(hair)))],
        hair_colour=hair_colour,
        eyes=EYES[0] if "caucasian" not in skin else EYES[int(rng.integers(len(EYES)))],
        brows=f"eyebrow{int(rng.integers(1, 13)):03d}",
        clothes=clothes,
        pattern=pattern,
        cloth_colours=colours,
        seed=seed,
    )


def _sliders(
    rng: np.random.Generator, sex: str, skin: str, ages: tuple[float, float]
) -> dict[str, float]:
    sliders = {
        "gender": float(np.clip((sex == "female") + rng.uniform(-0.12, 0.12), 0, 1)),
        "age": float(rng.uniform(*ages)),
        "muscle": float(rng.uniform(0.3, 0.75)),
        "weight": float(rng.uniform(0.3, 0.8)),
        "height": float(rng.uniform(0.3, 0.7)),
        "proportions": float(rng.uniform(0.4, 0.9)),
    }
    mix = rng.dirichlet((0.25, 0.25, 0.25)) * 0.3
    for origin, share in zip(("african", "asian", "caucasian"), mix, strict=True):
        sliders[origin] = float(share + (0.7 if f"_{origin}_" in skin else 0.0))
    return sliders


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    hue, saturation, value = rng.uniform(0, 6), rng.beta(1, 2), rng.beta(1.4, 1.5)
    ramp = np.clip(np.abs((hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    rgb = 255 * value * (1 - saturation + saturation * ramp)
    return int(rgb[0]), int(rgb[1]), int(rgb[2])
