"""Everything tunable about a synthetic cohort, and the two cohorts on offer.

A third cohort, say one from another hospital, is `REALISTIC.model_copy(update={...})` or a new
`Settings(...)`: no other file holds a number one would want to turn.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Amount = Annotated[float, Field(ge=0.0)]


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"a range must be (least, greatest), got {bounds}")
    return bounds


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""(least, greatest) of a uniform distribution."""

Site = Literal["ICA", "PCOM", "AntChor", "ACA", "ACOM", "MCA", "VA", "PICA", "SCA", "BA", "PCA"]


class SiteWeights(BaseModel):
    """Relative frequency of saccular aneurysms by site, both sides together; need not add up to 1.

    The defaults follow the order found in large angiographic series: internal carotid, middle
    cerebral and anterior communicating arteries lead, the branches of the posterior circulation
    are rare.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ICA: Amount = 0.27
    PCOM: Amount = 0.16
    AntChor: Amount = 0.04
    ACA: Amount = 0.05
    ACOM: Amount = 0.18
    MCA: Amount = 0.19
    VA: Amount = 0.025
    PICA: Amount = 0.015
    SCA: Amount = 0.015
    BA: Amount = 0.04
    PCA: Amount = 0.015

    @model_validator(mode="after")
    def _some_site(self) -> SiteWeights:
        if not sum(self.model_dump().values()) > 0.0:
            raise ValueError("at least one site must have a weight above 0")
        return self

    def shares(self) -> dict[str, float]:
        """The weights scaled to add up to 1."""
        weights: dict[str, float] = self.model_dump()
        total = sum(weights.values())
        return {site: weight / total for site, weight in weights.items()}


class Settings(BaseModel):
    """How patients, sacs and pictures of a synthetic cohort are drawn.

    Attributes:
      prevalence: share of studies with at least one aneurysm.
      second_sac_share: share of those with two, at different locations.
      site_weights: relative frequency of each site.
      sac_radius_median_mm: median of the log-normal sac radius, before truncation.
      sac_radius_spread: its standard deviation in log units.
      sac_radius_limits_mm: truncation of the sac radius.
      sac_opacity: contrast in the sac relative to its parent vessel.
      sac_elongation: largest relative stretch of the dome along its axis.
      dome_spread: standard deviation of the dome's direction, per component of a unit vector.
      neck_width: radius of the neck relative to the sac's.
      bleb_share: share of sacs with a daughter bleb.
      bleb_size: radius of the bleb relative to the sac's.
      calibre_spread: standard deviation, in log units, of vessel calibres within and between patients.
      head_scale_spread: standard deviation of the head's relative size, per axis.
      wander_mm: standard deviation of anatomical landmarks.
      tortuosity: scale of the smooth bends added between landmarks; 0 is straight splines.
      siphon_tightness: 1 is the textbook siphon; larger values fold it.
      loop_share: chance that a vessel that may loop does so.
      loop_radius_mm: radius of such loops.
      infundibulum_share: chance of a funnel-shaped origin of PCOM and AntChor, in any patient.
      infundibulum_radius_mm: radius of its mouth.
      twig_spacing_mm: mean distance between secondary branches along a cortical artery.
      twig_length_mm: their length; the branches of these branches are half as long and as dense.
      pcom_absent_share: per side.
      fetal_pca_share: per side; the posterior cerebral artery then fills from the carotid.
      hypoplasia_share: chance, per patient, of one thin A1 and, independently, of one thin VA.
      hypoplastic_calibre: calibre of those relative to the usual.
      fetal_pcom_calibre: calibre of a posterior communicating artery of the fetal type, likewise.
      cross_flow_share: chance that one carotid injection also fills the other A2.
      reflux_share: chance, per vertebral injection, that the other vertebral artery fills backwards.
      pcom_opacity: contrast in PCOM after a carotid injection, relative to the carotid.
      cross_flow_opacity: contrast that crosses to the other A2, likewise.
      posterior_opacity: contrast in the basilar and the posterior cerebral arteries, likewise.
      reflux_opacity: contrast that runs back down the other vertebral artery, likewise.
      attenuation_per_mm: linear attenuation of the contrast, per injection.
      background_grey: grey level without any attenuation, per view.
      shading: amplitude of slow background variation, as a share of the background.
      mottle: amplitude of its finer texture, likewise.
      skull: optical depth of residual bone at its edges, per view.
      motion_mm: standard deviation of the head's movement between mask and contrast run.
      blush: contrast in capillaries relative to that in the vessels around, per view.
      noise_grey: standard deviation of the quantum noise of one pixel at grey level 200, per view.
      blur_mm: standard deviation of the imaging chain's blur, per view.
      field_of_view_mm: height and width of a square view at the isocentre.
      source_distance_mm: X-ray focus to isocentre.
      framing_shift_mm: standard deviation of the isocentre's position.
      angulation_deg: standard deviation of the gantry angles.
      roll_deg: standard deviation of the head's rotation in the image plane.
      carotid_tilt_deg: cranial tilt of antero-posterior carotid views.
      vertebral_tilt_deg: cranial tilt (Towne) of antero-posterior vertebral views.
      non_square_share: share of studies with some collimated, non-square views.
      non_square_view_share: share of such a study's views that are collimated; one at least is.
      aspect: short over long side of these.
      larger_share: share of studies whose views are larger.
      larger_scale: their enlargement.
      jpeg_quality: 0 to 100.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prevalence: Share = 0.46
    second_sac_share: Share = 0.08
    site_weights: SiteWeights = SiteWeights()
    sac_radius_median_mm: Amount = 2.5
    sac_radius_spread: Amount = 0.28
    sac_radius_limits_mm: Range = (1.6, 5.0)
    sac_opacity: Range = (0.55, 1.0)
    sac_elongation: Amount = 0.3
    dome_spread: Amount = 0.25
    neck_width: Share = 0.55
    bleb_share: Share = 0.2
    bleb_size: Share = 0.45

    calibre_spread: Amount = 0.1
    head_scale_spread: Amount = 0.035
    wander_mm: Amount = 1.2
    tortuosity: Amount = 1.0
    siphon_tightness: Range = (0.8, 1.35)
    loop_share: Share = 0.3
    loop_radius_mm: Range = (1.6, 3.4)
    infundibulum_share: Share = 0.3
    infundibulum_radius_mm: Range = (0.9, 1.5)
    twig_spacing_mm: Annotated[float, Field(gt=0.0)] = 9.0
    twig_length_mm: Range = (14.0, 32.0)
    pcom_absent_share: Share = 0.2
    fetal_pca_share: Share = 0.12
    hypoplasia_share: Share = 0.15
    hypoplastic_calibre: Share = 0.55
    fetal_pcom_calibre: Amount = 1.6
    cross_flow_share: Share = 0.35
    reflux_share: Share = 0.3
    pcom_opacity: Range = (0.5, 1.0)
    cross_flow_opacity: Range = (0.4, 0.9)
    posterior_opacity: Range = (0.8, 1.0)
    reflux_opacity: Range = (0.3, 0.8)

    attenuation_per_mm: Range = (0.16, 0.34)
    background_grey: Range = (185.0, 228.0)
    shading: Amount = 0.035
    mottle: Amount = 0.006
    skull: Range = (0.02, 0.14)
    motion_mm: Amount = 1.2
    blush: Range = (0.0, 0.25)
    noise_grey: Range = (3.0, 7.0)
    blur_mm: Range = (0.2, 0.4)

    field_of_view_mm: Range = (152.0, 182.0)
    source_distance_mm: Annotated[float, Field(gt=200.0)] = 750.0
    framing_shift_mm: Amount = 4.0
    angulation_deg: Amount = 4.0
    roll_deg: Amount = 2.5
    carotid_tilt_deg: float = 8.0
    vertebral_tilt_deg: float = 22.0
    non_square_share: Share = 0.08
    non_square_view_share: Share = 0.4
    aspect: Range = (0.75, 0.9)
    larger_share: Share = 0.05
    larger_scale: Annotated[float, Field(ge=1.0)] = 1024 / 720
    jpeg_quality: Annotated[int, Field(ge=0, le=100)] = 95


REALISTIC = Settings()
"""Small, often faint sacs among loops, folded siphons and funnel-shaped origins."""

EASY = Settings(
    sac_radius_median_mm=6.5,
    sac_radius_spread=0.15,
    sac_radius_limits_mm=(5.0, 9.0),
    sac_opacity=(1.0, 1.3),
    bleb_share=0.0,
    calibre_spread=0.05,
    wander_mm=0.6,
    tortuosity=0.4,
    siphon_tightness=(0.8, 1.0),
    loop_share=0.0,
    infundibulum_share=0.0,
    attenuation_per_mm=(0.22, 0.26),
    background_grey=(205.0, 220.0),
    skull=(0.02, 0.06),
    noise_grey=(2.0, 4.0),
    framing_shift_mm=2.0,
    angulation_deg=2.0,
)
"""Large, dark sacs on calm vessels: a small network learns them from a hundred studies."""

Difficulty = Literal["easy", "realistic"]
DIFFICULTIES: dict[Difficulty, Settings] = {"easy": EASY, "realistic": REALISTIC}
