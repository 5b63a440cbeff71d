"""The textbook arteries of the left side, as landmarks in millimetres.

Axes: x towards the patient's left, y towards the back, z upwards; the origin lies in the midline at
the level of the sella. The right side is the mirror image, varied independently.

Source: landmarks and calibres are drawn by hand after the usual atlas descriptions and population
means (internal carotid 4 to 5 mm, M1 2.5 to 3, A1 2 to 2.5, basilar and vertebral about 3, posterior
cerebral about 2.2, cerebellar arteries 1 to 2, communicating arteries 1 to 1.5); they are plausible,
not measured.
"""

from __future__ import annotations

from typing import NamedTuple

Point = tuple[float, float, float]


class Course(NamedTuple):
    """One named artery.

    Attributes:
      name: unique within a side.
      territory: what fills together; see `variants.draw_filling`.
      origin: (parent artery, number of the parent's landmark), or None for a root.
      diameters: at the first and the last landmark, in mm.
      landmarks: points the centre line passes, in mm, from the origin on.
      freedom: 1 for most arteries, more for those free to wander, less for those held by bone.
      joins: (artery, number of its landmark) at which it ends, or None for a free end.
    """

    name: str
    territory: str
    origin: tuple[str, int] | None
    diameters: tuple[float, float]
    landmarks: tuple[Point, ...]
    freedom: float = 1.0
    joins: tuple[str, int] | None = None


BASILAR = Course("BA", "BA", origin=None, diameters=(3.4, 2.9), freedom=0.8, landmarks=(
    (0, 17.5, -27), (0, 14, -20), (0, 12, -13), (0, 11.5, -6), (0, 12, -1), (0, 12.5, 3.5),
))  # fmt: skip

COURSES: tuple[Course, ...] = (
    # Posterior circulation.
    Course("VA", "VA", origin=None, diameters=(3.3, 3.1), freedom=0.8, landmarks=(
        (24, 24, -112), (24, 24, -92), (25, 24, -76), (29, 27, -64), (30, 34, -57), (23, 38, -54),
        (15, 36, -49),
    )),
    Course("V4", "V4", origin=("VA", 6), diameters=(3.0, 2.7), joins=("BA", 0), landmarks=(
        (15, 36, -49), (11, 31, -43), (7.5, 26, -37), (4, 21, -31), (0, 17.5, -27),
    )),
    Course("PICA", "V4", origin=("V4", 2), diameters=(1.7, 0.8), freedom=1.3, landmarks=(
        (7.5, 26, -37), (13, 31, -38), (13, 37, -44), (9, 42, -49), (6, 46, -42), (5, 47, -33),
        (4, 53, -33), (5, 60, -38), (9, 65, -45),
    )),
    Course("AICA", "BA", origin=("BA", 2), diameters=(1.1, 0.6), landmarks=(
        (0, 12, -13), (7, 14, -15), (15, 18, -17), (23, 21, -17), (27, 27, -22), (31, 37, -27),
    )),
    Course("SCA", "BA", origin=("BA", 4), diameters=(1.7, 0.7), landmarks=(
        (0, 12, -1), (7, 12.5, -1), (13, 17, -1), (16, 25, 1), (15, 34, 5), (11, 43, 9), (8, 53, 8),
        (8, 62, 2),
    )),
    Course("SCA hemispheric", "BA", origin=("SCA", 3), diameters=(1.0, 0.5), landmarks=(
        (16, 25, 1), (22, 33, 3), (27, 43, 3), (29, 53, -3),
    )),
    Course("P1", "BA", origin=("BA", 5), diameters=(2.3, 2.2), freedom=0.6, landmarks=(
        (0, 12.5, 3.5), (5, 11, 5.5), (10.5, 13.5, 6),
    )),
    Course("P2", "P2", origin=("P1", 2), diameters=(2.2, 1.6), landmarks=(
        (10.5, 13.5, 6), (16, 19, 6), (20, 27, 7), (19, 36, 10), (15, 43, 13), (12, 50, 14),
    )),
    Course("calcarine", "P2", origin=("P2", 5), diameters=(1.3, 0.7), freedom=1.3, landmarks=(
        (12, 50, 14), (10, 60, 13), (8, 70, 12), (9, 80, 10), (12, 88, 8),
    )),
    Course("parieto-occipital", "P2", origin=("P2", 5), diameters=(1.2, 0.6), freedom=1.3, landmarks=(
        (12, 50, 14), (10, 56, 22), (8, 62, 32), (8, 69, 42), (10, 76, 50),
    )),
    Course("temporal anterior", "P2", origin=("P2", 2), diameters=(1.1, 0.5), freedom=1.3, landmarks=(
        (20, 27, 7), (28, 31, 3), (36, 37, 0), (43, 47, -1), (47, 57, 1),
    )),
    Course("temporal posterior", "P2", origin=("P2", 3), diameters=(1.2, 0.6), freedom=1.3, landmarks=(
        (19, 36, 10), (28, 44, 6), (36, 54, 5), (40, 66, 5),
    )),
    Course("choroidal posterior", "P2", origin=("P2", 1), diameters=(0.7, 0.4), landmarks=(
        (16, 19, 6), (19, 28, 11), (17, 38, 18), (13, 42, 25), (12, 34, 30),
    )),
    Course("thalamoperforating", "BA", origin=("P1", 1), diameters=(0.5, 0.3), landmarks=(
        (5, 11, 5.5), (4, 14, 12), (5, 18, 20),
    )),
    # Anterior circulation.
    Course("ICA", "ICA", origin=None, diameters=(5.0, 3.3), freedom=0.7, landmarks=(
        (27, 10, -85), (26, 12, -62), (25, 10, -42), (24, 8, -30), (19, 3, -23), (13, -1, -19),
        (11.5, 1, -11), (12, -6, -6), (12.5, -14, -5), (13, -18, 0), (12.5, -14, 4.5), (13, -8, 6.5),
        (14, -4.5, 9.5), (15, -3, 13),
    )),
    Course("ophthalmic", "ICA", origin=("ICA", 10), diameters=(1.4, 0.7), landmarks=(
        (12.5, -14, 4.5), (13, -22, 5), (15, -31, 3), (14, -42, 6), (12, -50, 8),
    )),
    Course("PCOM", "PCOM", origin=("ICA", 11), diameters=(1.3, 1.2), freedom=0.8, joins=("P1", 2), landmarks=(
        (13, -8, 6.5), (12.5, -1, 5.5), (11.5, 7, 5), (10.5, 13.5, 6),
    )),
    Course("AntChor", "ICA", origin=("ICA", 12), diameters=(0.95, 0.5), landmarks=(
        (14, -4.5, 9.5), (15.5, 2, 9), (18, 10, 9), (21, 19, 12), (23, 26, 17), (21, 32, 22),
    )),
    Course("A1", "ICA", origin=("ICA", 13), diameters=(2.3, 2.1), landmarks=(
        (15, -3, 13), (10, -6, 15), (5.5, -10, 14.5), (2, -13, 15),
    )),
    Course("A2", "A2", origin=("A1", 3), diameters=(2.1, 0.9), landmarks=(
        (2, -13, 15), (1.5, -19, 19), (1.2, -27, 24), (1.2, -33, 32), (1.5, -34, 40), (1.8, -29, 48),
        (2, -18, 54), (2, -4, 57), (2, 11, 57), (2, 26, 53), (2, 38, 45),
    )),
    Course("callosomarginal", "A2", origin=("A2", 4), diameters=(1.5, 0.7), freedom=1.3, landmarks=(
        (1.5, -34, 40), (3, -41, 47), (3.5, -40, 57), (3, -30, 65), (3, -16, 68), (3, -2, 69), (4, 10, 72),
        (6, 18, 76),
    )),
    Course("frontopolar", "A2", origin=("A2", 2), diameters=(1.0, 0.5), freedom=1.3, landmarks=(
        (1.2, -27, 24), (3, -38, 25), (5, -49, 29), (7, -57, 37),
    )),
    Course("orbitofrontal", "A2", origin=("A2", 1), diameters=(0.9, 0.5), landmarks=(
        (1.5, -19, 19), (3, -30, 16), (5, -42, 16), (7, -52, 20),
    )),
    Course("M1", "ICA", origin=("ICA", 13), diameters=(2.8, 2.5), landmarks=(
        (15, -3, 13), (21, -5, 15), (28, -6, 14), (34, -5, 13),
    )),
    Course("M2 superior", "ICA", origin=("M1", 3), diameters=(2.1, 1.3), landmarks=(
        (34, -5, 13), (36.5, -5, 18), (38.5, -3, 24), (40, 2, 30),
    )),
    Course("M2 inferior", "ICA", origin=("M1", 3), diameters=(2.2, 1.3), landmarks=(
        (34, -5, 13), (37, 1, 14.5), (39, 10, 17), (40, 19, 20.5), (41, 27, 24),
    )),
    Course("lenticulostriate medial", "ICA", origin=("M1", 1), diameters=(0.5, 0.3), landmarks=(
        (21, -5, 15), (19, -4, 20), (22, 0, 29), (21, 4, 36),
    )),
    Course("lenticulostriate middle", "ICA", origin=("M1", 1), diameters=(0.5, 0.3), landmarks=(
        (21, -5, 15), (22, -2, 21), (26, 1, 29), (25, 5, 38),
    )),
    Course("lenticulostriate lateral", "ICA", origin=("M1", 2), diameters=(0.5, 0.3), landmarks=(
        (28, -6, 14), (26, -3, 20), (29, 0, 28), (28, 4, 37),
    )),
)  # fmt: skip
"""Parents come before their branches, and what an artery joins before that artery."""

SIPHON = slice(5, 12)
"""Landmarks of the ICA that `Settings.siphon_tightness` folds."""

MAY_LOOP: tuple[str, ...] = ("PICA", "SCA", "P2", "V4", "A2", "callosomarginal", "ICA")
FAN: tuple[tuple[float, str, float], ...] = (
    (28, "M2 superior", 0.3), (55, "M2 superior", 0.55), (78, "M2 superior", 0.8), (97, "M2 superior", 1.0),
    (118, "M2 superior", 1.0), (138, "M2 inferior", 0.85), (155, "M2 inferior", 1.0), (175, "M2 inferior",
    1.0),
    (198, "M2 inferior", 0.6), (218, "M2 inferior", 0.4), (240, "M2 inferior", 0.2),
)  # fmt: skip
"""Middle cerebral branches: direction seen from the side in degrees (0 forwards, 90 upwards, 180
backwards), the trunk they leave, and where along it (0 to 1)."""

CORTICAL: tuple[str, ...] = (
    "A2", "callosomarginal", "frontopolar", "orbitofrontal", "PICA", "SCA", "SCA hemispheric", "AICA",
    "calcarine", "parieto-occipital", "temporal anterior", "temporal posterior",
)  # fmt: skip
"""Arteries that give off secondary branches."""

BRAIN_CENTRE: Point = (0.0, 14.0, 14.0)
BRAIN_SEMI_AXES: Point = (66.0, 82.0, 66.0)
"""An ellipsoid that holds the cortical branches."""


class SacSite(NamedTuple):
    """Where a sac may sit.

    Attributes:
      artery: name of the course.
      landmark: its landmark.
      dome: direction in which the dome points, left side.
      weight: relative frequency among the sites of one location.
    """

    artery: str
    landmark: int
    dome: Point
    weight: float = 1.0


SAC_SITES: dict[str, tuple[SacSite, ...]] = {
    "ICA": (
        SacSite("ICA", 10, (-0.3, 0.2, 1), 3),
        SacSite("ICA", 11, (-1, 0.2, -0.3), 2),
        SacSite("ICA", 8, (0.8, -0.3, -0.6)),
        SacSite("ICA", 13, (0.2, 0.1, 1), 1.5),
    ),
    "PCOM": (SacSite("ICA", 11, (0.5, 0.9, -0.6)),),
    "AntChor": (SacSite("ICA", 12, (0.9, 0.8, 0)),),
    "ACA": (
        SacSite("A2", 4, (0.1, -1, 0.3), 3),
        SacSite("A1", 1, (0, 0.3, 1)),
        SacSite("A2", 2, (0.2, -0.8, 0.5)),
    ),
    "ACOM": (
        SacSite("A1", 3, (-0.5, -0.8, 0.4)),
        SacSite("A1", 3, (-0.4, -0.7, -0.7)),
        SacSite("A1", 3, (-0.4, 0.2, 1)),
    ),
    "MCA": (
        SacSite("M1", 3, (1, -0.2, 0), 5),
        SacSite("M1", 3, (0.7, 0, -0.8), 2),
        SacSite("M1", 1, (0.1, -0.3, 1)),
    ),
    "VA": (
        SacSite("V4", 1, (0.6, 0.1, 0.8)),
        SacSite("V4", 3, (0.5, 0.2, 0.9)),
    ),
    "PICA": (SacSite("V4", 2, (0.5, 0.4, 0.9)),),
    "SCA": (SacSite("BA", 4, (1, -0.2, 0.3)),),
    "BA": (
        SacSite("BA", 5, (0, -0.1, 1), 4),
        SacSite("BA", 2, (0.3, -1, 0)),
    ),
    "PCA": (
        SacSite("P2", 0, (0.3, -0.8, 0.7)),
        SacSite("P2", 2, (0.8, -0.2, 0.6)),
    ),
}
"""Typical sites by location, without its side."""
