from angiopipe.study import (
    LABELS,
    LOCATIONS,
    MIRRORED_LABELS,
    MIRRORED_VIEWS,
    VIEW_NAMES,
    VIEWS,
    mirrored_label,
)


def test_views_are_those_of_the_data_set_in_its_order():
    assert VIEW_NAMES == ("LI-A", "LI-B", "LV-A", "LV-B", "RI-A", "RI-B", "RV-A", "RV-B")


def test_there_are_21_locations_and_22_labels():
    assert len(set(LOCATIONS)) == 21
    assert LABELS == ("Aneurysm", *LOCATIONS)


def test_mirroring_twice_changes_nothing():
    assert [MIRRORED_VIEWS[v] for v in MIRRORED_VIEWS] == list(range(8))
    assert [MIRRORED_LABELS[label] for label in MIRRORED_LABELS] == list(range(22))


def test_mirroring_exchanges_sides_only():
    assert VIEWS[MIRRORED_VIEWS[VIEW_NAMES.index("LV-B")]].name == "RV-B"
    assert [mirrored_label(name) for name in ("L_PICA", "BA", "Aneurysm")] == ["R_PICA", "BA", "Aneurysm"]
