import fsspec
import pytest

from angiopipe.cohort.image_manifest import read_image_manifest
from angiopipe.faults import FaultyStudies


def manifest(tmp_path, text):
    path = tmp_path / "images.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def faults(uri):
    with pytest.raises(FaultyStudies) as caught:
        read_image_manifest(uri)
    return caught.value.faults


def test_a_manifest_lists_views_files_and_frames(tmp_path):
    text = "Index,view,path,frame\n007,LI-A,run/a.dcm,12\n007,LI-B,./b.jpg,\n8,RV-B,x/../c.dcm, 3 \n"
    table = read_image_manifest(manifest(tmp_path, text))
    assert list(table.columns) == ["Index", "view", "uri", "frame", "line"]
    assert table["Index"].tolist() == ["007", "007", "8"]
    assert table["view"].tolist() == ["LI-A", "LI-B", "RV-B"]
    assert table["uri"].tolist() == [f"{tmp_path}/run/a.dcm", f"{tmp_path}/b.jpg", f"{tmp_path}/c.dcm"]
    assert str(table["frame"].dtype) == "Int64"
    assert table["frame"].fillna(0).tolist() == [12, 0, 3]
    assert table["line"].tolist() == [2, 3, 4]


def test_columns_come_in_any_order_and_frame_may_be_absent(tmp_path):
    table = read_image_manifest(manifest(tmp_path, b'\xef\xbb\xbfpath, view ,Index\r\n"a,1.jpg",LI-A,7\r\n'))
    assert table["uri"].tolist() == [f"{tmp_path}/a,1.jpg"]
    assert table["frame"].isna().all()


def test_lines_are_those_of_the_file(tmp_path):
    table = read_image_manifest(manifest(tmp_path, "Index,view,path\n\n7,LI-A,a.jpg\n , ,\n7,LI-B,b.jpg\n"))
    assert table["line"].tolist() == [3, 5]


def test_a_manifest_beside_its_images_has_relative_uris(tmp_path, monkeypatch):
    manifest(tmp_path, "Index,view,path\n7,LI-A,a.jpg\n")
    monkeypatch.chdir(tmp_path)
    assert read_image_manifest("images.csv")["uri"].tolist() == ["./a.jpg"]


def test_absolute_paths_and_uris_are_taken_as_they_are(tmp_path):
    text = "Index,view,path\n7,LI-A,/pacs/a.dcm\n7,LI-B,s3://pacs/b.dcm\n7,LV-A,gs://pacs/c.dcm\n7,LV-B,file:///pacs/d.dcm\n"
    table = read_image_manifest(manifest(tmp_path, text))
    assert table["uri"].tolist() == [
        "/pacs/a.dcm",
        "s3://pacs/b.dcm",
        "gs://pacs/c.dcm",
        "file:///pacs/d.dcm",
    ]


def remote(text):
    with fsspec.open("memory://pacs/folder/images.csv", "w") as file:
        file.write(text)
    return "memory://pacs/folder/images.csv"


def test_paths_in_a_remote_manifest_start_at_its_folder():
    table = read_image_manifest(remote("Index,view,path\n7,LI-A,run/a.dcm\n7,LI-B,memory://other/b.dcm\n"))
    assert table["uri"].tolist() == ["memory://pacs/folder/run/a.dcm", "memory://other/b.dcm"]


@pytest.mark.parametrize("path", ["/etc/passwd", "file:///etc/passwd", "http://169.254.169.254/x"])
def test_a_remote_manifest_names_no_file_of_this_machine(path):
    (told,) = faults(remote(f"Index,view,path\n7,LI-A,{path}\n"))
    assert path in told


@pytest.mark.parametrize(
    "path",
    ["../a.jpg", "x/../../a.jpg", "..", "", "a\tb.jpg", "a\0.jpg", "http://host/a.jpg", "zip://a::/b.zip", "a::b.jpg",
     "simplecache::s3://a/b.jpg", "://a.jpg"],
)  # fmt: skip
def test_a_path_out_of_the_folder_is_refused(tmp_path, path):
    (told,) = faults(manifest(tmp_path, f"Index,view,path\n7,LI-A,{path}\n"))
    assert told.startswith(f"study 7, view LI-A ({tmp_path}/images.csv, line 2): expected a path")
    assert repr(path) in told


@pytest.mark.parametrize("frame", ["0", "-1", "1.0", "one", "1e3", "٣", "00", "9" * 12])
def test_a_frame_is_a_positive_integer(tmp_path, frame):
    (told,) = faults(manifest(tmp_path, f"Index,view,path,frame\n7,LI-A,a.dcm,{frame}\n"))
    assert f"line 2): expected a frame counted from 1, or none, found {frame!r}; correct the line" in told


def test_all_faults_are_told_in_one_error(tmp_path):
    text = (
        "Index,view,path,frame\n7,LI-A,a.jpg,\n7,LI-C,b.jpg,\n../7,LI-B,c.jpg,\n7,LI-B,../d.jpg,0\n7,LI-A,e.jpg,\n"
        "8,LI-A\n9,LI-A,f,1,2\n"
    )
    uri = manifest(tmp_path, text)
    told = faults(uri)
    assert len(told) == 7
    assert f"study 7 ({uri}, line 3): expected a view of LI-A, LI-B" in "\n".join(told)
    assert f"{uri}, line 4: expected an Index of letters, digits, '_', '.', '-', found '../7'" in "\n".join(
        told
    )
    assert f"study 7, view LI-A ({uri}, line 6): expected one line, found lines 2, 6; keep one" in told
    found = "expected 4 cells, as in the header, found"
    assert f"study 8 ({uri}, line 7): {found} 2: a comma too few; correct the line" in told
    assert f"study 9 ({uri}, line 8): {found} 5: a comma too many; correct the line" in told


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Index,view", ["column path is missing"]),
        ("Index,view,path,frames", ["column 'frames' is unknown"]),
        ("Index,view,path,path", ["column path is there 2 times"]),
        (
            "a",
            [
                "column Index is missing",
                "column view is missing",
                "column path is missing",
                "column 'a' is unknown",
            ],
        ),
    ],
)
def test_a_wrong_header_is_refused(tmp_path, header, expected):
    assert faults(manifest(tmp_path, f"{header}\n7,LI-A,a.jpg\n")) == expected


def test_an_empty_manifest_is_refused(tmp_path):
    with pytest.raises(FaultyStudies, match="expected at least one image below the header, found none"):
        read_image_manifest(manifest(tmp_path, "Index,view,path\n"))
    with pytest.raises(FaultyStudies, match="expected the header Index,view,path .* found an empty file"):
        read_image_manifest(manifest(tmp_path, ""))


def test_bytes_that_are_no_text_are_refused(tmp_path):
    with pytest.raises(FaultyStudies, match="expected text in UTF-8"):
        read_image_manifest(manifest(tmp_path, b"Index,view,path\n7,LI-A,\xff.jpg\n"))
